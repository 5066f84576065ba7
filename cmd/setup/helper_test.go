package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/metatt/metatt/cmd/setup/internal/faketorch"
	"github.com/metatt/metatt/cmd/setup/internal/libtorch"
	"github.com/metatt/metatt/pkg/torch/cuda"
)

// The helper is for a libtorch with CUDA, and what fails is no failure of set-up.
func TestBuildHelper(t *testing.T) {
	root := faketorch.Build(t, filepath.Join(t.TempDir(), "torch"), faketorch.Options{Version: "9.9.9+cu121"})
	library, err := libtorch.Inspect(root)
	if err != nil {
		t.Fatal(err)
	}
	dir, driver := t.TempDir(), false
	search := libtorch.Search{ModuleDir: dir, Getenv: os.Getenv, LookPath: exec.LookPath, HasDriver: func() bool { return driver }}
	build := func() string {
		t.Helper()
		var output strings.Builder
		search.Notes = &output
		if err := buildHelper(t.Context(), dir, library, search, &output); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, helperDir, "made-of")); err == nil {
			t.Error("a helper that was not built is recorded")
		}
		return output.String()
	}
	if got := build(); got != "" {
		t.Errorf("without CUDA: %q", got)
	}
	link := func(flags ...string) {
		t.Helper()
		source := filepath.Join(t.TempDir(), "empty.cpp")
		faketorch.Write(t, source, "")
		if text, err := exec.Command("g++", append([]string{"-shared", source, "-o", filepath.Join(root, "lib", "libtorch_cuda.so")}, flags...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
	}
	missing := filepath.Join(t.TempDir(), "libcublas.so.12")
	source := filepath.Join(t.TempDir(), "empty.cpp")
	faketorch.Write(t, source, "")
	if text, err := exec.Command("g++", "-shared", source, "-Wl,-soname,libcublas.so.12", "-o", missing).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	link("-Wl,--no-as-needed", missing)
	if got := build(); got != "" {
		t.Errorf("with half of CUDA and no driver: %q", got)
	}
	driver = true
	if got := build(); !strings.Contains(got, "libtorch_cuda.so needs libcublas.so.12, which the loader does not find") {
		t.Errorf("with half of CUDA: %q", got)
	}
	link()
	if got := build(); !strings.Contains(got, "the CUDA helper cannot be compiled: "+root+" is no PyTorch with CUDA") || !strings.Contains(got, "slower") {
		t.Errorf("with what is no PyTorch: %q", got)
	}
}

// What took a minute to fail is not tried again for the same libtorch; a library that was
// removed is built anew.
func TestBuildHelperRemembers(t *testing.T) {
	root := faketorch.Build(t, filepath.Join(t.TempDir(), "torch"), faketorch.Options{Version: "9.9.9+cu121"})
	dir, headers := t.TempDir(), t.TempDir()
	compiled, compiler := filepath.Join(headers, "compiled"), filepath.Join(headers, "compiler")
	write := func(path, text string) {
		t.Helper()
		faketorch.Write(t, path, text)
	}
	write(filepath.Join(root, "include/ATen/cuda/CUDAGraph.h"), "")
	write(filepath.Join(headers, "include/cuda.h"), "#define CUDA_VERSION 12010\n")
	write(filepath.Join(headers, "include/cuda_runtime_api.h"), "")
	write(filepath.Join(headers, "include/crt/host_config.h"), "")
	compiles := func(commands string) {
		t.Helper()
		write(compiler, "#!/bin/sh\ntouch "+compiled+"\n"+commands+"\n")
		if err := os.Chmod(compiler, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	empty := filepath.Join(t.TempDir(), "empty.cpp")
	write(empty, "")
	if text, err := exec.Command("g++", "-shared", empty, "-o", filepath.Join(root, "lib", "libtorch_cuda.so")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	t.Setenv("CXX", compiler)
	t.Setenv("CUDA_HOME", headers)
	library, err := libtorch.Inspect(root)
	if err != nil {
		t.Fatal(err)
	}
	search := libtorch.Search{ModuleDir: dir, Getenv: os.Getenv, LookPath: exec.LookPath, HasDriver: func() bool { return true }}
	built, failed := filepath.Join(dir, helperDir, cuda.Library), filepath.Join(dir, helperDir, "failed")
	check := func(what string, compiles bool, want string) {
		t.Helper()
		os.Remove(compiled)
		var output strings.Builder
		if err := buildHelper(t.Context(), dir, library, search, &output); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(compiled); (err == nil) != compiles || !strings.Contains(output.String(), want) {
			t.Errorf("%s: compiled %v, want %v; %q, want %q", what, err == nil, compiles, output.String(), want)
		}
	}
	compiles("echo 'a.cpp:1:2: error: too old a compiler' >&2; exit 1")
	check("a source that does not compile", true, "does not compile against "+root+": a.cpp:1:2: error: too old a compiler")
	check("again", false, "error: too old a compiler\nso it was before: remove "+failed+" to try again")
	library.Version = "9.9.9+cu122"
	check("for another libtorch", true, "does not compile against")
	os.Remove(failed)
	compiles(`while [ "$1" != -o ]; do shift; done; touch "$2"`)
	check("once it compiles", true, "compiling the CUDA helper")
	check("once more", false, "up to date")
	if err := os.Remove(built); err != nil {
		t.Fatal(err)
	}
	check("without the library", true, "compiling the CUDA helper")
	if _, err := os.Stat(built); err != nil {
		t.Error(err)
	}
}
