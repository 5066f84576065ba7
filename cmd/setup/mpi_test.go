package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/metatt/metatt/cmd/setup/internal/faketorch"
	"github.com/metatt/metatt/pkg/parallel/mpi"
)

// A machine without MPI, or with one that does not compile, is set up all the same, and what
// it lacks is said.
func TestBuildMPI(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, helperDir, mpi.Library)
	build := func(want string, built bool) {
		t.Helper()
		var output strings.Builder
		if err := buildMPI(t.Context(), dir, &output); err != nil || !strings.Contains(output.String(), want) {
			t.Errorf("%v: %q does not say %q", err, output.String(), want)
		}
		if _, err := os.Stat(out); (err == nil) != built {
			t.Errorf("built: %v, want %v", err == nil, built)
		}
	}
	empty := t.TempDir()
	script := filepath.Join(empty, "compiler")
	compiles := func(commands string) {
		t.Helper()
		faketorch.Write(t, script, "#!/bin/sh\n"+commands+"\n")
		if err := os.Chmod(script, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	path := os.Getenv("PATH")
	t.Setenv("MPICC", "")
	t.Setenv("PATH", empty)
	build("no MPI (mpicc) is here", false)
	t.Setenv("PATH", path)
	t.Setenv("MPICC", filepath.Join(empty, "nothing"))
	build("MPICC: ", false)
	t.Setenv("MPICC", script)
	compiles("echo 'mpi.c:8:10: fatal error: mpi.h: No such file' >&2; exit 1")
	build("cannot be compiled by "+script+": mpi.c:8:10: fatal error: mpi.h: No such file\na run is one process", false)
	compiles(`while [ "$1" != -o ]; do shift; done; touch "$2"`)
	build("MPI by "+script, true)

	t.Setenv("MPICC", "")
	if _, err := exec.LookPath("mpicc"); err != nil {
		t.Skip("no MPI to compile against")
	}
	build("a run may be several processes", true)
}
