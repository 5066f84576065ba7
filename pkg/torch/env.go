package torch

import (
	"bytes"
	"cmp"
	"debug/elf"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/metatt/metatt/pkg/torch/native"
	"golang.org/x/sys/cpu"
)

// Environment describes the libtorch that this process has loaded.
type Environment struct {
	Version    string   // e.g. "2.11.0+cu130"; "unknown" where its folder does not say
	Path       string   // the loaded libtorch_cpu.so
	ABI        string   // C++ ABI of its strings: "cxx11", "pre-cxx11" or "unknown"
	Threads    int      // threads per operation
	Capability []string // vector extensions of this CPU that libtorch's kernels use
	Kernels    string   // the instruction set of our own CPU kernels, or why there are none
	CUDA       []string // names of the CUDA devices, in order
	NoCUDA     string   // why there are none where an NVIDIA driver is; empty: there are, or no driver
	Helper     string   // the file of the CUDA helper, or why there is none; empty without devices
	BFloat16   bool     // [Device.ComputesBFloat16] of the device that "auto" names
}

// ReadEnvironment asks the process, its libtorch and the machine.
func ReadEnvironment() Environment {
	path := libraryPath()
	root := filepath.Dir(filepath.Dir(path))
	auto, _ := ParseDevice("auto")
	return Environment{
		Version:    libraryVersion(root),
		Path:       path,
		ABI:        libraryABI(filepath.Join(root, "lib", "libc10.so")),
		Threads:    cmp.Or(int(threads.Load()), defaultThreads),
		Capability: capability(),
		Kernels:    kernels(),
		CUDA:       cudaNames(),
		NoCUDA:     WhyNoCUDA(),
		Helper:     helperState(),
		BFloat16:   auto.ComputesBFloat16(),
	}
}

var wheelVersion = regexp.MustCompile(`(?m)^__version__ = '([^']+)'`)

// libraryVersion reads version.py of a wheel, else build-version of a libtorch
// archive.
func libraryVersion(root string) string {
	if text, err := os.ReadFile(filepath.Join(root, "version.py")); err == nil {
		if m := wheelVersion.FindSubmatch(text); m != nil {
			return string(m[1])
		}
	}
	if text, err := os.ReadFile(filepath.Join(root, "build-version")); err == nil {
		return string(bytes.TrimSpace(text))
	}
	return "unknown"
}

// libraryABI looks at how libc10.so's error function takes its strings.
func libraryABI(libc10 string) string {
	f, err := elf.Open(libc10)
	if err != nil {
		return "unknown"
	}
	defer f.Close()
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return "unknown"
	}
	for _, s := range symbols {
		if strings.Contains(s.Name, "torchCheckFail") && strings.Contains(s.Name, "__cxx11") {
			return "cxx11"
		}
	}
	return "pre-cxx11"
}

// kernels is what METATT_CPU and the machine come to.
func kernels() string {
	if !native.Compiled() {
		return "none: compiled without set-up's flags; plain operations serve"
	}
	if err := native.Ready(); err != nil {
		return "none: " + err.Error()
	}
	return native.Name()
}

func capability() []string {
	var have []string
	for _, c := range []struct {
		name string
		has  bool
	}{
		{"AVX2", cpu.X86.HasAVX2 && cpu.X86.HasFMA},
		{"AVX-512", cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512DQ},
		{"AVX512-BF16", cpu.X86.HasAVX512BF16},
		{"AMX", cpu.X86.HasAMXTile && cpu.X86.HasAMXBF16},
	} {
		if c.has {
			have = append(have, c.name)
		}
	}
	return have
}

func helperState() string {
	if CUDADevices() == 0 {
		return ""
	}
	path, err := Helper()
	if err != nil {
		return err.Error()
	}
	return path
}

// cudaNames is the driver's name of each device that libtorch can use.
func cudaNames() []string {
	names := make([]string, CUDADevices())
	for i := range names {
		names[i] = "CUDA device"
		if p, err := CUDA(i).Properties(); err == nil {
			names[i] = p.Name
		}
	}
	return names
}
