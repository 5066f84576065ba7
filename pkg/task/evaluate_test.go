package task

import (
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"
)

// TestMetricsAgainstReferences compares every metric with what scikit-learn and
// scipy make of the same logits (testdata/metrics.py).
func TestMetricsAgainstReferences(t *testing.T) {
	content, err := os.ReadFile("testdata/metrics.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name    string
		Task    string
		Gold    []float64
		Classes int
		Logits  []float32
		Metrics map[string]*float64
	}
	if err := json.Unmarshal(content, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			task, err := Lookup(c.Task)
			if err != nil {
				t.Fatal(err)
			}
			task.Metrics = []string{Accuracy, Matthews, MacroF1}
			if c.Classes == 2 {
				task.Metrics, task.Positive = append(task.Metrics, F1), "1"
			}
			if task.Regression {
				task.Metrics = []string{Pearson, Spearman}
			}
			metrics, err := task.Evaluate(c.Logits, c.Classes, goldExamples(task, c.Gold))
			if err != nil {
				t.Fatal(err)
			}
			if len(metrics) != len(c.Metrics) {
				t.Fatalf("%d metrics, want %d", len(metrics), len(c.Metrics))
			}
			for _, m := range metrics {
				want := c.Metrics[m.Name]
				if m.Undefined != (want == nil) {
					t.Errorf("%s: undefined is %v, want %v", m.Name, m.Undefined, want == nil)
				}
				if want != nil && !(math.Abs(m.Value-*want) <= 1e-9) {
					t.Errorf("%s = %.17g, want %.17g", m.Name, m.Value, *want)
				}
			}
		})
	}
}

func goldExamples(task Task, gold []float64) []Example {
	examples := make([]Example, len(gold))
	for i, g := range gold {
		examples[i] = Example{ID: "7", Label: int(g)}
		if task.Regression {
			examples[i] = Example{ID: "7", Label: Unlabelled, Score: g}
		}
	}
	return examples
}

func TestEvaluateRejects(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, c := range []struct {
		task    string
		logits  []float32
		classes int
		gold    []float64
		want    string
	}{
		{"MRPC", []float32{0, 1, 0}, 3, []float64{0}, "evaluate MRPC: 3 logits an example, want 2"},
		{"STS-B", []float32{0, 1}, 2, []float64{0}, "evaluate STS-B: 2 logits an example, want 1"},
		{"MRPC", nil, 0, nil, "evaluate MRPC: 0 logits an example, want 2"},
		{"MRPC", nil, 2, nil, "evaluate MRPC: no examples"},
		{"MRPC", []float32{0, 1, 0}, 2, []float64{0, 1}, "evaluate MRPC: 3 logits, want 4 for 2 examples"},
		{"MRPC", []float32{0, 1, nan, 1}, 2, []float64{0, 1}, "evaluate MRPC: example 1 (ID 7) has the logit NaN"},
		{"STS-B", []float32{0, inf}, 1, []float64{0, 1}, "evaluate STS-B: example 1 (ID 7) has the logit +Inf"},
		{"MRPC", []float32{0, 1}, 2, []float64{-1}, "evaluate MRPC: example 0 (ID 7) has no gold label"},
		{"MRPC", []float32{0, 1}, 2, []float64{2}, "evaluate MRPC: example 0 (ID 7) has no gold label"},
		{"STS-B", []float32{0, 1}, 1, []float64{1, math.NaN()}, "evaluate STS-B: example 1 (ID 7) has no gold label"},
	} {
		task, err := Lookup(c.task)
		if err != nil {
			t.Fatal(err)
		}
		_, err = task.Evaluate(c.logits, c.classes, goldExamples(task, c.gold))
		if err == nil || err.Error() != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

// TestEveryTaskEvaluates holds that each task's best metric is among those that
// Evaluate returns.
func TestEveryTaskEvaluates(t *testing.T) {
	for _, task := range Tasks() {
		classes := max(len(task.Labels), 1)
		logits := make([]float32, 4*classes)
		for i := range 4 { // every prediction right
			logits[i*classes+i%2*(classes-1)] = float32(1 + i%2)
		}
		gold := []float64{0, float64(classes - 1), 0, float64(classes - 1)}
		if task.Regression {
			gold = []float64{1, 2, 1, 2}
		}
		metrics, err := task.Evaluate(logits, classes, goldExamples(task, gold))
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range metrics {
			if m.Name != task.Metrics[i] || math.Abs(m.Value-1) > 1e-15 {
				t.Errorf("%s: %+v, want %s = 1", task.Name, m, task.Metrics[i])
			}
		}
		if _, ok := metrics.Get(task.Best); !ok {
			t.Errorf("%s: best metric %q is not among %v", task.Name, task.Best, metrics)
		}
	}
}

func TestMetricsGet(t *testing.T) {
	metrics := Metrics{{Name: Pearson, Undefined: true}, {Name: Spearman, Value: -0.5}}
	negative, ok := metrics.Get(Spearman)
	if !ok || negative.Value != -0.5 {
		t.Errorf("Get(spearman) = %v, %v", negative, ok)
	}
	if _, ok := metrics.Get("loss"); ok {
		t.Error("Get found a metric that is not there")
	}
}

func TestMetricsJSON(t *testing.T) {
	for _, c := range []struct {
		metrics Metrics
		want    string
	}{
		{nil, `{}`},
		{Metrics{{Name: Accuracy, Value: 0.75}, {Name: F1, Value: 1}}, `{"accuracy":0.75,"f1":1}`},
		{Metrics{{Name: Spearman, Undefined: true}, {Name: Pearson, Value: -0.5}}, `{"spearman":null,"pearson":-0.5}`},
	} {
		got, err := json.Marshal(c.metrics)
		if err != nil || string(got) != c.want {
			t.Errorf("%v: %s (%v), want %s", c.metrics, got, err, c.want)
		}
	}
	_, err := json.Marshal(Metrics{{Name: F1, Value: math.NaN()}})
	if err == nil || !strings.Contains(err.Error(), "metric f1") {
		t.Errorf("NaN: %v, want an error that names the metric", err)
	}
}

func TestOneClass(t *testing.T) {
	task := Task{Labels: []string{"no", "yes"}}
	for _, c := range []struct {
		logits []float32
		label  string
		one    bool
	}{
		{[]float32{0, 1, -2, -1, 5, 6}, "yes", true},
		{[]float32{1, 1, 3, 2}, "no", true}, // of equal logits the first class is predicted
		{[]float32{0, 1, 1, 0}, "", false},
		{[]float32{0, 1}, "", false},
		{nil, "", false},
	} {
		if label, one := task.OneClass(c.logits); label != c.label || one != c.one {
			t.Errorf("%v: %q, %t, want %q, %t", c.logits, label, one, c.label, c.one)
		}
	}
	if _, one := (Task{Regression: true}).OneClass([]float32{1, 1, 1}); one {
		t.Error("a regression has no classes")
	}
}
