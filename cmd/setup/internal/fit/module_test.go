package fit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/metatt/metatt/cmd/setup/internal/faketorch"
)

func TestOpenModule(t *testing.T) {
	tests := []struct{ name, gomod, want string }{
		{"no go.mod", "", "has no go.mod"},
		{"no gotch", "module m\n\ngo 1.26.0\n", "run `go get github.com/metatt/metatt` (or `go get github.com/sugarme/gotch@v0.9.1`)"},
		{"another gotch", "module m\n\ngo 1.26.0\n\nrequire github.com/sugarme/gotch v0.7.0\n", "only v0.9.1 can be adapted"},
		{"not a go.mod", "modul m\n", "unknown directive: modul"},
		{"good", "module m\n\ngo 1.25\n\nrequire github.com/sugarme/gotch v0.9.1 // indirect\n", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "a module")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if test.gomod != "" {
				faketorch.Write(t, filepath.Join(dir, "go.mod"), test.gomod)
			}
			module, err := OpenModule(t.Context(), dir)
			if test.want == "" {
				if err != nil || module.Dir != dir || module.Go != "1.25" {
					t.Errorf("OpenModule = %+v, %v", module, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("OpenModule = %v, want one line with %q", err, test.want)
			}
		})
	}
}

func TestOpenModuleWantsItsRoot(t *testing.T) {
	dir := t.TempDir()
	faketorch.Write(t, filepath.Join(dir, "go.mod"), "module m\n\ngo 1.26.0\n\nrequire github.com/sugarme/gotch v0.9.1\n")
	inner := filepath.Join(dir, "inner")
	if err := os.Mkdir(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenModule(t.Context(), inner); err == nil || !strings.Contains(err.Error(), inner+" has no go.mod") {
		t.Errorf("OpenModule(a folder inside) = %v", err)
	}
	if _, err := OpenModule(t.Context(), filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("OpenModule(no folder) = %v", err)
	}
	t.Chdir(inner)
	if module, err := OpenModule(t.Context(), ""); err != nil || module.Dir != dir {
		t.Errorf("OpenModule from inside = %+v, %v, want %s", module, err, dir)
	}
}

func TestOpenModuleNeedsACompiler(t *testing.T) {
	dir := t.TempDir()
	faketorch.Write(t, filepath.Join(dir, "go.mod"), "module m\n\ngo 1.26.0\n\nrequire github.com/sugarme/gotch v0.9.1\n")
	t.Setenv("CXX", "no-such-compiler -m64")
	if _, err := OpenModule(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "no-such-compiler is missing: apt-get install g++") {
		t.Errorf("OpenModule without g++ = %v", err)
	}
	t.Setenv("CXX", "g++")
	t.Setenv("CGO_ENABLED", "0")
	if _, err := OpenModule(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "cgo is switched off") {
		t.Errorf("OpenModule without cgo = %v", err)
	}
}
