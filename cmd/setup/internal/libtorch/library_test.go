package libtorch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/metatt/metatt/cmd/setup/internal/faketorch"
)

func TestInspectReadsABIAndVersion(t *testing.T) {
	for _, old := range []bool{false, true} {
		root := faketorch.Build(t, filepath.Join(t.TempDir(), "site packages", "torch"), faketorch.Options{OldABI: old, Version: "2.1.0+cu121"})
		library, err := Inspect(root)
		if err != nil {
			t.Fatal(err)
		}
		want := Library{Root: root, Version: "2.1.0+cu121", CXX11ABI: !old, Standard: "c++17"}
		if library != want {
			t.Errorf("Inspect = %+v, want %+v", library, want)
		}
		if library.Release() != "2.1.0" {
			t.Errorf("Release = %q", library.Release())
		}
	}
}

func TestInspectNamesWhatIsMissing(t *testing.T) {
	tests := []struct {
		name   string
		damage func(t *testing.T, root string)
		want   string
	}{
		{"nothing there", func(t *testing.T, root string) { remove(t, root, "") }, "it has no lib/libtorch_cpu.so"},
		{"no core library", func(t *testing.T, root string) { remove(t, root, "lib/libc10.so") }, "it has no lib/libc10.so"},
		{"no headers", func(t *testing.T, root string) { remove(t, root, "include") }, "it has no include/torch/csrc/api/include/torch/torch.h"},
		{"no version", func(t *testing.T, root string) { remove(t, root, "version.py") }, "does not tell its version"},
		{"core library is no ELF file", func(t *testing.T, root string) {
			faketorch.Write(t, filepath.Join(root, "lib/libc10.so"), "a download's error page")
		}, "libc10.so cannot be read as a shared library"},
		{"core library without the symbol", func(t *testing.T, root string) {
			remove(t, root, "lib/libc10.so")
			copyFile(t, filepath.Join(root, "lib/libtorch_cpu.so"), filepath.Join(root, "lib/libc10.so"))
		}, "does not show its C++ ABI"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			root := faketorch.Build(t, filepath.Join(t.TempDir(), "torch"), faketorch.Options{})
			test.damage(t, root)
			_, err := Inspect(root)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), root) {
				t.Errorf("Inspect = %v, want one with %q and the folder", err, test.want)
			}
		})
	}
}

func TestInspectPointsFromSitePackagesToTorch(t *testing.T) {
	site := t.TempDir()
	faketorch.Build(t, filepath.Join(site, "torch"), faketorch.Options{})
	_, err := Inspect(site)
	if err == nil || !strings.Contains(err.Error(), site+"/torch is one") {
		t.Errorf("Inspect(site-packages) = %v, want a hint at %s/torch", err, site)
	}
}

func TestReadVersion(t *testing.T) {
	const macro = "#define TORCH_VERSION_MAJOR 2\n\n#define TORCH_VERSION \\\n  \"2.15.0\"\n"
	tests := []struct{ name, file, text, want string }{
		{"wheel", "version.py", "from typing import Optional\n\n__version__ = '2.11.0+cu130'\ndebug = False\n", "2.11.0+cu130"},
		{"nightly", "version.py", "__version__ = '2.12.0.dev20260101'\n", "2.12.0.dev20260101"},
		{"archive", "build-version", "2.1.0+cpu\n", "2.1.0+cpu"},
		{"header", "include/torch/csrc/api/include/torch/version.h", macro, "2.15.0"},
		{"header of newer releases", "include/torch/headeronly/version.h", macro, "2.15.0"},
		{"no version in the file", "version.py", "__version__ = None\n", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			root := t.TempDir()
			faketorch.Write(t, filepath.Join(root, test.file), test.text)
			got, err := readVersion(root)
			if got != test.want || (err == nil) != (test.want != "") {
				t.Errorf("readVersion = %q, %v, want %q", got, err, test.want)
			}
		})
	}
}

func TestCXXStandard(t *testing.T) {
	tests := []struct{ text, want string }{
		{"#if !defined(_MSC_VER) && __cplusplus < 201703L\n#error C++17\n", "c++17"},
		{"#if (defined(_MSVC_LANG) && _MSVC_LANG < 202002L) || \\\n    (!defined(_MSVC_LANG) && __cplusplus < 202002L)\n", "c++20"},
		{"#if __cplusplus < 202302L\n", "c++23"},
		{"#include <torch/types.h>\n", "c++17"},
	}
	for _, test := range tests {
		header := filepath.Join(t.TempDir(), "all.h")
		faketorch.Write(t, header, test.text)
		if got, err := cxxStandard(header); got != test.want || err != nil {
			t.Errorf("cxxStandard of %q = %q, %v, want %q", test.text, got, err, test.want)
		}
	}
}

func TestStampsChangeWithTheLibrary(t *testing.T) {
	root := faketorch.Build(t, filepath.Join(t.TempDir(), "torch"), faketorch.Options{})
	stamp := func() string {
		stamps, err := Library{Root: root}.Stamps()
		if err != nil {
			t.Fatal(err)
		}
		return stamps["lib/libtorch_cpu.so"]
	}
	before := stamp()
	if stamp() != before {
		t.Error("stamps differ though nothing changed")
	}
	faketorch.Write(t, filepath.Join(root, "lib/libtorch_cpu.so"), "another")
	if stamp() == before {
		t.Error("stamps are the same though the library changed")
	}
}

func remove(t *testing.T, root, name string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(root, name)); err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	faketorch.Write(t, to, string(text))
}
