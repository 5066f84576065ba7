package libtorch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Search looks for a libtorch for one Go module.
type Search struct {
	ModuleDir string                       // where an installed libtorch goes (.libtorch/)
	Getenv    func(string) string          // os.Getenv
	LookPath  func(string) (string, error) // exec.LookPath
	HasDriver func() bool                  // HasNVIDIADriver
	Notes     io.Writer                    // what was passed over and what is installed
}

// Choice is the libtorch that a search settled on, and why.
type Choice struct {
	Library
	Why string
}

// ErrNotInstalled says that only an installation would give a libtorch.
var ErrNotInstalled = errors.New("no libtorch is here")

// Find takes LIBTORCH, else the torch of the active Python, else the libtorch
// that an earlier Install left. What LIBTORCH names must be good; a Python's
// torch that cannot be built against is passed over with a note.
func (s Search) Find(ctx context.Context) (Choice, error) {
	if root := s.Getenv("LIBTORCH"); root != "" {
		library, err := usable(ctx, root)
		if err != nil {
			return Choice{}, fmt.Errorf("LIBTORCH: %w", err)
		}
		return Choice{library, "LIBTORCH is set"}, nil
	}
	for _, python := range s.interpreters() {
		root, err := torchOf(ctx, python.path)
		if err == nil && root == "" {
			continue
		}
		var library Library
		if err == nil {
			library, err = usable(ctx, root)
		}
		if err != nil {
			fmt.Fprintf(s.Notes, "passed over %s (%s): %v\n", python.path, python.why, err)
			continue
		}
		return Choice{library, fmt.Sprintf("the torch of %s (%s)", python.path, python.why)}, nil
	}
	target := s.installation()
	library, err := usable(ctx, filepath.Join(target.dir, "torch"))
	if err == nil {
		return Choice{library, "installed by setup: " + target.why}, nil
	}
	if _, statErr := os.Stat(target.dir); !errors.Is(statErr, fs.ErrNotExist) {
		return Choice{}, fmt.Errorf("the libtorch that setup installed is damaged, remove %s: %w", target.dir, err)
	}
	return Choice{}, ErrNotInstalled
}

func usable(ctx context.Context, root string) (Library, error) {
	library, err := Inspect(root)
	if err != nil {
		return Library{}, err
	}
	return library, library.CheckDependencies(ctx)
}

// HasNVIDIADriver tells whether an NVIDIA driver is loaded or its CUDA library installed.
func HasNVIDIADriver() bool {
	for _, path := range []string{
		"/proc/driver/nvidia/version",
		"/dev/nvidiactl",
		"/usr/lib/x86_64-linux-gnu/libcuda.so.1",
		"/usr/lib64/libcuda.so.1",
		"/usr/lib/wsl/lib/libcuda.so.1",
	} {
		if _, err := os.Stat(path); err == nil {
			return true
		}
	}
	return false
}
