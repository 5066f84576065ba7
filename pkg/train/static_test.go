package train_test

import (
	"context"
	"math"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/train"
	"github.com/metatt/metatt/pkg/train/traintest"
)

// replacing puts copies of the cores in their place after two steps.
type replacing struct{}

func (replacing) Begin(*train.Trainer) error { return nil }

func (replacing) After(_ context.Context, t *train.Trainer) error {
	if t.Step() != 2 {
		return nil
	}
	a := t.Adapter.(adapter.TensorTrain)
	var err error
	torch.NoGrad(func() { err = a.SetCores(a.Cores()) })
	if err == nil {
		t.Replaced(nil)
	}
	return err
}

// Steps over static buffers, whose batches are filled up to buckets, are the steps of a
// CUDA graph made on the CPU: they come to the same losses but for the rounding of
// products of other sizes. That of those masks, too: with another there would be others.
func TestStaticStepsAreTheSame(t *testing.T) {
	for name, change := range map[string]func(*train.Setup){
		"steps":                  func(*train.Setup) {},
		"accumulated":            func(s *train.Setup) { s.Options.Accumulate = 3 },
		"with evaluations":       func(s *train.Setup) { s.Options.EvalEvery = 2 },
		"with replaced cores":    func(s *train.Setup) { s.Hooks = append(s.Hooks, replacing{}) },
		"a head of its own rate": func(s *train.Setup) { s.Tasks[1].HeadScale, s.Tasks[0].Weight = 3, 0.5 },
	} {
		t.Run(name, func(t *testing.T) {
			losses := func(static bool) []float64 {
				var all []float64
				s := traintest.Setup(t, map[string]int{"mrpc": 23, "stsb": 9})
				change(&s)
				s.Static = static
				s.Observer = traintest.Silent{OnStep: func(info train.StepInfo) { all = append(all, info.Loss) }}
				traintest.Train(t, s) // an error where nothing could be static
				return all
			}
			exact, static := losses(false), losses(true)
			if len(exact) != 7 || len(static) != 7 {
				t.Fatalf("%d and %d steps", len(exact), len(static))
			}
			for k, want := range exact {
				if !(math.Abs(static[k]-want) <= 1e-6*want) {
					t.Errorf("step %d: the loss is %v, %v over exact batches", k+1, static[k], want)
				}
			}
		})
	}
}
