package parallel

import (
	"fmt"
	"strconv"
)

// Launch is what a launcher has told a process that it has started.
type Launch struct {
	By   string // mpirun or srun
	Size int    // processes of the job
}

// launchers are how the size of a job is told, the innermost first. Slurm tells a batch
// script that sizes its own srun, which is a job of one process, SLURM_NTASKS alone.
var launchers = []struct{ by, size string }{
	{"mpirun", "OMPI_COMM_WORLD_SIZE"}, // Open MPI
	{"srun", "SLURM_STEP_NUM_TASKS"},
	{"mpirun", "PMI_SIZE"}, // MPICH and what comes of it
}

// Launched is what the environment says of a launcher; a job of 1 by nobody where it says nothing.
func Launched(env func(string) (string, bool)) (Launch, error) {
	for _, l := range launchers {
		text, set := env(l.size)
		if !set {
			continue
		}
		size, err := strconv.Atoi(text)
		if err != nil || size < 1 {
			return Launch{}, fmt.Errorf("%s: %q is no number of processes", l.size, text)
		}
		return Launch{l.by, size}, nil
	}
	return Launch{Size: 1}, nil
}

// check is an error where an MPI would look in vain for what srun offers it: some end the
// process then.
func (l Launch) check(env func(string) (string, bool)) error {
	if l.By != "srun" {
		return nil
	}
	for _, offered := range []string{"PMIX_NAMESPACE", "PMI_FD", "PMI_RANK"} {
		if _, set := env(offered); set {
			return nil
		}
	}
	return fmt.Errorf("srun has started %d processes and offers them no PMI to meet by: srun --mpi=pmix (srun --mpi=list names what there is)", l.Size)
}
