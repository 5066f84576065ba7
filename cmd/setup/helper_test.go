package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/metatt/metatt/cmd/setup/internal/faketorch"
	"github.com/metatt/metatt/cmd/setup/internal/libtorch"
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
		t.Errorf("with what does not compile: %q", got)
	}
}
