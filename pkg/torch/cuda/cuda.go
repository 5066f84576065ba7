// Package cuda is the source of the CUDA helper: what libtorch's C interface lacks for a
// GPU, CUDA graphs, packed attention and fused passes, as a library of its own that is
// compiled where a PyTorch with CUDA is, and loaded by package torch where it can be. It
// needs no libtorch itself.
package cuda

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/metatt/metatt/pkg/internal/helper"
)

// Library is the helper's file name.
const Library = "libmetatt_cuda.so"

//go:embed build.sh source
var files embed.FS

// Source is build.sh and the folder source/, to be carried to the machine with the GPU.
func Source() fs.FS { return files }

// Build tells builds of the source apart; build.sh makes the same of the same files.
func Build() string { return helper.Build(files) }

// Compile makes the library out against the PyTorch with CUDA in torch, as build.sh says;
// includes are folders with CUDA's headers that come before those it finds.
func Compile(ctx context.Context, torch, out string, includes ...string) error {
	work, err := os.MkdirTemp("", "metatt-cuda-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := os.CopyFS(work, files); err != nil {
		return err
	}
	command := exec.CommandContext(ctx, "bash", append([]string{filepath.Join(work, "build.sh"), torch, out}, includes...)...)
	// The compilers that build.sh starts end with it: they are of its group, and what still
	// holds its output open after that is not waited for.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGTERM) }
	command.WaitDelay = 5 * time.Second
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Run(); err != nil {
		return fmt.Errorf("the CUDA helper cannot be compiled: %s", reason(output.String(), err))
	}
	return nil
}

// reason is the first error of a compiler and what build.sh says of it.
func reason(output string, err error) string {
	var first, last string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if first == "" && strings.Contains(line, "error:") {
			first = line
		}
		if text, ok := strings.CutPrefix(line, "build.sh: "); ok {
			last = text
		}
	}
	switch {
	case last == "":
		return err.Error()
	case first == "":
		return last
	}
	return last + ": " + first
}
