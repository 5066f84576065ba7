package cuda

import (
	"context"
	"debug/elf"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// torchDir is a PyTorch with CUDA's headers: LIBTORCH, or one that set-up has installed.
func torchDir(t *testing.T) string {
	t.Helper()
	candidates, _ := filepath.Glob("../../../.libtorch/*/torch")
	if dir := os.Getenv("LIBTORCH"); dir != "" {
		candidates = []string{dir}
	}
	for _, dir := range candidates {
		if _, err := os.Stat(filepath.Join(dir, "include/ATen/cuda/CUDAGraph.h")); err == nil {
			return dir
		}
	}
	t.Skip("no PyTorch with CUDA's headers: neither LIBTORCH nor one that set-up has installed")
	return ""
}

// The library compiles where there is no GPU, and every function that it wants of others
// one of libtorch's libraries has.
func TestCompile(t *testing.T) {
	torch := torchDir(t)
	out := filepath.Join(t.TempDir(), "deep", Library)
	err := Compile(t.Context(), torch, out)
	if err != nil && strings.Contains(err.Error(), "of CUDA") && strings.Contains(err.Error(), "is found in") {
		t.Skip(err) // CUDA_HOME may name it
	}
	if err != nil {
		t.Fatal(err)
	}
	library, err := elf.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer library.Close()
	needed, err := library.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range needed {
		if strings.Contains(name, "torch") || strings.Contains(name, "cuda") {
			t.Errorf("it is linked to %s", name)
		}
	}
	have := map[string]bool{}
	for _, pattern := range []string{"lib/libtorch_cuda.so", "lib/libc10_cuda.so", "lib/libtorch_cpu.so", "lib/libc10.so", "../nvidia/*/lib/libcudart.so.*"} {
		found, _ := filepath.Glob(filepath.Join(torch, pattern))
		if len(found) == 0 {
			t.Skipf("%s has no %s to compare with", torch, pattern)
		}
		for _, s := range symbols(t, found[0]) {
			have[s.Name] = have[s.Name] || s.Section != elf.SHN_UNDEF
		}
	}
	for _, s := range symbols(t, out) {
		ours := strings.Contains(s.Name, "3c10") || strings.Contains(s.Name, "2at") || strings.Contains(s.Name, "5torch") || strings.HasPrefix(s.Name, "cuda")
		if s.Section == elf.SHN_UNDEF && ours && !have[s.Name] && elf.ST_BIND(s.Info) != elf.STB_WEAK {
			t.Errorf("nothing has %s", s.Name)
		}
	}
}

func symbols(t *testing.T, path string) []elf.Symbol {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// What is wrong is said in one line.
func TestCompileRefuses(t *testing.T) {
	if _, err := exec.LookPath("g++"); err != nil {
		t.Skip("no g++")
	}
	fake := fakeTorch(t)
	out := filepath.Join(t.TempDir(), Library)
	t.Setenv("CUDA_HOME", filepath.Join(fake, "nothing"))
	for _, c := range []struct{ compiler, torch, headers, want string }{
		{"g++", t.TempDir(), "", "is no PyTorch with CUDA"},
		{"g++", fake, filepath.Join(fake, "cuda"), "no cuda.h of CUDA 99 is found in"}, // what it has is of CUDA 12
		{"g++", fake, complete(t), "does not compile against"},
		{"no-such-compiler", fake, "", "there is no no-such-compiler"},
	} {
		t.Setenv("CXX", c.compiler)
		err := Compile(t.Context(), c.torch, out, c.headers)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	if _, err := os.Stat(out); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a library is left: %v", err)
	}
}

// fakeTorch has what build.sh asks a PyTorch of CUDA 99 for before it compiles.
func fakeTorch(t *testing.T) string {
	fake := t.TempDir()
	for name, text := range map[string]string{
		"version.py": "__version__ = '9.8.7+cu990'\n", "lib/libc10.so": "torchCheckFail__cxx11",
		"include/ATen/cuda/CUDAGraph.h": "", "cuda/cuda.h": "#define CUDA_VERSION 12080\n",
	} {
		path := filepath.Join(fake, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return fake
}

// A compilation that is cancelled ends at once, and its compilers with it.
func TestCompileIsCancelled(t *testing.T) {
	dir := t.TempDir()
	compiler, started := filepath.Join(dir, "compiler"), filepath.Join(dir, "started")
	script := "#!/bin/sh\ntrap '' INT\necho $$ >" + started + "-$$\nmv " + started + "-$$ " + started + "\nsleep 60 &\nwait\n"
	if err := os.WriteFile(compiler, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CXX", compiler)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error)
	go func() { done <- Compile(ctx, fakeTorch(t), filepath.Join(dir, Library), complete(t)) }()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(started); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatal("no compiler was started")
		}
	}
	cancel()
	select {
	case err := <-done:
		if err == nil {
			t.Error("a cancelled compilation succeeded")
		}
	case <-time.After(20 * time.Second):
		t.Error("a cancelled compilation is waited for")
	}
	pid, err := os.ReadFile(started)
	if err != nil {
		t.Fatal(err)
	}
	status, _ := os.ReadFile(filepath.Join("/proc", strings.TrimSpace(string(pid)), "stat"))
	if len(status) > 0 && !strings.Contains(string(status), ") Z ") {
		t.Errorf("a compiler still runs: %s", status)
	}
}

// complete is a folder with all of CUDA's headers, empty.
func complete(t *testing.T) string {
	dir := t.TempDir()
	os.Mkdir(filepath.Join(dir, "crt"), 0o755)
	for name, text := range map[string]string{"cuda.h": "#define CUDA_VERSION 99000\n", "cuda_runtime_api.h": "", "crt/host_config.h": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// NVRTC compiles every program for Ampere and Hopper; it needs no GPU for that.
func TestKernelsCompile(t *testing.T) {
	nvrtc := findNVRTC(t)
	compiler, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("no gcc")
	}
	dir := t.TempDir()
	tool := filepath.Join(dir, "nvrtc")
	if text, err := exec.Command(compiler, "-w", "testdata/nvrtc.c", "-ldl", "-o", tool).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	source := func(names ...string) string {
		var all []byte
		for _, name := range names {
			text, err := os.ReadFile(filepath.Join("source", name))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, text...)
		}
		path := filepath.Join(dir, names[len(names)-1])
		if err := os.WriteFile(path, all, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	rows := [][]string{
		{"-DBF16=1", "-DHIDDEN=768", "-DVEC=8", "-DWARPS=1"}, {"-DBF16=0", "-DHIDDEN=384", "-DVEC=4", "-DWARPS=1"},
		{"-DBF16=1", "-DHIDDEN=385", "-DVEC=1", "-DWARPS=1"}, {"-DBF16=0", "-DHIDDEN=4096", "-DVEC=4", "-DWARPS=4"},
	}
	for program, macros := range map[string][][]string{
		source("element.cu", "rows.cu", "norm.cu"): rows, source("element.cu", "rows.cu", "dropout.cu"): rows,
		source("element.cu", "adamw.cu"): {{"-DBF16=0"}, {"-DBF16=1"}},
	} {
		for _, architecture := range []string{"sm_80", "sm_90"} {
			for _, m := range macros {
				if text, err := exec.Command(tool, append([]string{nvrtc, program, "--gpu-architecture=" + architecture, "--std=c++17"}, m...)...).CombinedOutput(); err != nil {
					t.Errorf("%s for %s with %v: %v: %s", filepath.Base(program), architecture, m, err, text)
				}
			}
		}
	}
}

// findNVRTC is the folder of NVRTC, in NVIDIA's packages, CUDA_HOME or where the loader
// is told to look.
func findNVRTC(t *testing.T) string {
	folders, _ := filepath.Glob("../../../.libtorch/*/nvidia/*/lib")
	folders = append(folders, filepath.Join(os.Getenv("CUDA_HOME"), "lib"), filepath.Join(os.Getenv("CUDA_HOME"), "lib64"), "/usr/local/cuda/lib64")
	folders = append(folders, filepath.SplitList(os.Getenv("LD_LIBRARY_PATH"))...)
	for _, folder := range folders {
		if found, _ := filepath.Glob(filepath.Join(folder, "libnvrtc.so.*")); len(found) > 0 {
			return found[0]
		}
	}
	t.Skip("no NVRTC: neither in .libtorch nor in CUDA_HOME nor in LD_LIBRARY_PATH")
	return ""
}
