package run_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/place"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/run/runtest"
)

// The environment of a process that trains and is killed: the run directory, the
// overrides a line each, and after how many microseconds of training it is killed.
const (
	killedRun   = "METATT_TEST_KILLED_RUN"
	killedKeys  = "METATT_TEST_KILLED_KEYS"
	killedAfter = "METATT_TEST_KILLED_AFTER"
)

// killedRuns asks for more runs of each method and number of threads than the one of
// every test run, and of all methods or those that are named after the number:
// METATT_KILLED_RUNS="32,metatt4d" go test -run TestKilledProcesses -v -timeout 1h ./pkg/run
const killedRuns = "METATT_KILLED_RUNS"

// trainToBeKilled trains, or goes on, and kills its process on the way.
func trainToBeKilled(dir string) int {
	o, err := runtest.TinyIn(dir, strings.Split(os.Getenv(killedKeys), "\n")...)
	if err == nil {
		after, number := strconv.Atoi(os.Getenv(killedAfter))
		began := false
		o.Observer = watcher{func(string) {
			if number == nil && !began {
				began = true
				time.AfterFunc(time.Duration(after)*time.Microsecond, func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) })
			}
		}}
		if _, missing := os.Stat(filepath.Join(dir, place.ConfigFile)); missing == nil {
			_, err = run.Resume(context.Background(), dir, o)
		} else {
			_, err = run.Train(context.Background(), o)
		}
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// trainApart trains in a process of its own, to the end with after 0. It reports
// whether the run came to its end.
func trainApart(t *testing.T, dir string, keys []string, after time.Duration) bool {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), killedRun+"="+dir, killedKeys+"="+strings.Join(keys, "\n"))
	if after > 0 {
		child.Env = append(child.Env, fmt.Sprintf("%s=%d", killedAfter, after.Microseconds()))
	}
	out, err := child.CombinedOutput()
	killed := child.ProcessState != nil && child.ProcessState.Sys().(syscall.WaitStatus).Signaled()
	if err != nil && !killed {
		t.Fatalf("%v: %v: %s", keys, err, out)
	}
	return !killed
}

// Runs that are killed at random moments and go on, twice, in other processes, end
// byte for byte as one that was left alone, with any number of threads.
func TestKilledProcesses(t *testing.T) {
	rounds, methods := 1, []string{"metatt4d", "adalora", "full", "metatt4d tasks"}
	number, named, some := strings.Cut(os.Getenv(killedRuns), ",")
	if n, err := strconv.Atoi(number); err == nil {
		rounds, methods = n, []string{"metatt4d sweep", "metatt4d tasks"}
		for _, method := range adapter.Methods() {
			methods = append(methods, method.Name)
		}
	}
	if some {
		methods = strings.Split(named, ",")
	}
	random := rand.New(rand.NewPCG(12, 0))
	resumes, equal, finished := 0, 0, 0
	for _, method := range methods {
		for threads := 1; threads <= 2; threads++ {
			name, with, _ := strings.Cut(method, " ")
			keys := []string{"adapter.method=" + name, fmt.Sprint("threads=", threads), "train.epochs=4", "train.checkpoint_every=3", "train.best_metric=f1"}
			switch {
			case name == "metatt4d" || name == "lora":
				keys = append(keys, "adapter.rank=5")
			default:
				keys = append(keys, "adapter.rank=2")
			}
			switch with {
			case "sweep":
				keys = append(keys, "dmrg.mode=canonical", "dmrg.unit=step", "dmrg.at=9,16", "dmrg.maxdim=4,2")
			case "tasks":
				keys = append(keys, "task=mrpc,rte,stsb", "data.glue="+threeTasks(t), "adapter.task_after=layer", "train.accumulate=2", "train.mixture=sqrt",
					"train.best_metric=", "train.eval_every=3", "train.patience=6", "run.predictions=true")
			}
			whole := filepath.Join(t.TempDir(), "whole")
			began := time.Now()
			trainApart(t, whole, keys, 0)
			length := time.Since(began) * 2 / 3 // the rest is reading and start
			for range rounds {
				dir := filepath.Join(t.TempDir(), "killed")
				done := false
				for range 2 {
					if done = trainApart(t, dir, keys, 1+time.Duration(random.Int64N(int64(length)))/2); !done {
						resumes++
					} else {
						finished++
						break
					}
				}
				if !done {
					trainApart(t, dir, keys, 0)
				}
				if sameFiles(t, fmt.Sprintf("%s, %d threads", method, threads), dir, whole) {
					equal++
				}
				if left := debris(t, dir); len(left) > 0 {
					t.Errorf("%s: left behind: %q", method, left)
				}
			}
		}
	}
	t.Logf("%d runs, %d of them equal to one left alone; %d kills, each resumed; %d ended before their kill", rounds*len(methods)*2, equal, resumes, finished)
	if resumes == 0 {
		t.Error("no process was killed")
	}
}
