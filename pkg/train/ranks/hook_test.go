package ranks_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/dmrg"
	"github.com/metatt/metatt/pkg/optim"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/train"
	"github.com/metatt/metatt/pkg/train/ranks"
	"github.com/metatt/metatt/pkg/train/traintest"
)

// after is a hook of that function alone.
type after func(*train.Trainer) error

func (after) Begin(*train.Trainer) error                        { return nil }
func (f after) After(_ context.Context, t *train.Trainer) error { return f(t) }

// canonical is two sweeps, after steps 3 and 6.
func canonical() *ranks.Hook {
	return ranks.New(ranks.Plan{Plan: dmrg.Plan{
		Mode: dmrg.Canonical, At: []int{3, 6}, Schedule: dmrg.Schedule{MaxDim: []int64{2, 1}}, Balance: dmrg.Scalar, Moments: dmrg.Transport,
	}})
}

// twoSite is a sweep of pairs, two steps each, from step 2 on.
func twoSite() *ranks.Hook {
	return ranks.New(ranks.Plan{ProbeBatches: 1, Plan: dmrg.Plan{
		Mode: dmrg.TwoSite, At: []int{2}, Schedule: dmrg.Schedule{MaxDim: []int64{2}}, Balance: dmrg.None, Moments: dmrg.Reset,
		PairSteps: 2, PairLength: 0.1, Rewarm: 2, Tol: 1,
	}})
}

// A checkpoint has the hook's state, with which a run goes on to the same end; one that
// has another is refused.
func TestStateInCheckpoints(t *testing.T) {
	for name, c := range map[string]struct {
		hook   func() *ranks.Hook
		events []int // done after each step, from 0
	}{"canonical": {canonical, []int{0, 0, 0, 1, 1, 1, 2, 2, 2}}, "two-site": {twoSite, []int{0, 0, 1, 1, 2, 2, 3, 3, 4}}} {
		t.Run(name, func(t *testing.T) {
			setup := func() train.Setup {
				s := traintest.Setup(t, map[string]int{"cola": 23, "mnli": 11})
				s.Options.Steps, s.Options.CheckpointEvery, s.Options.KeepCheckpoints = 8, 1, 20
				s.Hooks = []train.Hook{c.hook()}
				return s
			}
			whole := setup()
			traintest.Train(t, whole)
			saved := func(step int) string {
				return filepath.Join(whole.Dir, "checkpoints", fmt.Sprintf("step-%08d", step), "state.json")
			}
			for step := 1; step <= 8; step++ {
				text, err := os.ReadFile(saved(step))
				if err != nil {
					t.Fatal(err)
				}
				var state struct {
					Hooks map[string]struct{ Events int }
				}
				if err := json.Unmarshal(text, &state); err != nil || state.Hooks["ranks"].Events != c.events[step] {
					t.Errorf("after step %d: %+v (%v), want %d events", step, state, err, c.events[step])
				}
			}
			for _, stop := range []int{2, 3, 5} { // before, at and between events
				s := setup()
				s.Options.CheckpointEvery = 0
				s = traintest.Interrupted(t, s, stop)
				s.Hooks = []train.Hook{c.hook()}
				traintest.Train(t, s)
				if got, want := traintest.Metrics(t, s.Dir), traintest.Metrics(t, whole.Dir); got != want {
					t.Errorf("stopped after step %d:\n%s\nwant\n%s", stop, got, want)
				}
			}
			// The last state with one event less.
			text, err := os.ReadFile(saved(8))
			if err != nil {
				t.Fatal(err)
			}
			other := strings.Replace(string(text), fmt.Sprintf(`"events": %d`, c.events[8]), fmt.Sprintf(`"events": %d`, c.events[8]-1), 1)
			if err := os.WriteFile(saved(8), []byte(other), 0o600); err != nil {
				t.Fatal(err)
			}
			if whole.Resume, err = train.LatestCheckpoint(whole.Dir); err != nil {
				t.Fatal(err)
			}
			whole.Hooks = []train.Hook{c.hook()}
			var wrong *train.CheckpointError
			if _, err := train.Run(t.Context(), whole); !errors.As(err, &wrong) || !strings.Contains(err.Error(), fmt.Sprintf("after step 8 it is %d", c.events[8])) {
				t.Errorf("with one event less: %v", err)
			}
		})
	}
}

// Patience waits for the plan: evaluations count once all events are done, for a run that
// is resumed too.
func TestPatienceWaitsForThePlan(t *testing.T) {
	for name, c := range map[string]struct {
		hook func() *ranks.Hook
		last int // step of the last event
	}{"canonical": {canonical, 6}, "two-site": {twoSite, 8}} {
		for _, stop := range []int{0, 1, 5} { // 0: not at all
			s := traintest.Setup(t, map[string]int{"cola": 23})
			s.Options.Steps, s.Options.EvalEvery, s.Options.Patience = 20, 1, 2
			s.Options.Schedule.Peak = 1e-7 // no evaluation is better than the first
			s.Hooks = []train.Hook{c.hook()}
			if stop > 0 {
				s = traintest.Interrupted(t, s, stop)
				s.Hooks = []train.Hook{c.hook()}
			}
			if result := traintest.Train(t, s); result.Steps != c.last+2 || !result.Stopped {
				t.Errorf("%s, interrupted after step %d: %d steps, stopped %v", name, stop, result.Steps, result.Stopped)
			}
		}
	}
}

// While a pair is trained as one, all other cores keep values, moments and updates to the
// bit; heads are trained throughout; no step has the probe's examples.
func TestFrozenCores(t *testing.T) {
	s := traintest.Setup(t, map[string]int{"cola": 23})
	s.Options.Steps = 10
	h := twoSite()
	type parameter struct {
		bytes    string
		progress optim.Progress
	}
	var before []parameter
	frozen, trained := 0, 0
	pairs := []int{-1, -1, 0, 0, 1, 1, 2, 2, -1, -1} // that each step, from 0, trains
	s.Hooks = []train.Hook{h, after(func(t0 *train.Trainer) error {
		var now []parameter
		torch.Scoped(func() {
			for i, p := range t0.Optimizer().Parameters() {
				m, v := t0.Optimizer().Moments(i)
				var all []float32
				for _, tensor := range []*torch.Tensor{p.Value.Detach(), m, v} {
					all = append(all, torch.ToSlice[float32](tensor)...)
				}
				now = append(now, parameter{fmt.Sprint(all), t0.Optimizer().Progress()[i]})
			}
		})
		if step := t0.Step() - 1; step >= 0 && !slices.Contains([]int{1, 3, 5, 7}, step) { // after these the cores are others
			for i := range now {
				pair := pairs[step]
				moves := i >= 4 || pair < 0 || i == pair // of four cores; then the head
				if moved := now[i] != before[i]; moved != moves {
					t.Errorf("step %d, pair %d: parameter %d moved: %v", step+1, pair, i, moved)
				}
				if moves {
					trained++
				} else {
					frozen++
				}
			}
		}
		before = now
		if next := t0.Step(); next < len(pairs) && pairs[next] >= 0 {
			step, err := t0.Source().Step(next)
			if err != nil {
				return err
			}
			probe, err := t0.Source().Sample(1, 0)
			if err != nil {
				return err
			}
			for _, i := range probe[0].Batch.Indices {
				if slices.Contains(step.Micros[0].Batch.Indices, i) {
					t.Errorf("step %d has example %d of the probe", next+1, i)
				}
			}
		}
		return nil
	})}
	traintest.Train(t, s)
	if frozen != 3*3 || trained == 0 || !slices.Equal(adapter.TrainRanks(s.Adapter), []int64{1, 1, 1}) {
		t.Errorf("%d times frozen, %d trained, ranks %v in the end", frozen, trained, adapter.TrainRanks(s.Adapter))
	}
}
