package run_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/metatt/metatt/pkg/parallel"
	"github.com/metatt/metatt/pkg/parallel/paralleltest"
	"github.com/metatt/metatt/pkg/place"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/run/runtest"
	"github.com/metatt/metatt/pkg/train"
)

// The environment of a process of a group: the run directory, the overrides a line each, and
// which process is asked to stop, or is killed, after which step.
const (
	groupRun  = "METATT_TEST_GROUP_RUN"
	groupKeys = "METATT_TEST_GROUP_KEYS"
	groupStop = "METATT_TEST_GROUP_STOP" // RANK STEP
	groupKill = "METATT_TEST_GROUP_KILL" // RANK STEP
	groupKey  = "METATT_TEST_GROUP_KEY"  // RANK KEY=VALUE, of that process alone
)

// of is what a variable says of a process; empty: nothing.
func of(variable string, rank int) string {
	who, what, _ := strings.Cut(os.Getenv(variable), " ")
	if who == strconv.Itoa(rank) {
		return what
	}
	return ""
}

// stepping calls at with each step that was made.
type stepping struct {
	runtest.Silent
	at func(step int)
}

func (s stepping) Step(info train.StepInfo) { s.at(info.Step) }

// trainInGroup is a process of a group that trains, or goes on.
func trainInGroup(dir string) int {
	g, err := paralleltest.Join()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	rank := 0
	if g != nil {
		rank = g.Rank()
	}
	keys := strings.Split(os.Getenv(groupKeys), "\n")
	if own := of(groupKey, rank); own != "" {
		keys = append(keys, own)
	}
	o, err := runtest.TinyIn(dir, keys...)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o.Group, o.Observer = g, stepping{at: func(step int) {
		if strconv.Itoa(step) == of(groupStop, rank) {
			cancel()
		}
		if strconv.Itoa(step) == of(groupKill, rank) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	}}
	resume, err := parallel.Once(g, "whether the run goes on", func() ([]byte, error) {
		_, missing := os.Stat(filepath.Join(dir, place.ConfigFile))
		return fmt.Appendf(nil, "%v", missing == nil), nil
	})
	if err == nil && string(resume) == "true" {
		_, err = run.Resume(ctx, dir, o)
	} else if err == nil {
		_, err = run.Train(ctx, o)
	}
	switch {
	case errors.Is(err, train.ErrInterrupted):
		fmt.Println("saved")
		return 130
	case err != nil:
		fmt.Println(err)
		return 1
	}
	return 0
}

// together trains in a group of that size, and is the exit code and the output of each
// process.
func together(t *testing.T, size int, dir string, keys []string, env ...string) (codes []int, outputs []string) {
	t.Helper()
	commands := paralleltest.Commands(t, size, append(env, groupRun+"="+dir, groupKeys+"="+strings.Join(keys, "\n"))...)
	texts := make([]strings.Builder, size)
	for i, c := range commands {
		c.Stdout, c.Stderr = &texts[i], &texts[i]
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range commands {
		var exit *exec.ExitError
		if err := c.Wait(); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		codes, outputs = append(codes, c.ProcessState.ExitCode()), append(outputs, texts[i].String())
	}
	return codes, outputs
}

// trainTogether is together to the end.
func trainTogether(t *testing.T, size int, dir string, keys []string) {
	t.Helper()
	codes, outputs := together(t, size, dir, keys)
	for rank, code := range codes {
		if code != 0 {
			t.Fatalf("rank %d of %d: exit code %d: %s", rank, size, code, outputs[rank])
		}
	}
}

// sameCurve compares two metrics.jsonl number by number: they are the same within tolerance,
// everything else is the same. It returns the largest relative difference. With a tolerance by
// which an example may fall on another side, steps alone are compared.
func sameCurve(t *testing.T, what, got, want string, tolerance float64) (largest float64) {
	t.Helper()
	a, b := strings.Split(strings.TrimSpace(string(metrics(t, got))), "\n"), strings.Split(strings.TrimSpace(string(metrics(t, want))), "\n")
	if len(a) != len(b) {
		t.Fatalf("%s: %d events, want %d", what, len(a), len(b))
	}
	for i := range a {
		var x, y map[string]any
		if err := errors.Join(json.Unmarshal([]byte(a[i]), &x), json.Unmarshal([]byte(b[i]), &y)); err != nil {
			t.Fatal(err)
		}
		if tolerance > 1e-5 && x["event"] != "step" {
			continue
		}
		if apart := difference(x, y); !(apart <= tolerance) {
			t.Errorf("%s: %.1e apart:\n%s\n%s", what, apart, a[i], b[i])
		} else {
			largest = max(largest, apart)
		}
	}
	return largest
}

// difference is the largest relative one of two JSON values' numbers, those near zero
// compared with 1e-3; 1 where they differ elsewhere.
func difference(x, y any) (largest float64) {
	switch x := x.(type) {
	case float64:
		y, ok := y.(float64)
		if !ok {
			return 1
		}
		return math.Abs(x-y) / max(math.Abs(y), 1e-3)
	case map[string]any:
		y, ok := y.(map[string]any)
		if !ok || len(x) != len(y) {
			return 1
		}
		for key := range x {
			largest = max(largest, difference(x[key], y[key]))
		}
		return largest
	case []any:
		y, ok := y.([]any)
		if !ok || len(x) != len(y) {
			return 1
		}
		for i := range x {
			largest = max(largest, difference(x[i], y[i]))
		}
		return largest
	}
	if x != y {
		return 1
	}
	return 0
}

// Several processes make the curve of one: with dropout, whose masks are the examples', with
// batches that no number of processes divides and some that are smaller, and whatever else
// happens between steps.
func TestGroupsTrainAsOne(t *testing.T) {
	const dropout = "model.dropout=0.1"
	const roundings = 1e-2
	for name, c := range map[string]struct {
		keys      []string
		tolerance float64
	}{
		"fixed":      {[]string{"train.batch_size=7"}, 1e-5},
		"dropout":    {[]string{"train.batch_size=5", dropout}, 1e-5},
		"accumulate": {[]string{"train.batch_size=3", "train.accumulate=3", dropout}, 1e-5},
		"one":        {[]string{"train.batch_size=1", "train.accumulate=2", "train.epochs=1", "train.lr=1e-3"}, 1e-5},
		"adalora":    {[]string{"adapter.method=adalora", "adapter.rank=2", "train.lr=1e-3", dropout}, 1e-5},
		"sweep":      {[]string{"adapter.rank=5", "dmrg.mode=canonical", "dmrg.unit=step", "dmrg.at=5,9", "dmrg.maxdim=4,2", "train.lr=1e-3"}, 1e-5},
		"enrich":     {[]string{"adapter.rank=2", "dmrg.mode=enrich", "dmrg.unit=step", "dmrg.at=5,9", "dmrg.grow=1", "dmrg.maxdim=3", "train.lr=1e-3"}, 1e-5},
		"two-site":   {[]string{"adapter.rank=3", "dmrg.mode=two-site", "dmrg.unit=step", "dmrg.at=3", "dmrg.pair_steps=2", "dmrg.maxdim=2", "train.lr=1e-3"}, 1e-5},
		"stacks":     {[]string{"adapter.method=tt-lora", "adapter.rank=3", "dmrg.mode=canonical", "dmrg.unit=step", "dmrg.at=5", "dmrg.maxdim=2", "train.lr=1e-3"}, 1e-5},
		// bf16 has 8 bits, and what is rounded to it depends on what was summed up before.
		"bf16":      {[]string{"model.dtype=bf16", "train.lr=1e-3", "train.max_steps=6", dropout}, roundings},
		"full bf16": {[]string{"adapter.method=full", "model.dtype=bf16", "train.lr=1e-4", "train.max_steps=6", dropout}, roundings},
		"full":      {[]string{"adapter.method=full", "train.lr=1e-4", dropout}, 1e-5},
		"tasks": {[]string{"task=mrpc,rte,stsb", "data.glue=" + threeTasks(t), "adapter.task_after=layer", "train.accumulate=2", "train.mixture=sqrt",
			"train.eval_every=3", "train.lr=1e-3", "tasks.rte.weight=0.5", dropout}, 1e-5},
	} {
		t.Run(name, func(t *testing.T) {
			keys := append([]string{"threads=1"}, c.keys...)
			one := filepath.Join(t.TempDir(), "one")
			trainTogether(t, 1, one, keys)
			for _, size := range []int{2, 3} {
				dir := filepath.Join(t.TempDir(), "together")
				trainTogether(t, size, dir, keys)
				t.Logf("%d processes: %.1e", size, sameCurve(t, fmt.Sprintf("%d processes", size), dir, one, c.tolerance))
				if left := debris(t, dir); len(left) > 0 {
					t.Errorf("left behind: %q", left)
				}
			}
		})
	}
}

// A group that is asked to stop saves the same step in all, and one that has lost a process
// leaves what a killed process leaves; another number of processes goes on from either.
func TestGroupsGoOn(t *testing.T) {
	keys := []string{"threads=1", "train.batch_size=5", "train.checkpoint_every=4", "model.dropout=0.1", "train.epochs=3"}
	one := filepath.Join(t.TempDir(), "one")
	trainTogether(t, 1, one, keys)
	for _, c := range []struct{ size, rank, next int }{{2, 0, 3}, {2, 1, 1}, {3, 2, 2}, {3, 0, 1}} {
		dir := filepath.Join(t.TempDir(), "stopped")
		codes, outputs := together(t, c.size, dir, keys, fmt.Sprintf("%s=%d 6", groupStop, c.rank))
		for rank, code := range codes {
			if code != 130 || !strings.Contains(outputs[rank], "saved") {
				t.Fatalf("rank %d of %d, %d was asked to stop: exit code %d: %s", rank, c.size, c.rank, code, outputs[rank])
			}
		}
		latest, err := train.LatestCheckpoint(dir)
		if err != nil || latest == nil || filepath.Base(latest.Dir) != "step-00000007" {
			t.Fatalf("rank %d of %d was asked to stop after step 6: %+v (%v)", c.rank, c.size, latest, err)
		}
		trainTogether(t, c.next, dir, keys)
		sameCurve(t, fmt.Sprintf("%d processes, then %d", c.size, c.next), dir, one, 1e-5)
	}
	for _, c := range []struct{ size, rank, next int }{{2, 1, 1}, {3, 1, 2}, {2, 0, 3}} {
		dir := filepath.Join(t.TempDir(), "killed")
		codes, _ := together(t, c.size, dir, keys, fmt.Sprintf("%s=%d 6", groupKill, c.rank))
		for rank, code := range codes {
			if code == 0 || code == 130 {
				t.Errorf("rank %d of %d, %d was killed: exit code %d", rank, c.size, c.rank, code)
			}
		}
		latest, err := train.LatestCheckpoint(dir)
		if err != nil || latest == nil || filepath.Base(latest.Dir) != "step-00000004" {
			t.Fatalf("rank %d of %d was killed after step 6: %+v (%v)", c.rank, c.size, latest, err)
		}
		trainTogether(t, c.next, dir, keys)
		sameCurve(t, fmt.Sprintf("%d processes, one killed, then %d", c.size, c.next), dir, one, 1e-5)
	}
}

// Processes that would not make the same run hear so before a step is made.
func TestGroupsAgree(t *testing.T) {
	for key, want := range map[string]string{
		"train.lr=2e-3": "settings or examples of rank 1 are not those of rank 0",
	} {
		dir := filepath.Join(t.TempDir(), "run")
		codes, outputs := together(t, 2, dir, []string{"threads=1"}, groupKey+"=1 "+key)
		for rank := range codes {
			if codes[rank] != 1 || !strings.Contains(outputs[rank], want) {
				t.Errorf("%s: rank %d: exit code %d: %q does not say %q", key, rank, codes[rank], outputs[rank], want)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, train.MetricsFile)); err == nil {
			t.Error("a step was recorded")
		}
	}
}

// A step that cannot be made ends all processes with the same error.
func TestGroupsRefuseTheSame(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	codes, outputs := together(t, 3, dir, []string{"threads=1", "train.lr=1e30"})
	if codes[0] != 1 || !strings.Contains(outputs[0], "the step is not made") {
		t.Errorf("exit code %d: %s", codes[0], outputs[0])
	}
	for rank := range codes {
		if codes[rank] != codes[0] || outputs[rank] != outputs[0] {
			t.Errorf("rank %d: exit code %d: %s\nrank 0: %s", rank, codes[rank], outputs[rank], outputs[0])
		}
	}
}
