// Package faketorch builds folders that look like a libtorch, for tests that
// must not need one. It calls g++.
package faketorch

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Options vary what Build builds.
type Options struct {
	OldABI  bool   // with _GLIBCXX_USE_CXX11_ABI=0
	Missing string // a library that libtorch_cpu.so needs and that is nowhere
	Version string // default 9.9.9
}

const core = `
#include <string>
namespace c10 { namespace detail {
void torchCheckFail(const char*, const char*, unsigned, const char*) {}
void torchCheckFail(const char*, const char*, unsigned, const std::string&) {}
}}
`

const header = `
#pragma once
#include <cstring>
#include <string>
namespace torch {
struct Tensor { int value; };
int answer();
inline Tensor add(const Tensor& a, const Tensor& b) { return {a.value + b.value}; }
}
`

// Build makes a libtorch at root and returns root.
func Build(t *testing.T, root string, options Options) string {
	t.Helper()
	if options.Version == "" {
		options.Version = "9.9.9"
	}
	api := filepath.Join(root, "include", "torch", "csrc", "api", "include", "torch")
	Write(t, filepath.Join(api, "torch.h"), header)
	Write(t, filepath.Join(api, "all.h"), "#if __cplusplus < 201703L\n#error C++17 or later\n#endif\n")
	Write(t, filepath.Join(root, "version.py"), "__version__ = '"+options.Version+"'\n")

	lib := filepath.Join(root, "lib")
	abi := "-D_GLIBCXX_USE_CXX11_ABI=1"
	if options.OldABI {
		abi = "-D_GLIBCXX_USE_CXX11_ABI=0"
	}
	scratch := t.TempDir()
	compile := func(source, output string, flags ...string) {
		file := filepath.Join(scratch, "source.cpp")
		Write(t, file, source)
		arguments := append([]string{"-shared", "-fPIC", abi, "-o", output, file}, flags...)
		if message, err := exec.Command("g++", arguments...).CombinedOutput(); err != nil {
			t.Fatalf("g++ (which the project needs) failed: %v\n%s", err, message)
		}
	}
	if err := os.MkdirAll(lib, 0o755); err != nil {
		t.Fatal(err)
	}
	compile(core, filepath.Join(lib, "libc10.so"))
	flags := []string{"-Wl,--no-as-needed"}
	if options.Missing != "" {
		compile("int missing() { return 0; }", filepath.Join(scratch, "libmissing.so"), "-Wl,-soname,"+options.Missing)
		flags = append(flags, "-L"+scratch, "-lmissing")
	}
	compile("namespace torch { int answer() { return 42; } }", filepath.Join(lib, "libtorch_cpu.so"), flags...)
	return root
}

// Write writes a file and the folders above it.
func Write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
