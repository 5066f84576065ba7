package train_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/optim"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/train"
	"github.com/metatt/metatt/pkg/train/traintest"
)

// hook calls its functions.
type hook struct{ begin, after func(*train.Trainer) error }

func (h hook) Begin(t *train.Trainer) error {
	if h.begin == nil {
		return nil
	}
	return h.begin(t)
}

func (h hook) After(_ context.Context, t *train.Trainer) error {
	if h.after == nil {
		return nil
	}
	return h.after(t)
}

// bits are those of all parameters, with their moments and progress, by name.
func bits(t *train.Trainer) map[string]string {
	all := map[string]string{}
	torch.Scoped(func() {
		progress := t.Optimizer().Progress()
		for i, p := range t.Optimizer().Parameters() {
			m, v := t.Optimizer().Moments(i)
			text := fmt.Sprint(progress[i])
			for _, tensor := range []*torch.Tensor{p.Value.Detach(), m, v} {
				for _, x := range torch.ToSlice[float32](tensor) {
					text += fmt.Sprintf(" %08x", math.Float32bits(x))
				}
			}
			all[p.Name] = text
		}
	})
	return all
}

// The head of a task that has no examples in a step stays as it is: value, moments and
// updates; all else moves.
func TestHeadsWithoutExamples(t *testing.T) {
	s := traintest.Setup(t, map[string]int{"cola": 23, "mnli": 3, "sts-b": 9})
	s.Options.Steps, s.Options.Accumulate = 15, 2
	var before map[string]string
	absent, present := 0, 0
	s.Hooks = []train.Hook{hook{after: func(t0 *train.Trainer) error {
		now := bits(t0)
		if t0.Step() > 0 {
			step, err := t0.Source().Step(t0.Step() - 1)
			if err != nil {
				return err
			}
			for name, was := range before {
				trained := true
				for k, task := range s.Tasks {
					if strings.HasPrefix(name, adapter.HeadPrefix(task.Name)) {
						trained = slices.ContainsFunc(step.Micros, func(m train.Micro) bool { return m.Task == k })
						if trained {
							present++
						} else {
							absent++
						}
					}
				}
				if moved := now[name] != was; moved != trained {
					t.Errorf("step %d: %s moved: %v, has examples: %v", t0.Step(), name, moved, trained)
				}
			}
		}
		before = now
		return nil
	}}}
	traintest.Train(t, s)
	if absent < 6 || present < 6 || len(before) != 3*2+4 {
		t.Errorf("%d parameters; heads had examples %d times, and none %d times: the test tells little", len(before), present, absent)
	}
}

// A step's loss is the mean over its examples, whatever task they are of; beside it
// stands that of each task that had some.
func TestLossesOfTasks(t *testing.T) {
	s := traintest.Setup(t, map[string]int{"cola": 13, "mnli": 7})
	s.Dropout, s.Options.Accumulate, s.Options.Schedule = encoder.Dropout{}, 3, optim.Schedule{} // nothing moves
	var want []map[string]float64
	s.Hooks = []train.Hook{hook{begin: func(t0 *train.Trainer) error {
		for k := range s.Options.Steps {
			step, err := t0.Source().Step(k)
			if err != nil {
				return err
			}
			of, examples := map[string]float64{}, map[string]float64{}
			for _, m := range step.Micros {
				n, name := float64(len(m.Batch.Indices)), s.Tasks[m.Task].Name
				m.Share = 1
				of[name] += n * t0.Objective().Loss([]train.Micro{m})
				examples[name] += n
			}
			sum := 0.0
			for name := range of {
				sum += of[name]
				of[name] /= examples[name]
			}
			of["all"] = sum / float64(step.Examples)
			want = append(want, of)
		}
		return nil
	}}}
	traintest.Train(t, s)
	steps := events(t, s.Dir, "step")
	if len(steps) != s.Options.Steps {
		t.Fatalf("%d steps", len(steps))
	}
	near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-5*math.Abs(b) }
	for k, e := range steps {
		if len(e.Losses)+1 != len(want[k]) || !near(e.Loss, want[k]["all"]) {
			t.Errorf("step %d: %+v, want %v", k+1, e, want[k])
		}
		for name, loss := range e.Losses {
			if !near(loss, want[k][name]) {
				t.Errorf("step %d: %s has %v, want %v", k+1, name, loss, want[k][name])
			}
		}
	}
}
