package train_test

import (
	"context"
	"errors"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/dmrg"
	"github.com/metatt/metatt/pkg/optim"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/train"
	"github.com/metatt/metatt/pkg/train/ranks"
	"github.com/metatt/metatt/pkg/train/traintest"
)

// sweep is a hook that cuts all ranks to 2 after a step.
func sweep(after int) train.Hook {
	return ranks.New(ranks.Plan{Plan: dmrg.Plan{
		Mode: dmrg.Canonical, At: []int{after}, Schedule: dmrg.Schedule{MaxDim: []int64{2}}, Balance: dmrg.None, Moments: dmrg.Transport,
	}})
}

// A journal that reads figures late writes what one does that reads them at once, with
// sweeps, evaluations, checkpoints and an end between the steps.
func TestJournalsThatLag(t *testing.T) {
	run := func(lag, stop int) (metrics string, last map[string]string) {
		s := traintest.Setup(t, map[string]int{"cola": 23, "mnli": 11})
		s.Options.Steps, s.Options.EvalEvery, s.Options.CheckpointEvery, s.Options.Accumulate = 13, 5, 3, 2
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s.Hooks = []train.Hook{
			hook{begin: func(t0 *train.Trainer) error { t0.Lag(lag); return nil }},
			sweep(7),
			hook{after: func(t0 *train.Trainer) error {
				if stop > 0 && t0.Step() == stop {
					cancel()
				}
				last = bits(t0)
				if t0.Step() == 6 {
					return t0.Record(map[string]string{"event": "of a hook"})
				}
				return nil
			}},
		}
		if _, err := train.Run(ctx, s); stop > 0 {
			if !errors.Is(err, train.ErrInterrupted) {
				t.Fatal(err)
			}
			s.Hooks[1], stop = sweep(7), 0 // a hook is of one run
			traintest.Train(t, traintest.Resumed(t, s))
		} else if err != nil {
			t.Fatal(err)
		}
		return traintest.Metrics(t, s.Dir), last
	}
	want, state := run(0, 0)
	if n := strings.Count(want, "\n"); n != 13+3+1+1 {
		t.Fatalf("%d events:\n%s", n, want)
	}
	for _, c := range [][2]int{{1, 0}, {3, 0}, {16, 0}, {1, 4}, {0, 8}, {1, 8}, {16, 8}, {1, 13}} {
		metrics, last := run(c[0], c[1])
		if metrics != want {
			t.Errorf("%d steps late, stopped after step %d:\n%s\nwant\n%s", c[0], c[1], metrics, want)
		}
		for name := range state {
			if last[name] != state[name] {
				t.Errorf("%d steps late, stopped after step %d: %s differs", c[0], c[1], name)
			}
		}
	}
}

// A step that cannot be made is the same error whenever that is found, and after it
// nothing is recorded and nothing has changed.
func TestStepsThatCannotBeMadeAreFoundLate(t *testing.T) {
	poison := func(value float64) func(*train.Trainer) error {
		return func(t0 *train.Trainer) error {
			if t0.Step() == 3 {
				o := t0.Optimizer()
				torch.NoGrad(func() { o.Parameters()[len(o.Parameters())-1].Value.Detach().AddScalarInPlace(value) })
			}
			return nil
		}
	}
	for name, c := range map[string]struct {
		change func(*train.Setup)
		after  func(*train.Trainer) error
		made   int // steps before
		want   string
	}{
		"too large a rate": {change: func(s *train.Setup) { s.Options.Schedule = optim.Schedule{Peak: 1e20, Warmup: 1} }, made: 1, want: "step 2: cores.0 would not be finite after the update"},
		// So little too large that a later update, which counts one more, would be made.
		"the first step":  {change: func(s *train.Setup) { s.Options.Schedule = optim.Schedule{Peak: 2.1e19} }, made: 0, want: "would not be finite after the update"},
		"no loss":         {after: poison(math.NaN()), made: 3, want: "step 4: the loss is NaN"},
		"a loss's weight": {change: func(s *train.Setup) { s.Tasks[0].Weight = 1e38 }, made: 0, want: "step 1: the gradient of cores."},
	} {
		t.Run(name, func(t *testing.T) {
			type end struct{ message, metrics string }
			var at0 end
			for _, lag := range []int{0, 1, 2, 16} {
				s := traintest.Setup(t, map[string]int{"cola": 23})
				s.Options.Steps, s.Options.EvalEvery = 9, 9
				if c.change != nil {
					c.change(&s)
				}
				states := map[int]map[string]string{}
				s.Hooks = []train.Hook{hook{
					begin: func(t0 *train.Trainer) error { t0.Lag(lag); return nil },
					after: func(t0 *train.Trainer) error {
						if c.after != nil {
							if err := c.after(t0); err != nil {
								return err
							}
						}
						states[t0.Step()] = bits(t0)
						return nil
					},
				}}
				_, err := train.Run(t.Context(), s)
				if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), ":  would") {
					t.Fatalf("%d steps late: %v, want %q", lag, err, c.want)
				}
				found := end{err.Error(), traintest.Metrics(t, s.Dir)}
				if lag == 0 {
					at0 = found
				}
				if found != at0 || strings.Count(found.metrics, "\n") != c.made {
					t.Errorf("%d steps late: %+v, at once %+v", lag, found, at0)
				}
				last := len(states) - 1 // that was seen
				if last < c.made || last > c.made+lag || lag == 16 && last != 9 {
					t.Errorf("%d steps late: the last step seen is %d", lag, last)
				}
				for step := c.made + 1; step <= last; step++ {
					for name, was := range states[c.made] {
						value := func(s string) string { return s[strings.Index(s, "}"):] } // updates are counted
						if value(states[step][name]) != value(was) {
							t.Errorf("%d steps late: after step %d %s is not what it was", lag, step, name)
						}
					}
				}
				if _, err := os.Stat(s.Dir + "/adapter/last"); err == nil {
					t.Error("something is saved")
				}
			}
		})
	}
}
