package experiment

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// written is an experiment's file over the tiny run, in a folder of its own.
func written(t *testing.T, text string) string {
	t.Helper()
	base, err := filepath.Abs("testdata/tiny.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "question.yaml")
	text = "base: " + base + "\ndir: " + filepath.Join(dir, "runs") + "\n" + text
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// Each is refused with its line.
func TestReadRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"gird: {}":                                ":3: gird: unknown key; did you mean grid?",
		"grid: [1]":                               ":3: grid: expected keys and values",
		"grid: {train.lr: 1e-3}":                  ":3: train.lr: expected a list of values",
		"grid: {train.lr: []}":                    ":3: train.lr: expected a list of values",
		"grid: {train.lr: [1e-3, 0.001]}":         ":3: train.lr: 0.001 stands there twice",
		"grid: {train.rl: [1]}":                   ":3: train.rl: unknown key; did you mean train.lr?",
		"grid: {train.lr: [fast]}":                ":3: train.lr: ",
		"set: {train: {lr: 1}}":                   ":3: train: is a section",
		"set: {adapter.rank: [1, 2]}":             ":3: adapter.rank: expected integer",
		"set: {adapter.rank: 1, adapter.rank: 2}": ":3: adapter.rank: set twice",
		"grid: {run.dir: [a]}":                    ":3: run.dir: is the experiment's to give",
		"jobs: 0":                                 ":3: jobs: expected an integer >= 1",
		"runs: {}":                                ":3: runs: expected a list of settings",
		"when: [{set: {train.lr: 1}}]":            ":3: when: a case has an if",
		"when: [{if: {train.seed: 1}, choose: {train.lr: [1]}}]":                                                           "no choose section",
		"choose: {values: {train.lr: [1]}}":                                                                                "choose: needs values to choose from, and on",
		"random: {trials: 2}":                                                                                              "random: needs trials",
		"random: {trials: 2, values: {train.lr: {from: 1, to: 0}}}":                                                        "train.lr: from 1 to 0 is no interval",
		"random: {trials: 2, values: {train.lr: {from: 0, to: 1, scale: log}}}":                                            "is no interval",
		"random: {trials: 2, values: {train.warmup: {from: 0, to: 2}}}":                                                    "train.warmup: ",
		"random: {trials: 2, values: {task: {from: 0, to: 1}}}":                                                            "task: is no number",
		"random: {trials: 2, values: {train.lr: [1]}}\ngrid: {train.lr: [1]}":                                              ":4: train.lr: is varied by random too",
		"grid: {train.lr: [1]}\nchoose: {values: {train.lr: [2]}, on: {train.seed: [1]}}":                                  "train.lr: is varied by grid too",
		"set: &a {train.lr: 1}\ngrid: *a":                                                                                  ":4: a key is a plain word, and a value no alias",
		"set: {train.lr: 1":                                                                                                "not YAML",
		"choose: {values: {train.lr: [1]}, on: {train.seed: [1]}, set: {train.lr: 1}}":                                     ":3: train.lr: is given by choose twice",
		"choose: {values: {train.lr: [1]}, on: {train.seed: [1]}}\nwhen: [{if: {train.lr: 1}, choose: {train.seed: [1]}}]": ":4: train.seed: is given by choose twice",
		"grid: {adapter.rank: [8]}\nchoose: {values: {train.lr: [1]}, on: {train.seed: [1]}}\nwhen: [{if: {train.seed: 1}, choose: {adapter.rank: [2, 4]}}]": ":5: adapter.rank: is varied by grid too",
		"choose: {values: {train.best_metric: [accuracy, f1]}, on: {train.seed: [1]}}":                                                                       ":3: train.best_metric: cannot be chosen: its values are judged by different",
		"slurm: {options: {time: [1]}}": "slurm.options.time: expected a text",
	} {
		_, err := Read(written(t, text), nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	if _, err := Read("nowhere.yaml", nil); err == nil || !strings.Contains(err.Error(), "nowhere.yaml: no such file") {
		t.Error(err)
	}
}

func TestOverride(t *testing.T) {
	e, err := Read(written(t, "grid: {train.seed: [1, 2]}\nset: {train.lr: 1e-3}\nwhen: [{if: {train.seed: 1}, set: {adapter.alpha: 2}}]"), nil)
	if err != nil {
		t.Fatal(err)
	}
	err = e.Override([]string{"train.seed=3", "adapter.alpha=3", "train.lr", "train.rl=1", "adapter.rank=x"})
	for _, want := range []string{
		"train.seed: is given at " + e.File + ":3: change it there", "adapter.alpha: is given at " + e.File + ":5: change it there",
		`"train.lr" is not of the form key=value`, "train.rl: unknown key", "adapter.rank: ",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if err := e.Override([]string{"train.lr=2e-3"}); err != nil {
		t.Fatal(err)
	}
	p, err := e.Plan()
	if err != nil {
		t.Fatal(err)
	}
	if lr := p.Runs[0].Config.Train.LR; lr != 2e-3 {
		t.Errorf("lr %g", lr)
	}
}
