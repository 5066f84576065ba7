package experiment

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Runs whose names would be the same are not the same runs.
func TestRunsOfOneName(t *testing.T) {
	p := planned(t, "runs: [{adapter.dropout: 0.1}, {model.dropout: 0.1}]\ngrid: {adapter.method: [lora], model.path: [a/b, a_b, a_b-2]}\n"+
		"choose: {values: {train.lr: [1e-3]}, on: {train.seed: [1]}}")
	if len(p.Runs) != 12 || len(p.groups) != 6 {
		t.Fatalf("%d runs, %d groups: %s", len(p.Runs), len(p.groups), names(p))
	}
	var dirs []string
	for _, r := range p.Runs {
		dirs = append(dirs, r.Dir)
	}
	slices.Sort(dirs)
	if len(slices.Compact(dirs)) != 12 {
		t.Error(names(p))
	}
	all, err := p.Describe(t.Context(), Options{})
	if err != nil || len(all) != 12 {
		t.Errorf("%d described, %v", len(all), err)
	}
}

// Runs that other settings make the same are said to be.
func TestTheSameRunTwice(t *testing.T) {
	p := planned(t, "runs: [{train.lr: 1e-3}, {train.lr: 0.001}, {train.lr: 0.001, threads: 2}]")
	notes := strings.Join(p.Notes, "\n")
	for _, want := range []string{"lr0.001 is the same run as lr1e-3", "lr0.001-threads2 is the same run as lr1e-3"} {
		if !strings.Contains(notes, want) {
			t.Errorf("%q is not in %q", want, notes)
		}
	}
}

// What holds for the runs that judge a value holds for those that have it.
func TestCasesOfWhatIsChosen(t *testing.T) {
	file := written(t, `
set: {train.max_steps: 2}
grid: {train.seed: [1]}
choose: {values: {adapter.rank: [3]}, on: {train.seed: [5]}}
when: [{if: {adapter.rank: 3}, set: {adapter.alpha: 7}}]
`)
	p, _, err := execute(t, file, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range p.Runs {
		if c := r.Config; c.Adapter.Rank != 3 || c.Adapter.Alpha == nil || *c.Adapter.Alpha != 7 {
			t.Errorf("%s: rank %d, alpha %v", r.Name, c.Adapter.Rank, c.Adapter.Alpha)
		}
	}
}

// The folder is the experiment's to give, wherever the file says it.
func TestRunDirIsRefused(t *testing.T) {
	for _, text := range []string{
		"set: {run.dir: a}", "when: [{if: {train.seed: 1}, set: {run.dir: a}}]", "choose: {values: {run.dir: [a]}, on: {train.seed: [1]}}",
		"choose: {values: {train.lr: [1]}, on: {train.seed: [1]}, set: {run.dir: a}}",
	} {
		if _, err := Read(written(t, text), nil); err == nil || !strings.Contains(err.Error(), ":3: run.dir: is the experiment's to give") {
			t.Errorf("%s: %v", text, err)
		}
	}
	e, err := Read(written(t, "grid: {train.seed: [1]}"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Override([]string{"run.dir=a"}); err == nil || !strings.Contains(err.Error(), "command line: run.dir: is the experiment's to give") {
		t.Error(err)
	}
}

// What stands over the values to choose from would leave nothing to choose.
func TestChoiceIsNotOverruled(t *testing.T) {
	for _, text := range []string{
		"choose: {values: {train.lr: [1, 2]}, on: {train.lr: [1]}}", "choose: {values: {train.lr: [1, 2]}, on: {train.seed: [1]}, set: {train.lr: 3}}",
		"choose: {values: {train.lr: [1, 2]}, on: {train.seed: [1, 2]}, set: {train.seed: 3}}",
	} {
		if _, err := Read(written(t, text), nil); err == nil || !strings.Contains(err.Error(), "is given by choose twice") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// A case of no run is said: its condition may be misspelt.
func TestCaseOfNoRun(t *testing.T) {
	p := planned(t, "grid: {adapter.method: [lora, dora]}\nwhen:\n- {if: {adapter.method: cp4d}, set: {train.lr: 1}}\n- {if: {adapter.method: lora}, set: {train.lr: 1}}")
	if got := strings.Join(p.Notes, "|"); got != filepath.Dir(p.Dir)+"/question.yaml:5: holds for no run" {
		t.Error(got)
	}
}

// A case of runs that wait for a choice alone is no idle one.
func TestCaseOfWaitingRuns(t *testing.T) {
	p := planned(t, "grid: {train.seed: [1]}\nchoose: {values: {train.lr: [1, 2]}, on: {train.seed: [9]}}\nwhen:\n- {if: {train.seed: 1}, set: {adapter.rank: 3}}")
	if len(p.Notes) > 0 {
		t.Error(p.Notes)
	}
}

// What a method has no use for is not chosen for it.
func TestChoiceIsForTheMethod(t *testing.T) {
	p := planned(t, "grid: {adapter.method: [lora, head]}\nchoose: {values: {adapter.rank: [2, 3]}, on: {train.seed: [1]}}")
	if got := names(p); got != "choose/lora-seed1-rank2 choose/lora-seed1-rank3 lora head" {
		t.Error(got)
	}
	if notes := strings.Join(p.Notes, "\n"); !strings.Contains(notes, ":4: adapter.rank is not for head: left out of its runs") {
		t.Error(notes)
	}
	if head := p.Runs[3]; head.Config == nil || head.Config.Adapter.Method != "head" {
		t.Error("head waits for a choice")
	}
}
