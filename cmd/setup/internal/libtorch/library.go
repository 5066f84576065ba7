// Package libtorch finds a libtorch to build against, installs one where there
// is none, and reads what a build needs to know of it: version, C++ ABI and C++
// standard. It never loads the library.
package libtorch

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Library is an inspected libtorch.
type Library struct {
	Root     string // absolute folder that holds lib/ and include/
	Version  string // as it names itself, such as 2.11.0+cu130
	CXX11ABI bool   // value of _GLIBCXX_USE_CXX11_ABI that it was built with
	Standard string // lowest C++ standard its headers accept, such as c++17
}

// LibDir is the folder of the shared libraries.
func (l Library) LibDir() string { return filepath.Join(l.Root, "lib") }

// IncludeDirs are the folders that the compiler searches for its headers.
func (l Library) IncludeDirs() []string {
	return []string{
		filepath.Join(l.Root, "include"),
		filepath.Join(l.Root, "include", apiInclude),
	}
}

// Release is the version without its local part: 2.11.0 for 2.11.0+cu130.
func (l Library) Release() string {
	release, _, _ := strings.Cut(l.Version, "+")
	return release
}

const (
	apiInclude  = "torch/csrc/api/include"
	cpuLibrary  = "lib/libtorch_cpu.so"
	coreLibrary = "lib/libc10.so"
	cudaHalf    = "lib/libtorch_cuda.so"
	mainHeader  = "include/" + apiInclude + "/torch/torch.h"
	allHeader   = "include/" + apiInclude + "/torch/all.h"
)

// IdentityFiles, relative to a root, change whenever another libtorch is put in
// the same place.
var IdentityFiles = []string{cpuLibrary, coreLibrary, mainHeader}

// Inspect reads the libtorch at root: an unpacked libtorch archive or the torch
// folder of a site-packages folder. The error names the first thing missing.
func Inspect(root string) (Library, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return Library{}, err
	}
	for _, name := range []string{cpuLibrary, coreLibrary, mainHeader} {
		info, err := os.Stat(filepath.Join(root, name))
		if err == nil && info.Mode().IsRegular() {
			continue
		}
		if isLibtorch(filepath.Join(root, "torch")) {
			return Library{}, fmt.Errorf("%s is not a libtorch: it has no %s; %s/torch is one", root, name, root)
		}
		return Library{}, fmt.Errorf("%s is not a libtorch: it has no %s (a libtorch is a folder with lib/ and include/, as in the libtorch archive or site-packages/torch)", root, name)
	}
	library := Library{Root: root}
	if library.Version, err = readVersion(root); err != nil {
		return Library{}, err
	}
	if library.CXX11ABI, err = usesCXX11ABI(filepath.Join(root, coreLibrary)); err != nil {
		return Library{}, err
	}
	if library.Standard, err = cxxStandard(filepath.Join(root, allHeader)); err != nil {
		return Library{}, err
	}
	return library, nil
}

func isLibtorch(root string) bool {
	_, err := os.Stat(filepath.Join(root, cpuLibrary))
	return err == nil
}

// A version always starts with a number; the rest (alpha, git and CUDA parts) is free.
var versionSources = []struct {
	file    string
	pattern *regexp.Regexp
}{
	{"version.py", regexp.MustCompile(`(?m)^__version__ = '(\d[^'\n]*)'`)},
	{"build-version", regexp.MustCompile(`^(\d\S*)`)},
	{"include/" + apiInclude + "/torch/version.h", regexp.MustCompile(`#define TORCH_VERSION \\?\s*"(\d[^"\n]*)"`)},
	{"include/torch/headeronly/version.h", regexp.MustCompile(`#define TORCH_VERSION \\?\s*"(\d[^"\n]*)"`)},
}

func readVersion(root string) (string, error) {
	for _, source := range versionSources {
		text, err := os.ReadFile(filepath.Join(root, source.file))
		if err != nil {
			continue
		}
		if match := source.pattern.FindSubmatch(text); match != nil {
			return string(match[1]), nil
		}
	}
	return "", fmt.Errorf("%s does not tell its version: neither version.py nor build-version nor torch/version.h has it", root)
}

var standardCheck = regexp.MustCompile(`__cplusplus < (\d{4})\d\dL`)

// cxxStandard reads the lowest C++ standard from the check at the top of
// torch/all.h (__cplusplus < 201703L is C++17).
func cxxStandard(header string) (string, error) {
	text, err := os.ReadFile(header)
	if err != nil && !os.IsNotExist(err) {
		return "", err
	}
	match := standardCheck.FindSubmatch(text)
	if match == nil {
		return "c++17", nil
	}
	return "c++" + string(match[1][2:]), nil
}

// Stamps are the size and modification time of each identity file.
func (l Library) Stamps() (map[string]string, error) {
	stamps := make(map[string]string, len(IdentityFiles))
	for _, name := range IdentityFiles {
		info, err := fs.Stat(os.DirFS(l.Root), name)
		if err != nil {
			return nil, err
		}
		stamps[name] = fmt.Sprintf("%d bytes, %d ns", info.Size(), info.ModTime().UnixNano())
	}
	return stamps, nil
}
