package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/metatt/metatt/pkg/parallel/mpi"
)

// buildMPI compiles the MPI helper where there is an MPI to compile it against, in less time
// than finding out whether it is up to date would need care for. What fails is said: one
// process trains without it.
func buildMPI(ctx context.Context, dir string, output io.Writer) error {
	compiler, err := mpi.Compiler()
	if errors.Is(err, mpi.ErrNoCompiler) {
		fmt.Fprintln(output, "no MPI (mpicc) is here: a run is one process; apt-get install openmpi-bin libopenmpi-dev for several")
		return nil
	}
	if err == nil {
		err = mpi.Compile(ctx, compiler, filepath.Join(dir, helperDir, mpi.Library))
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		fmt.Fprintf(output, "%v\na run is one process without it\n", err)
		return nil
	}
	fmt.Fprintf(output, "MPI by %s: a run may be several processes\n", compiler)
	return nil
}
