package parallel_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/metatt/metatt/pkg/parallel"
	"github.com/metatt/metatt/pkg/parallel/mpi"
)

// behaviour is what a process of a test does.
const behaviour = "METATT_TEST_BEHAVIOUR"

func TestMain(m *testing.M) {
	if name := os.Getenv(behaviour); name != "" {
		os.Exit(behave(name))
	}
	os.Exit(m.Run())
}

// behave is a process of a job.
func behave(name string) int {
	w, err := parallel.Join(os.LookupEnv, os.Stderr)
	if err == nil && w == nil {
		err = errors.New("alone")
	}
	if err != nil {
		fmt.Println("join:", err)
		return 3
	}
	last := w.Rank() == w.Size()-1
	switch name {
	case "works":
		err = works(w)
	case "differs":
		err = parallel.Agree(w, "the numbers", 7, uint32(w.Rank()/2))
	case "killed":
		if last {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		err = w.Sum("the gradients", make([]float32, 10))
	case "stops":
		if last {
			_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP) // and what it gave the launcher to do is not done
		}
		err = w.Sum("the gradients", make([]float32, 10))
	case "busy":
		if last {
			time.Sleep(6 * time.Second)
		}
		err = w.Barrier("who is busy")
	case "fails":
		if last {
			err = w.Abort(7)
		}
		time.Sleep(time.Minute)
	}
	if err != nil {
		fmt.Printf("rank %d: %v\n", w.Rank(), err)
		return 4
	}
	if err := w.Leave(); err != nil {
		fmt.Println("leave:", err)
		return 5
	}
	fmt.Printf("rank %d is done\n", w.Rank())
	return 0
}

func works(w *parallel.World) error {
	n, r := w.Size(), w.Rank()
	if rank, size := w.Local(); rank != r || size != n {
		return fmt.Errorf("rank %d of %d on this machine", rank, size)
	}
	for _, length := range []int{0, 1, 7, 300_001} {
		values := make([]float32, length)
		for i := range values {
			values[i] = float32(r+1) * float32(i%1000)
		}
		if err := w.Sum("sums", values); err != nil {
			return err
		}
		for i, v := range values {
			if want := float32(n*(n+1)/2) * float32(i%1000); v != want {
				return fmt.Errorf("sum %d of %d is %v, want %v", i, length, v, want)
			}
		}
		var sent []byte
		if r == 0 {
			sent = bytes.Repeat([]byte{1, 2, 3}, length)
		}
		got, err := w.Broadcast("bytes", sent)
		if err != nil || !bytes.Equal(got, bytes.Repeat([]byte{1, 2, 3}, length)) {
			return fmt.Errorf("%d bytes of %d came (%v)", len(got), 3*length, err)
		}
	}
	undefined := []float32{float32(math.NaN()), 0}
	if r > 0 {
		undefined = []float32{0, float32(math.Inf(1))}
	}
	if err := w.Sum("what is no number", undefined); err != nil || undefined[0] == undefined[0] || !math.IsInf(float64(undefined[1]), 1) {
		return fmt.Errorf("%v (%v)", undefined, err)
	}
	if err := w.Barrier("all"); err != nil {
		return err
	}
	return parallel.Agree(w, "the numbers", 3, 4)
}

// mpirun is the command of a job of n processes that behave so; the test is skipped where
// there is no MPI.
func mpirun(t *testing.T, n int, name string, env ...string) *exec.Cmd {
	t.Helper()
	compiler, err := mpi.Compiler()
	if err != nil {
		t.Skip("no MPI to test: ", err)
	}
	launcher, err := exec.LookPath("mpirun")
	if err != nil {
		t.Skip("no MPI to test: ", err)
	}
	helper := filepath.Join(t.TempDir(), mpi.Library)
	if err := mpi.Compile(t.Context(), compiler, helper); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(launcher, "-n", strconv.Itoa(n), "--oversubscribe", os.Args[0])
	command.Env = append(os.Environ(), behaviour+"="+name, "METATT_MPI_HELPER="+helper, "METATT_MPI_DEADLINE=4")
	if os.Getuid() == 0 {
		command.Env = append(command.Env, "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1")
	}
	command.Env = append(command.Env, env...)
	return command
}

func TestMPI(t *testing.T) {
	for _, n := range []int{2, 3, 5} {
		out, err := mpirun(t, n, "works").CombinedOutput()
		if err != nil {
			t.Fatalf("%d processes: %v: %s", n, err, out)
		}
		if got := strings.Count(string(out), "is done"); got != n {
			t.Errorf("%d of %d are done: %s", got, n, out)
		}
	}
}

// All processes hear of the same ones that differ.
func TestAgree(t *testing.T) {
	out, err := mpirun(t, 3, "differs").CombinedOutput()
	if err == nil {
		t.Errorf("processes that differ end well: %s", out)
	}
	want := "the numbers of rank 2 are not those of rank 0"
	if !strings.Contains(string(out), want) {
		t.Errorf("%q does not say %q", out, want)
	}
	if err := parallel.Agree(nil, "numbers", 1); err != nil {
		t.Error(err)
	}
}

// A process that is lost ends the others, whether the launcher sees it or not; one that takes
// long does not.
func TestLostProcesses(t *testing.T) {
	out, err := mpirun(t, 3, "killed").CombinedOutput()
	if err == nil {
		t.Errorf("a process was killed: %s", out)
	}
	if out, err := mpirun(t, 3, "busy").CombinedOutput(); err != nil {
		t.Errorf("a process was busy for longer than the deadline: %v: %s", err, out)
	}
	stopped := mpirun(t, 3, "stops")
	stopped.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err = stopped.CombinedOutput()
	want := "rank 0 of 3, waiting for the gradients: rank 2 has given no sign of life for 4s and is lost: the job ends"
	if err == nil || !strings.Contains(string(out), want) {
		t.Errorf("%v: %q does not say %q", err, out, want)
	}
	out, err = mpirun(t, 3, "fails").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("a process ended the job: %v: %s", err, out)
	}
}

func TestJoinRefuses(t *testing.T) {
	for _, c := range []struct {
		env  []string
		want string
	}{
		{[]string{"OMPI_COMM_WORLD_SIZE=two"}, `OMPI_COMM_WORLD_SIZE: "two" is no number of processes`},
		{[]string{"SLURM_STEP_NUM_TASKS=0"}, `SLURM_STEP_NUM_TASKS: "0" is no number of processes`},
		{[]string{"PMI_SIZE=2", "METATT_MPI_DEADLINE=never"}, `METATT_MPI_DEADLINE: "never": write 2 or more seconds`},
		{[]string{"PMI_SIZE=2", "METATT_MPI_DEADLINE=NaN"}, `METATT_MPI_DEADLINE: "NaN"`},
	} {
		_, err := parallel.Join(environment(c.env), os.Stderr)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.env, err, c.want)
		}
	}
	for _, env := range [][]string{nil, {"OMPI_COMM_WORLD_SIZE=1"}, {"SLURM_NTASKS=4"}, {"SLURM_STEP_NUM_TASKS=1", "PMI_SIZE=3"}} {
		if w, err := parallel.Join(environment(env), os.Stderr); w != nil || err != nil {
			t.Errorf("%v: %v, %v, want one process alone", env, w, err)
		}
	}
}

// environment looks up in a list of its own.
func environment(list []string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		i := slices.IndexFunc(list, func(e string) bool { return strings.HasPrefix(e, name+"=") })
		if i < 0 {
			return "", false
		}
		return list[i][len(name)+1:], true
	}
}

// A process whose launcher has started others says what is missing, and the same where the
// helper is not what it should be.
func TestJoinWithoutMPI(t *testing.T) {
	for want, helper := range map[string]string{
		"mpirun has started 2 processes, which need MPI to make one run: METATT_MPI_HELPER: the MPI helper cannot be loaded: /nonsense": "/nonsense",
		"is the MPI helper of another build": "libm.so.6",
	} {
		command := exec.Command(os.Args[0])
		command.Env = append(os.Environ(), behaviour+"=works", "OMPI_COMM_WORLD_SIZE=2", "METATT_MPI_HELPER="+helper)
		if out, err := command.CombinedOutput(); err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v: %q does not say %q", helper, err, out, want)
		}
	}
}

// What srun starts without a PMI would be ended by Open MPI with pages of text.
func TestSrunWithoutPMI(t *testing.T) {
	helper := mpirun(t, 2, "works").Env // that it is there
	command := exec.Command(os.Args[0])
	command.Env = append(helper, "SLURM_STEP_NUM_TASKS=2")
	if out, err := command.CombinedOutput(); err == nil || !strings.Contains(string(out), "srun has started 2 processes and offers them no PMI to meet by: srun --mpi=pmix") {
		t.Errorf("%v: %s", err, out)
	}
	command = exec.Command(os.Args[0]) // a launcher that is not the MPI's
	command.Env = append(helper, "PMI_SIZE=2")
	if out, err := command.CombinedOutput(); err == nil || !strings.Contains(string(out), "mpirun has started 2 processes, MPI finds 1: the launcher is not that of Open MPI") {
		t.Errorf("%v: %s", err, out)
	}
}
