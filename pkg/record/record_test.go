package record_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/record"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/run/runtest"
	"github.com/metatt/metatt/pkg/train"
)

func read(t *testing.T, dir string) *record.Run {
	t.Helper()
	r, err := record.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// change edits a file of a run directory.
func change(t *testing.T, dir, name string, edit func(text string) string) {
	t.Helper()
	path := filepath.Join(dir, name)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(edit(string(text))), 0o644); err != nil {
		t.Fatal(err)
	}
}

// trained is a run that ended, with sweeps, and what it came to.
func trained(t *testing.T) *run.Summary {
	t.Helper()
	summary, err := run.Train(t.Context(), runtest.Tiny(t, "train.max_steps=6", "train.eval_every=2", "dmrg.mode=paper",
		"dmrg.unit=step", "dmrg.at=3", "dmrg.maxdim=2", "train.checkpoint_every=2"))
	if err != nil {
		t.Fatal(err)
	}
	return summary
}

// A run that ended is read whole, also when its weights are gone.
func TestEnded(t *testing.T) {
	summary := trained(t)
	for _, gone := range []string{"checkpoints", "adapter"} {
		if err := os.RemoveAll(filepath.Join(summary.RunDir, gone)); err != nil {
			t.Fatal(err)
		}
	}
	r := read(t, summary.RunDir)
	if r.State != record.Ended || r.Summary == nil || r.Summary.Best.Step != summary.Best.Step || r.Last() != 6 {
		t.Errorf("%s, %+v, step %d", r.State, r.Summary, r.Last())
	}
	if len(r.Steps) != 6 || len(r.Evals) != 3 || len(r.Sweeps) != 1 || len(r.Timings) != 3 || len(r.SweepTimes) != 1 {
		t.Errorf("%d steps, %d evaluations, %d sweeps, %d and %d times", len(r.Steps), len(r.Evals), len(r.Sweeps), len(r.Timings), len(r.SweepTimes))
	}
	if r.Config.Adapter.Rank != 4 || r.Environment.Version != "test" || r.Environment.StartedAt.IsZero() || len(r.Unknown)+len(r.Notes) != 0 {
		t.Errorf("rank %d, %+v, unknown %v, notes %q", r.Config.Adapter.Rank, r.Environment, r.Unknown, r.Notes)
	}
}

// interrupted is a run that was stopped after four of nine steps.
func interrupted(t *testing.T) run.Options {
	t.Helper()
	o := runtest.Tiny(t, "train.max_steps=9", "train.eval_every=2", "train.checkpoint_every=2")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.Observer = stopper{stop: cancel}
	if _, err := run.Train(ctx, o); !errors.Is(err, train.ErrInterrupted) {
		t.Fatal(err)
	}
	return o
}

type stopper struct {
	runtest.Silent
	stop func()
}

func (s stopper) Step(info train.StepInfo) {
	if info.Step == 4 {
		s.stop()
	}
}

// A run that was stopped has no summary, and neither has one that was killed while it
// went on, whose last line breaks off.
func TestInterruptedAndKilled(t *testing.T) {
	o := interrupted(t)
	dir := o.Config.Run.Dir
	if r := read(t, dir); r.State != record.Interrupted || r.Summary != nil || r.Last() != 4 || len(r.Notes) != 0 {
		t.Errorf("stopped: %s, %v, step %d, notes %q", r.State, r.Summary, r.Last(), r.Notes)
	}
	change(t, dir, train.MetricsFile, func(text string) string {
		return text + `{"event":"step","step":5,"loss":0.5,"lr":0.001}` + "\n" + `{"event":"step","st`
	})
	change(t, dir, train.TimingsFile, func(text string) string { return text + `{"event` })
	r := read(t, dir)
	if r.State != record.Unfinished || r.Summary != nil || r.Last() != 5 || len(r.Notes) != 2 ||
		!strings.Contains(r.Notes[0], "metrics.jsonl breaks off") || !strings.Contains(r.Notes[1], "timings.jsonl breaks off") {
		t.Errorf("killed: %s, %v, step %d, notes %q", r.State, r.Summary, r.Last(), r.Notes)
	}
	if err := os.Remove(filepath.Join(dir, run.SummaryFile)); err != nil {
		t.Fatal(err)
	}
	if r := read(t, dir); r.State != record.Unfinished {
		t.Errorf("never stopped: %s", r.State)
	}
}

// A run that ended, and has gone on from an earlier checkpoint since, has not ended.
func TestSummaryOfAnotherStep(t *testing.T) {
	dir := trained(t).RunDir
	change(t, dir, train.MetricsFile, func(text string) string {
		at := strings.Index(text, `{"event":"step","step":5`)
		return text[:at]
	})
	r := read(t, dir)
	if r.State != record.Unfinished || r.Summary != nil || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "summary.json is of step 6, metrics.jsonl ends at step 4") {
		t.Errorf("%s, %v, notes %q", r.State, r.Summary, r.Notes)
	}
}

// What a newer version wrote is counted and said; the rest is read.
func TestNewerVersion(t *testing.T) {
	dir := trained(t).RunDir
	change(t, dir, train.MetricsFile, func(text string) string {
		return strings.Replace(text, `"lr":`, `"norm":1,"lr":`, 2) + `{"event":"merge","of":3}` + "\n" + `{"event":"merge"}` + "\n"
	})
	change(t, dir, train.TimingsFile, func(text string) string {
		return strings.Replace(text, `{"event":"eval",`, `{"event":"eval","joules":7,`, 1) + `{"event":"pause","seconds":1}` + "\n"
	})
	for _, name := range []string{run.SummaryFile, run.EnvironmentFile} {
		change(t, dir, name, func(text string) string { return strings.Replace(text, "{", `{"commit": "abc",`, 1) })
	}
	r := read(t, dir)
	if r.State != record.Ended || len(r.Steps) != 6 || len(r.Timings) != 3 || r.Timings[0].Step != 2 || r.Unknown["merge"] != 2 || r.Unknown["pause"] != 1 || len(r.Unknown) != 2 {
		t.Errorf("%s, %d steps, %+v, unknown %v", r.State, len(r.Steps), r.Timings, r.Unknown)
	}
	want := []string{
		"environment.json has entries that this build does not know",
		"summary.json has entries that this build does not know",
		`2 events "merge" are left out: this build does not know them`,
		`1 events "pause" are left out: this build does not know them`,
		"1 events eval of timings.jsonl have entries that this build does not know",
		"2 events step of metrics.jsonl have entries that this build does not know",
	}
	if !slices.Equal(r.Notes, want) {
		t.Errorf("notes\n%s\nwant\n%s", strings.Join(r.Notes, "\n"), strings.Join(want, "\n"))
	}
}

// What is missing is noted: config.yaml alone makes a record.
func TestMissing(t *testing.T) {
	dir := trained(t).RunDir
	for _, name := range []string{run.EnvironmentFile, train.TimingsFile} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if r := read(t, dir); r.State != record.Ended || !slices.Equal(r.Notes, []string{"environment.json is missing", "timings.jsonl is missing: times are not known"}) {
		t.Errorf("%s, notes %q", r.State, r.Notes)
	}
	for _, name := range []string{train.MetricsFile, run.SummaryFile} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if r := read(t, dir); r.State != record.Unfinished || !slices.Equal(r.Notes, []string{"environment.json is missing", "metrics.jsonl is missing: no step is recorded"}) {
		t.Errorf("%s, notes %q", r.State, r.Notes)
	}
}

// Kept predictions are read from beside the best adapter, and of a run that ended also
// when that is gone.
func TestPredictions(t *testing.T) {
	o := runtest.Tiny(t, "train.max_steps=4", "train.eval_every=2", "run.predictions=true")
	if _, err := run.Train(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	dir := o.Config.Run.Dir
	unfinished := filepath.Join(t.TempDir(), "unfinished")
	if err := os.CopyFS(unfinished, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{filepath.Join(dir, "adapter"), filepath.Join(unfinished, run.SummaryFile), filepath.Join(unfinished, train.PredictionsFile)} {
		if err := os.RemoveAll(gone); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{dir, unfinished} {
		kept, err := read(t, dir).Predictions()
		if err != nil || len(kept) != len(runtest.MRPCDev(t)) || kept[0].Task != "MRPC" || kept[0].Label == "" {
			t.Errorf("%d predictions, the first %+v (%v)", len(kept), kept[0], err)
		}
	}
	if kept, err := read(t, trained(t).RunDir).Predictions(); kept != nil || err != nil {
		t.Errorf("of a run that keeps none: %d (%v)", len(kept), err)
	}
}

// What is damaged, and what is no run, is one clear error.
func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		edit func(text string) string
		want string
	}{
		"zeros in the middle": {train.MetricsFile, func(text string) string {
			return strings.Replace(text, `{"event":"step","step":2,`, strings.Repeat("\x00", 25), 1)
		},
			"metrics.jsonl:2: not an event: invalid character"},
		"steps that go back": {train.MetricsFile, func(text string) string { return text + `{"event":"step","step":1}` + "\n" }, "step 1 after step 6"},
		"no name":            {train.TimingsFile, func(text string) string { return "{}\n" + text }, "timings.jsonl:1: an event without a name"},
		"a text for seconds": {train.TimingsFile, func(text string) string { return `{"event":"eval","seconds":"1"}` + "\n" }, "timings.jsonl:1: json: cannot unmarshal string"},
		"half a summary":     {run.SummaryFile, func(text string) string { return text[:len(text)/2] }, "summary.json: unexpected end of JSON input"},
		"two environments":   {run.EnvironmentFile, func(text string) string { return text + text }, "environment.json: invalid character '{' after top-level value"},
		"a key too many":     {"config.yaml", func(text string) string { return text + "tsk: rte\n" }, "did you mean task?"},
	} {
		dir := trained(t).RunDir
		change(t, dir, c.file, c.edit)
		if _, err := record.Read(dir); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	dir := t.TempDir()
	if _, err := record.Read(dir); err == nil || err.Error() != dir+" is not a run directory: it has no config.yaml" {
		t.Errorf("no run: %v", err)
	}
	if _, err := record.Read(filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), "none: no such file or directory") {
		t.Errorf("no folder: %v", err)
	}
}

func TestFind(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"a/run-2", "a/run-1", "a/run-1/adapter/run-0", "b/c/run-3", ".hidden/run-4", "empty", "elsewhere"} {
		path := filepath.Join(root, dir)
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(dir, "run-") {
			if err := os.WriteFile(filepath.Join(path, "config.yaml"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, l := range [][2]string{{"b/c/run-3", "elsewhere/linked"}, {"..", "elsewhere/round"}} {
		if err := os.Symlink(filepath.Join(root, l[0]), filepath.Join(root, l[1])); err != nil {
			t.Fatal(err)
		}
	}
	at := func(names ...string) (paths []string) {
		for _, name := range names {
			paths = append(paths, filepath.Join(root, name))
		}
		return paths
	}
	for _, c := range []struct{ paths, want []string }{
		{at("a"), at("a/run-1", "a/run-2")},
		{at("a/run-2", "a", "a/run-2"), at("a/run-1", "a/run-2")},
		{at("elsewhere"), at("elsewhere/linked")},
		{at("b", "elsewhere", "a/run-1"), at("a/run-1", "b/c/run-3")},
		{at(""), at("a/run-1", "a/run-2", "b/c/run-3")},
	} {
		if got, err := record.Find(c.paths...); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%v: %v (%v), want %v", c.paths, got, err, c.want)
		}
	}
	for _, path := range at("empty", "none") {
		if _, err := record.Find(filepath.Join(root, "a"), path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
