package libtorch

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// interpreter is one Python and how it came to be considered.
type interpreter struct {
	path string
	why  string
}

// interpreters lists the Pythons that count as active, the most specific first.
func (s Search) interpreters() []interpreter {
	var found []interpreter
	for _, variable := range []string{"VIRTUAL_ENV", "CONDA_PREFIX"} {
		if prefix := s.Getenv(variable); prefix != "" {
			path := filepath.Join(prefix, "bin", "python")
			if _, err := os.Stat(path); err == nil {
				found = append(found, interpreter{path, "$" + variable})
			}
		}
	}
	if path, err := s.LookPath("python3"); err == nil {
		found = append(found, interpreter{path, "python3 on PATH"})
	}
	return found
}

// torchFinder prints the folder of torch without importing it (an import takes
// seconds). The current folder, first on the path under -c, is left out: a
// folder named torch in it is not PyTorch.
const torchFinder = `
import importlib.util, sys
sys.path = [p for p in sys.path if p]
spec = importlib.util.find_spec("torch")
if spec is not None and spec.origin:
    print(list(spec.submodule_search_locations)[0])
`

// torchOf is the torch folder of a Python, empty where it has none.
func torchOf(ctx context.Context, python string) (string, error) {
	output, err := exec.CommandContext(ctx, python, "-c", torchFinder).Output()
	if err != nil {
		return "", fmt.Errorf("%s does not run: %w", python, err)
	}
	return strings.TrimSpace(string(output)), nil
}

// pip is the first active Python that can install packages.
func (s Search) pip(ctx context.Context) (string, error) {
	pythons := s.interpreters()
	for _, python := range pythons {
		if exec.CommandContext(ctx, python.path, "-m", "pip", "--version").Run() == nil {
			return python.path, nil
		}
	}
	if len(pythons) == 0 {
		return "", fmt.Errorf("no libtorch is here and installing one needs Python 3: apt-get install python3 python3-pip, or set LIBTORCH to a libtorch folder")
	}
	return "", fmt.Errorf("no libtorch is here and installing one needs pip, which %s lacks: apt-get install python3-pip, or set LIBTORCH to a libtorch folder", pythons[0].path)
}
