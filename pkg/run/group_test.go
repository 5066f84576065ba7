package run_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/train"
)

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

// An evaluation of the same parameters finds the same bits, whoever computes which batch.
func TestGroupsEvaluateAsOne(t *testing.T) {
	keys := []string{"threads=1", "train.eval_batch_size=4", "train.lr=1e-30", "train.epochs=2"} // which moves nothing
	evaluations := func(dir string) (lines []string) {
		for line := range strings.Lines(string(metrics(t, dir))) {
			if strings.Contains(line, `"event":"eval"`) {
				lines = append(lines, line)
			}
		}
		return lines
	}
	one := filepath.Join(t.TempDir(), "one")
	trainTogether(t, 1, one, keys)
	for _, size := range []int{2, 3, 5} { // of four batches
		dir := filepath.Join(t.TempDir(), "together")
		trainTogether(t, size, dir, keys)
		if got, want := evaluations(dir), evaluations(one); len(got) != 2 || !slices.Equal(got, want) {
			t.Errorf("%d processes:\n%s\nwant\n%s", size, got, want)
		}
	}
}

// What a run keeps beside its adapters is one process's to write, too, and its record says how
// many made it: with which others it goes on.
func TestGroupsKeepRecords(t *testing.T) {
	keys := []string{"threads=1", "run.predictions=true", "run.tensorboard=true", "train.checkpoint_every=4"}
	one, dir := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "together")
	trainTogether(t, 1, one, keys)
	if codes, outputs := together(t, 3, dir, keys, groupStop+"=1 9"); codes[0] != 130 {
		t.Fatalf("exit code %d: %s", codes[0], outputs[0])
	}
	trainTogether(t, 2, dir, keys)
	for _, name := range []string{"predictions.jsonl", "adapter/best/predictions.jsonl", "config.yaml"} {
		a, err := os.ReadFile(filepath.Join(dir, name))
		b, err2 := os.ReadFile(filepath.Join(one, name))
		if errors.Join(err, err2) != nil || strings.ReplaceAll(string(a), dir, one) != string(b) {
			t.Errorf("%s is not that of one process (%v)", name, errors.Join(err, err2))
		}
	}
	if found, err := filepath.Glob(filepath.Join(dir, "events.out.*")); err != nil || len(found) != 1 {
		t.Errorf("event files %v (%v)", found, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, run.EnvironmentFile))
	var e run.Environment
	if err = errors.Join(err, json.Unmarshal(text, &e)); err != nil || e.Processes != 3 || len(e.Resumed) != 1 || e.Resumed[0].Processes != 2 {
		t.Errorf("%d processes are recorded, then %+v (%v)", e.Processes, e.Resumed, err)
	}
}

// Processes on the same cores divide them, unless the user says how many threads each has.
func TestGroupsDivideCores(t *testing.T) {
	alone := torch.DefaultThreads()
	if text := os.Getenv("OMP_NUM_THREADS"); text != "" {
		t.Skip("OMP_NUM_THREADS is ", text)
	}
	for _, c := range []struct {
		keys []string
		env  []string
		want int
	}{{nil, nil, max(1, alone/2)}, {[]string{"threads=3"}, nil, 3}, {nil, []string{"OMP_NUM_THREADS=2"}, 2}} {
		dir := filepath.Join(t.TempDir(), "run")
		codes, outputs := together(t, 2, dir, append(c.keys, "train.max_steps=1"), c.env...)
		text, err := os.ReadFile(filepath.Join(dir, run.EnvironmentFile))
		var e run.Environment
		if err = errors.Join(err, json.Unmarshal(text, &e)); err != nil || e.Torch.Threads != c.want || codes[1] != 0 {
			t.Errorf("%v, %v: %d threads, want %d (%v): %q", c.keys, c.env, e.Torch.Threads, c.want, err, outputs)
		}
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
