package main

import (
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/metatt/metatt/pkg/experiment"
)

func writeExperiment(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	writeConfig(t, dir, "")
	path := filepath.Join(dir, "question.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExperimentRefuses(t *testing.T) {
	file := writeExperiment(t, "grid: {train.seed: [1]}\n")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{}, "finetune: no experiment: give -c FILE (see finetune experiment --help)"},
		{[]string{"-c", "nowhere.yaml"}, "nowhere.yaml: no such file or directory"},
		{[]string{"-c", file, "--launcher", "cloud"}, "--launcher is local or slurm"},
		{[]string{"-c", file, "--jobs", "0"}, "--jobs is at least 1"},
		{[]string{"-c", file, "--stop-after", "-5s"}, "--stop-after is more than 0, as 90m"},
		{[]string{"-c", file, "--dry-run", "--records", "r.tar.gz"}, "--dry-run and --records: each does one thing and stops: give one of them"},
		{[]string{"-c", file, "train.seed=3"}, "command line: train.seed: is given at " + file + ":1: change it there"},
		{[]string{"-c", file, "train.sede=3"}, "command line: train.sede: unknown key; did you mean train.seed?"},
		{[]string{"-c", writeExperiment(t, "grdi: {}\n")}, "question.yaml:1: grdi: unknown key; did you mean grid?"},
		{[]string{"-c", writeExperiment(t, "base: other.yaml\ngrid: {train.seed: [1]}\n")}, "other.yaml: no such file"},
	} {
		got := command(t, t.Context(), backend{}, 0, nil, append([]string{"experiment"}, c.args...)...)
		if got.code != exitUsage || !strings.Contains(got.stderr, c.want) || strings.Count(got.stderr, "\n") != 1 {
			t.Errorf("%v: %d %s, want %s", c.args, got.code, got.stderr, c.want)
		}
	}
}

// What the command line says holds for the tasks of a job array.
func TestExperimentSubmits(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "sbatch"), []byte("#!/bin/sh\necho '7;cluster'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	runs := filepath.Join(dir, "runs")
	file := writeExperiment(t, "dir: "+runs+"\njobs: 3\ngrid: {train.seed: [1, 2]}\n")
	got := command(t, t.Context(), backend{}, 0, nil, "experiment", "-c", file, "--launcher", "slurm", "--jobs", "2", "--stop-after", "90m", "train.lr=1e-3")
	if got.code != 0 || !strings.Contains(got.stdout, "as job 7;") {
		t.Fatalf("%d %s%s", got.code, got.stdout, got.stderr)
	}
	script, err := os.ReadFile(filepath.Join(runs, "slurm", "job.sh"))
	if want := " experiment -c " + file + " --jobs 2 --stop-after 1h30m0s train.lr=1e-3 --began="; err != nil || !strings.Contains(string(script), want) {
		t.Errorf("%v, no %q in\n%s", err, want, script)
	}
	other := writeExperiment(t, "dir: "+filepath.Join(dir, "others")+"\ngrid: {train.seed: [1]}\n")
	got = command(t, t.Context(), backend{}, 0, nil, "experiment", "-c", file, "-c", other, "--launcher", "slurm")
	script, err = os.ReadFile(filepath.Join(dir, "others", "slurm", "job.sh"))
	if got.code != 0 || strings.Count(got.stdout, "as job 7;") != 2 || err != nil || !strings.Contains(string(script), " experiment -c "+other+" --jobs") ||
		!strings.Contains(string(script), "#SBATCH --dependency=afterany:7\n") {
		t.Errorf("%d %s%s%v\n%s", got.code, got.stdout, got.stderr, err, script)
	}
}

// What is recorded is what there is: a judge that failed is not about to be tried again, and what was chosen without it
// counts.
func TestExperimentRecordsBesideAFailure(t *testing.T) {
	testdata, err := filepath.Abs("../../pkg/run/testdata")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := writeExperiment(t, "base: "+testdata+"/tiny.yaml\ndir: "+dir+"/runs\nset: {model.path: "+testdata+"/tiny-bert, data.glue: "+testdata+
		"/glue, train.max_steps: 1}\ngrid: {train.seed: [1]}\nchoose: {values: {adapter.rank: [2, 99999]}, on: {train.seed: [9]}}\n")
	if got := command(t, t.Context(), backend{}, 0, nil, "experiment", "-c", file); got.code != exitFailure || !strings.Contains(got.stdout, "2 of 3 runs done") {
		t.Fatalf("%d %s%s", got.code, got.stdout, got.stderr)
	}
	got := command(t, t.Context(), backend{}, 0, nil, "experiment", "-c", file, "--records", filepath.Join(dir, "records.tar.gz"))
	if got.code != 0 || !strings.HasPrefix(got.stdout, "records of 3 runs in ") {
		t.Errorf("%d %s%s", got.code, got.stdout, got.stderr)
	}
	other := writeExperiment(t, "base: nothing")
	text, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(other, []byte(strings.Replace(string(text), "/runs\n", "/elsewhere\n", 1)), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	got = command(t, t.Context(), backend{}, 0, nil, "experiment", "-c", other, "--take", filepath.Join(dir, "records.tar.gz"))
	if got.code != exitFailure || !strings.Contains(got.stdout, "records of 3 runs added") || !strings.Contains(got.stdout, "2 of 3 runs done") {
		t.Errorf("%d %s%s", got.code, got.stdout, got.stderr)
	}
}

// The bar tells of the whole, fits every width, and what is over stands above it.
func TestExperimentView(t *testing.T) {
	for columns := 20; columns <= 140; columns += 5 {
		var out strings.Builder
		v := &experimentView{out: &out, columns: func(io.Writer) int { return columns }, bar: &bar{out: &out, total: 4 * barSteps}, began: time.Now().Add(-time.Minute),
			whole: 4, over: 1, now: map[string]experiment.Event{}, from: map[string]float64{}, said: map[string]bool{}}
		tell := func(e experiment.Event) { v.shown = time.Time{}; v.event(e) }
		value := 0.75
		tell(experiment.Event{Kind: experiment.Began, Run: "a", Total: 10})
		tell(experiment.Event{Kind: experiment.Step, Run: "a", Step: 5, Total: 10})
		tell(experiment.Event{Kind: experiment.Note, Run: "a", Text: "said"})
		tell(experiment.Event{Kind: experiment.Note, Run: "b", Text: "said"})
		tell(experiment.Event{Kind: experiment.Over, Run: "a", State: experiment.Ended, Metric: "accuracy", Value: &value, Seconds: 61})
		tell(experiment.Event{Kind: experiment.Over, Run: "b", State: experiment.Failed, Text: "no\nroom"})
		tell(experiment.Event{Kind: experiment.Began, Run: "c", Total: 8, Step: 2})
		tell(experiment.Event{Kind: experiment.Step, Run: "c", Step: 6, Total: 8})
		lines := screen(t, out.String(), columns)
		if got := strings.Join(lines[:len(lines)-1], "|"); got != "a: said|a: accuracy 0.7500 in 1:01|b: failed: no; room" {
			t.Errorf("%d columns: %s", columns, got)
		}
		last := lines[len(lines)-1]
		if !strings.Contains(last, "93%") || columns >= 60 && !strings.Contains(last, "3 of 4") || columns >= 80 && !strings.Contains(last, "left  c 6/8") {
			t.Errorf("%d columns: %q", columns, last)
		}
		v.close()
	}
}

// Without a terminal each run has a line when it begins and one when it is over.
func TestExperimentLines(t *testing.T) {
	var out strings.Builder
	v := &experimentView{out: &out, whole: 1, now: map[string]experiment.Event{}, from: map[string]float64{}, said: map[string]bool{}}
	for step := range 5 {
		v.event(experiment.Event{Kind: []experiment.Kind{experiment.Began, experiment.Step}[min(step, 1)], Run: "a", Step: step, Total: 5})
	}
	v.event(experiment.Event{Kind: experiment.Over, Run: "a", State: experiment.Stopped})
	if out.String() != "a: began\na: interrupted, saved\n" {
		t.Error(out.String())
	}
}

func TestNewer(t *testing.T) {
	dir := t.TempDir()
	var files []string
	for i := range 2 {
		files = append(files, filepath.Join(dir, strconv.Itoa(i)))
		if err := os.WriteFile(files[i], nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(files[i], time.Time{}, time.Unix(int64(100+i), 0)); err != nil {
			t.Fatal(err)
		}
	}
	if newer(files[0], files[1]) || !newer(files[1], files[0]) || newer(filepath.Join(dir, "none"), files[0]) {
		t.Error("what is newer is not known")
	}
}
