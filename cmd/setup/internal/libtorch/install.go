package libtorch

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// wheel is one pinned package: pip refuses any other file.
type wheel struct{ name, version, sha256 string }

const pinnedTorch = "2.11.0"

// cpuWheels is the least that libtorch_cpu.so of the PyPI wheel loads with. Only
// lib/ and include/ are used, so that one file, CPython 3.11's, serves any
// Python that runs pip.
var cpuWheels = []wheel{
	{"torch", pinnedTorch, "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a"},
	{"nvidia-cuda-runtime", "13.0.96", "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548"},
	{"nvidia-cuda-cupti", "13.0.85", "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8"},
}

// cudaWheels are the rest of what torch 2.11.0's metadata requires of NVIDIA's
// packages, each pinned there to the version given here. Its pure Python
// requirements and triton are left out: nothing in lib/ loads them.
var cudaWheels = []wheel{
	{"nvidia-cublas", "13.1.0.3", "ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171"},
	{"nvidia-cuda-nvrtc", "13.0.88", "ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575"},
	{"nvidia-cudnn-cu13", "9.19.0.56", "d20e1734305e9d68889a96e3f35094d733ff1f83932ebe462753973e53a572bf"},
	{"nvidia-cufft", "12.0.0.61", "6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3"},
	{"nvidia-cufile", "1.15.1.6", "08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44"},
	{"nvidia-curand", "10.4.0.35", "1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc"},
	{"nvidia-cusolver", "12.0.4.66", "0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112"},
	{"nvidia-cusparse", "12.6.3.3", "2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b"},
	{"nvidia-cusparselt-cu13", "0.8.0", "25e30a8a7323935d4ad0340b95a0b69926eee755767e8e0b1cf8dd85b197d3fd"},
	{"nvidia-nccl-cu13", "2.28.9", "e4553a30f34195f3fa1da02a6da3d6337d28f2003943aa0a3d247bbc25fefc42"},
	{"nvidia-nvjitlink", "13.0.88", "13a74f429e23b921c1109976abefacc69835f2f433ebd323d3946e11d804e47b"},
	{"nvidia-nvshmem-cu13", "3.4.5", "290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80"},
	{"nvidia-nvtx", "13.0.85", "4936d1d6780fbe68db454f5e72a42ff64d1fd6397df9f363ae786930fd5c1cd4"},
}

// headerWheels is what NVIDIA's packages beside a torch of CUDA 13 lack to compile against
// it.
var headerWheels = []wheel{{"nvidia-cuda-crt", "13.0.88", "2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4"}}

// InstallHeaders puts CUDA's headers that torch's own packages lack under the module's
// .libtorch/ and returns their folder.
func (s Search) InstallHeaders(ctx context.Context, library Library) (include string, err error) {
	if match := cudaMajor.FindStringSubmatch(library.Version); match == nil || match[1] != "13" {
		return "", fmt.Errorf("CUDA's headers for libtorch %s are not here: install the CUDA toolkit and set CUDA_HOME", library.Version)
	}
	dir := filepath.Join(s.ModuleDir, ".libtorch", headerWheels[0].name+"-"+headerWheels[0].version)
	include = filepath.Join(dir, "nvidia", "cu13", "include")
	if _, err := os.Stat(dir); err == nil {
		return include, nil
	}
	python, err := s.pip(ctx)
	if err != nil {
		return "", err
	}
	unfinished := filepath.Join(s.ModuleDir, ".libtorch", "unfinished")
	if err := os.RemoveAll(unfinished); err != nil {
		return "", err
	}
	defer os.RemoveAll(unfinished)
	site := filepath.Join(unfinished, "site")
	if err := pipInstall(ctx, python, unfinished, site, headerWheels); err != nil {
		return "", err
	}
	return include, os.Rename(site, dir)
}

type installation struct {
	dir    string
	wheels []wheel
	why    string
}

func (s Search) installation() installation {
	dir := filepath.Join(s.ModuleDir, ".libtorch")
	if s.HasDriver() {
		return installation{filepath.Join(dir, "torch-"+pinnedTorch+"-cuda"), slices.Concat(cpuWheels, cudaWheels, headerWheels),
			"torch " + pinnedTorch + " with CUDA, as an NVIDIA driver is here"}
	}
	return installation{filepath.Join(dir, "torch-"+pinnedTorch+"-cpu"), cpuWheels,
		"torch " + pinnedTorch + " for the CPU, as no NVIDIA driver is here"}
}

// Plan says in words what Install would install.
func (s Search) Plan() string { return s.installation().why }

// Install puts the pinned wheels under the module's .libtorch/ with pip, whose
// own configuration (index, wheel folders, proxies) applies. The folder takes
// its final name only when complete, so that an interrupted installation is
// never found later.
func (s Search) Install(ctx context.Context) (Choice, error) {
	python, err := s.pip(ctx)
	if err != nil {
		return Choice{}, err
	}
	target := s.installation()
	parent := filepath.Dir(target.dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return Choice{}, err
	}
	// The module is locked: what an interrupted run left is nobody's.
	unfinished := filepath.Join(parent, "unfinished")
	if err := os.RemoveAll(unfinished); err != nil {
		return Choice{}, err
	}
	defer os.RemoveAll(unfinished)
	fmt.Fprintf(s.Notes, "installing %s into %s\n", target.why, target.dir)
	site := filepath.Join(unfinished, "site")
	if err := pipInstall(ctx, python, unfinished, site, target.wheels); err != nil {
		return Choice{}, err
	}
	if _, err := usable(ctx, filepath.Join(site, "torch")); err != nil {
		return Choice{}, fmt.Errorf("the installed wheels cannot be used: %w", err)
	}
	syscall.Sync() // else the rename may reach the disk before the files do
	if err := os.Rename(site, target.dir); err != nil {
		return Choice{}, err
	}
	return s.Find(ctx)
}

// pipInstall installs into site, with work as the folder for temporary files:
// pip unpacks there before it moves, which /tmp may be too small for.
func pipInstall(ctx context.Context, python, work, site string, pinned []wheel) error {
	requirements := filepath.Join(work, "requirements.txt")
	if err := os.MkdirAll(work, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(requirements, []byte(requirementLines(pinned)), 0o644); err != nil {
		return err
	}
	arguments := append([]string{"-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--require-hashes",
		"--disable-pip-version-check", "--target", site, "--requirement", requirements}, wheelTags()...)
	command := exec.CommandContext(ctx, python, arguments...)
	// The last two settings guard the Python's own packages, which --target leaves alone.
	command.Env = append(os.Environ(), "TMPDIR="+work, "PIP_USER=0", "PIP_REQUIRE_VIRTUALENV=0")
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	var output strings.Builder
	command.Stdout, command.Stderr = &output, &output
	if err := command.Run(); err != nil {
		return fmt.Errorf("pip could not install %s %s: %s", pinned[0].name, pinned[0].version, pipError(output.String(), err))
	}
	return nil
}

func requirementLines(pinned []wheel) string {
	var lines strings.Builder
	for _, w := range pinned {
		fmt.Fprintf(&lines, "%s==%s --hash=sha256:%s\n", w.name, w.version, w.sha256)
	}
	return lines.String()
}

// wheelTags selects wheels for CPython 3.11 on glibc 2.28 and older. pip takes
// an explicit platform literally, so every older one is named as well.
func wheelTags() []string {
	tags := []string{"--only-binary=:all:", "--implementation=cp", "--python-version=311"}
	for minor := 28; minor >= 5; minor-- {
		tags = append(tags, fmt.Sprintf("--platform=manylinux_2_%d_x86_64", minor))
	}
	return append(tags, "--platform=manylinux2014_x86_64", "--platform=manylinux2010_x86_64", "--platform=manylinux1_x86_64")
}

// pipError is the last line that pip marked as an error.
func pipError(output string, err error) string {
	message := err.Error()
	for line := range strings.Lines(output) {
		if text, ok := strings.CutPrefix(line, "ERROR: "); ok {
			message = strings.TrimSpace(text)
		}
	}
	return message
}
