package report_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/metatt/metatt/pkg/config"
	_ "github.com/metatt/metatt/pkg/methods" // whose keys configurations have
	"github.com/metatt/metatt/pkg/report"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/train"
)

// made is a record that a test makes by hand.
type made struct {
	keys       []string  // key=value of its configuration
	seed       int       //
	accuracies []float64 // of evaluations, 10 steps apart; the main metric
	f1         []float64 // likewise; nil: the accuracies
	parameters int64
	right      string // a digit a dev example: 1 where the best adapter is right; empty: none is kept
	unended    bool
}

// write makes the run directory dir/name.
func (m made) write(t *testing.T, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(nil, append([]string{fmt.Sprint("train.seed=", m.seed), "run.dir=" + path}, m.keys...), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	put := func(name string, text []byte) {
		if err := os.WriteFile(filepath.Join(path, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("config.yaml", text)
	put(run.EnvironmentFile, []byte(`{"version":"v1"}`))
	metrics, timings, s := m.events(c)
	put(train.MetricsFile, lines(t, metrics))
	put(train.TimingsFile, lines(t, timings))
	if m.right != "" {
		put(train.PredictionsFile, lines(t, m.predictions()))
	}
	if !m.unended {
		put(run.SummaryFile, lines(t, []any{s}))
	}
	return path
}

func lines(t *testing.T, events []any) []byte {
	t.Helper()
	var text bytes.Buffer
	for _, e := range events {
		if err := json.NewEncoder(&text).Encode(e); err != nil {
			t.Fatal(err)
		}
	}
	return text.Bytes()
}

// events are the journal's, ten steps and an evaluation each.
func (m made) events(c *config.Config) (metrics, timings []any, s run.Summary) {
	named := "MRPC"
	if c.Task() == "custom" {
		named = "custom"
	}
	s = run.Summary{Task: named, Method: c.Adapter.Method, Seed: m.seed, AdapterParams: m.parameters, HeadParams: 770, Seconds: 10 + float64(m.seed), SamplesPerSecond: 100, PeakBytes: 1 << 30, Device: "cpu", DType: "fp32"}
	if s.Method != "head" {
		s.Rank = c.Adapter.Rank
	}
	for i, accuracy := range m.accuracies {
		for range 10 {
			s.Steps++
			metrics = append(metrics, train.StepEvent{Event: "step", Step: s.Steps, Loss: 1 / float32(s.Steps+m.seed), LR: 1e-3})
		}
		f1 := accuracy
		if m.f1 != nil {
			f1 = m.f1[i]
		}
		s.Last = task.Metrics{{Name: "accuracy", Value: accuracy}, {Name: "f1", Value: f1}}
		best := s.Best == nil || accuracy > *s.Best.Value
		if best {
			s.Best = &train.Best{Epoch: 1, Step: s.Steps, Metric: cmp.Or(c.Train.BestMetric, "accuracy"), Value: &accuracy}
		}
		metrics = append(metrics, train.EvalEvent{Event: "eval", Step: s.Steps, Epoch: 1, Metrics: s.Last, Best: best})
		timings = append(timings, train.EvalTiming{Event: "eval", Step: s.Steps, Seconds: 0.5})
	}
	return metrics, timings, s
}

func (m made) predictions() (predictions []any) {
	for i, right := range m.right {
		predicted := "0"
		if right == '1' {
			predicted = "1"
		}
		predictions = append(predictions, train.Prediction{Task: "MRPC", ID: fmt.Sprint(i), Label: "1", Predicted: predicted})
	}
	return predictions
}

// report makes one of those runs.
func reportOf(t *testing.T, o report.Options, runs ...made) *report.Report {
	t.Helper()
	dir := t.TempDir()
	for i, m := range runs {
		m.write(t, dir, fmt.Sprintf("run-%02d", i))
	}
	o.Runs = []string{dir}
	r, err := report.Make(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// groupOf is the report's of that label.
func groupOf(t *testing.T, r *report.Report, label string) *report.Group {
	t.Helper()
	var labels []string
	for _, g := range r.Groups {
		if g.Label == label {
			return g
		}
		labels = append(labels, g.Label)
	}
	t.Fatalf("no group %q, there are %q", label, labels)
	return nil
}
