package train

import (
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/data"
	"github.com/metatt/metatt/pkg/task"
)

// judged are the tasks with dev sets, of which only the metrics are looked at.
func judged(t *testing.T, names ...string) (tasks []Task) {
	t.Helper()
	for _, name := range names {
		named, err := task.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		tasks = append(tasks, Task{Name: name, Dev: &data.Set{Task: named}})
	}
	return tasks
}

func TestCriteria(t *testing.T) {
	metric := func(name string, value float64) task.Metric { return task.Metric{Name: name, Value: value} }
	none := func(name string) task.Metric { return task.Metric{Name: name, Value: 9, Undefined: true} }
	mrpc := TaskEval{Metrics: task.Metrics{metric("accuracy", 0.75), metric("f1", 0.5)}}
	cola := TaskEval{Metrics: task.Metrics{metric("matthews", -0.25), metric("accuracy", 0.625)}}
	flat := TaskEval{Metrics: task.Metrics{none("matthews"), metric("accuracy", 0.625)}}
	value := func(x float64) *float64 { return &x }
	one, two := []string{"mrpc"}, []string{"mrpc", "cola"}
	for _, c := range []struct {
		tasks []string
		text  string
		found []TaskEval
		name  string
		want  *float64
	}{
		{one, "", []TaskEval{mrpc}, "accuracy", value(0.75)},
		{one, "f1", []TaskEval{mrpc}, "f1", value(0.5)},
		{two, "", []TaskEval{mrpc, cola}, "mean", value(0.25)},
		{two, "", []TaskEval{mrpc, flat}, "mean", nil},
		{two, "cola", []TaskEval{mrpc, cola}, "cola.matthews", value(-0.25)},
		{two, "cola", []TaskEval{mrpc, flat}, "cola.matthews", nil},
		{two, "cola.accuracy", []TaskEval{mrpc, flat}, "cola.accuracy", value(0.625)},
		{two, "mrpc.f1", []TaskEval{mrpc, flat}, "mrpc.f1", value(0.5)},
		{two, "mrpc.f1", []TaskEval{{}, cola}, "mrpc.f1", nil},
	} {
		criterion, err := NewCriterion(c.text, judged(t, c.tasks...))
		if err != nil {
			t.Errorf("%v, %q: %v", c.tasks, c.text, err)
			continue
		}
		got := criterion.of(c.found)
		if criterion.Name != c.name || (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
			t.Errorf("%v, %q: %s is %v, want %s of %v", c.tasks, c.text, criterion.Name, got, c.name, c.want)
		}
	}
	for _, c := range []struct {
		tasks      []string
		text, want string
	}{
		{one, "matthews", "mrpc has the metrics [accuracy f1], not matthews"},
		{one, "cola.matthews", "mrpc has the metrics"},
		{two, "f1", "f1 is of no task of the run"},
		{two, "rte.accuracy", "rte.accuracy is of no task of the run"},
		{two, "cola.f1", "cola has the metrics"},
		{two, ".f1", ".f1 is of no task of the run"},
	} {
		if _, err := NewCriterion(c.text, judged(t, c.tasks...)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, %q: %v, want %q", c.tasks, c.text, err, c.want)
		}
	}
	if err := (Criterion{}).check(judged(t, "mrpc")); err == nil {
		t.Error("no metric at all was taken")
	}
	if err := (Criterion{Of: []TaskMetric{{2, "f1"}}}).check(judged(t, "mrpc")); err == nil {
		t.Error("a metric of a task that is not there was taken")
	}
}

// Of equal evaluations the earlier is best, and one that is undefined is worse than any.
func TestBestOfEvaluations(t *testing.T) {
	value := func(x float64) *float64 { return &x }
	b := &best{Trainer: &Trainer{Setup: Setup{Dir: t.TempDir(), SaveAdapter: func(string) error { return nil }}}}
	waited := 0
	for i, c := range []struct {
		value *float64
		best  bool
	}{{nil, true}, {nil, false}, {value(-1), true}, {value(-1), false}, {nil, false}, {value(-2), false}, {value(0.5), true}, {value(0.5), false}} {
		b.state.Step = i + 1
		is, err := b.take(c.value, 1, nil)
		if waited++; c.best {
			waited = 0
		}
		if err != nil || is != c.best || b.state.Waited != waited {
			t.Errorf("evaluation %d: best %v, %d since (%v), want %v and %d", i, is, b.state.Waited, err, c.best, waited)
		}
	}
	if b.state.Best.Step != 7 || *b.state.Best.Value != 0.5 {
		t.Errorf("best: %+v", b.state.Best)
	}
}
