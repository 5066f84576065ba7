package run_test

import (
	"bytes"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/train"
)

// What is kept is what the best adapter predicts: its metrics are the best evaluation's,
// for one task and for several, classes and scores.
func TestPredictionsAreTheBestAdapters(t *testing.T) {
	for name, keys := range map[string][]string{
		"one":     {"train.lr=5e-2", "train.eval_every=2"},
		"several": {"task=mrpc,rte,stsb", "data.glue=" + threeTasks(t), "train.eval_every=5"},
	} {
		s, err := run.Train(t.Context(), tiny(t, append(keys, "run.predictions=true")...))
		if err != nil {
			t.Fatal(err)
		}
		kept, err := train.ReadPredictions(filepath.Join(s.RunDir, train.PredictionsFile))
		if err != nil {
			t.Fatal(err)
		}
		beside, err := train.ReadPredictions(filepath.Join(s.RunDir, "adapter", "best", train.PredictionsFile))
		if err != nil || len(beside) != len(kept) {
			t.Errorf("%s: %d beside the adapter, %d in the run directory (%v)", name, len(beside), len(kept), err)
		}
		checkAccuracies(t, s, kept)
		if i := slices.IndexFunc(kept, func(p train.Prediction) bool { return p.Task == "STS-B" }); name == "several" {
			if p := kept[i]; p.Score == nil || p.PredictedScore == nil || math.IsNaN(float64(*p.PredictedScore)) || p.Label != "" {
				t.Errorf("of a regression: %+v", p)
			}
		}
	}
}

// checkAccuracies compares the accuracy of each task's predictions with that of the
// evaluation that was the best.
func checkAccuracies(t *testing.T, s *run.Summary, kept []train.Prediction) {
	t.Helper()
	right, all := map[string]float64{}, map[string]float64{}
	for _, p := range kept {
		if all[p.Task]++; p.Right() {
			right[p.Task]++
		}
	}
	checked := 0
	for event, err := range train.Events(bytes.NewReader(metrics(t, s.RunDir)), train.MetricsFile) {
		if err != nil {
			t.Fatal(err)
		}
		e := event.Eval
		if e == nil || e.Step != s.Best.Step {
			continue
		}
		tasks := e.Tasks
		if tasks == nil {
			tasks = []train.TaskEval{{Task: s.Task, Metrics: e.Metrics}}
		}
		for _, of := range tasks {
			if want, ok := of.Metrics.Get("accuracy"); ok {
				checked++
				if got := right[of.Task] / all[of.Task]; got != want.Value {
					t.Errorf("%s: %v of the kept predictions are right, the best evaluation said %v", of.Task, got, want.Value)
				}
			}
		}
	}
	if checked == 0 {
		t.Error("no accuracy to compare with")
	}
}

// Without the key nothing is kept; where somebody has taken the best adapter away,
// there is nothing to keep.
func TestPredictionsAreAskedFor(t *testing.T) {
	s, err := run.Train(t.Context(), tiny(t, "train.max_steps=2"))
	if err != nil {
		t.Fatal(err)
	}
	if found, _ := filepath.Glob(filepath.Join(s.RunDir, "*", "*", train.PredictionsFile)); len(found) > 0 {
		t.Error(found)
	}
	o := tiny(t, "train.max_steps=2", "run.predictions=true")
	if s, err = run.Train(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{"adapter/best", train.PredictionsFile} {
		if err := os.RemoveAll(filepath.Join(s.RunDir, gone)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := run.Resume(t.Context(), s.RunDir, o); err != nil {
		t.Error(err)
	}
}

func TestReadPredictions(t *testing.T) {
	path := filepath.Join(t.TempDir(), train.PredictionsFile)
	if _, err := train.ReadPredictions(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	good := `{"task":"MRPC","id":"0","label":"1","predicted":"<0>"}` + "\n"
	for text, want := range map[string]string{
		good + `{"task":"MRPC","id"`:      ":2: unexpected end",
		good + "{}\n":                     ":2: a prediction names its task",
		good + strings.Repeat("x", 1<<21): "token too long",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := train.ReadPredictions(path); err == nil || !strings.Contains(err.Error(), path+want) && !strings.Contains(err.Error(), want) {
			t.Errorf("%.80q: %v, want %s", text, err, want)
		}
	}
}
