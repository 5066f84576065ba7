package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/metatt/metatt/cmd/setup/internal/faketorch"
)

func TestWrongUsage(t *testing.T) {
	for _, arguments := range [][]string{{"--modul", "."}, {"there"}, {"--module"}} {
		if err := run(t.Context(), arguments, t.Output()); !errors.Is(err, errUsage) {
			t.Errorf("run(%q) = %v, want wrong usage", arguments, err)
		}
	}
	if err := run(t.Context(), []string{"--module", t.TempDir()}, t.Output()); err == nil || errors.Is(err, errUsage) {
		t.Errorf("run on a folder without go.mod = %v", err)
	}
}

func TestCheckChangesNothing(t *testing.T) {
	dir := t.TempDir()
	faketorch.Write(t, filepath.Join(dir, "go.mod"), "module m\n\ngo 1.26.0\n\nrequire github.com/sugarme/gotch v0.9.1\n")
	check := func() string {
		t.Helper()
		var output strings.Builder
		if err := run(t.Context(), []string{"--module", dir, "--check"}, &output); err != nil {
			t.Fatal(err)
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 1 {
			t.Errorf("--check left %v", entries)
		}
		return output.String()
	}

	root := faketorch.Build(t, filepath.Join(t.TempDir(), "torch"), faketorch.Options{})
	t.Setenv("LIBTORCH", root)
	if got := check(); !strings.Contains(got, "libtorch 9.9.9 (new C++ ABI) in "+root+": LIBTORCH is set") || !strings.Contains(got, "would adapt gotch") {
		t.Errorf("--check with LIBTORCH says %q", got)
	}
	t.Setenv("LIBTORCH", "/nonsense")
	if err := run(t.Context(), []string{"--module", dir, "--check"}, t.Output()); err == nil || !strings.Contains(err.Error(), "/nonsense is not a libtorch") {
		t.Errorf("--check with a bad LIBTORCH = %v", err)
	}
}
