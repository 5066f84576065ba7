package run

import (
	"fmt"
	"slices"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/dmrg"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/train"
	"github.com/metatt/metatt/pkg/train/ranks"
)

// settleShare is the part of a run after which, by default, no rank changes any
// more: what is left trains the ranks that stay.
const settleShare = 0.6

// planRanks settles how ranks change.
func (a *assembly) planRanks() (err error) {
	if a.ranks, err = a.rankPlan(a.stepsPerEpoch(), a.options.Steps); err == nil && a.ranks != nil {
		a.noteSweeps()
	}
	return err
}

// noteSweeps says what is asked of sweeps that has no effect.
func (a *assembly) noteSweeps() {
	c, plan := a.config.DMRG, a.ranks
	truncates := plan.Mode == dmrg.Canonical || plan.Mode == dmrg.Paper
	limited := slices.ContainsFunc(c.MaxDim, func(most int) bool { return most > 0 }) || slices.ContainsFunc(c.Cutoff, func(share float64) bool { return share > 0 })
	if truncates && !limited && c.Budget == 0 {
		a.observer.Note("dmrg: none of maxdim, cutoff and budget says what sweeps cut: all ranks stay")
	}
	if a.config.Changed("dmrg.mindim") && c.Budget == 0 && !slices.ContainsFunc(c.Cutoff, func(share float64) bool { return share > 0 }) {
		a.observer.Note("dmrg.mindim has no effect without dmrg.cutoff or dmrg.budget: nothing else cuts below dmrg.maxdim")
	}
	if plan.Moments == dmrg.Transport && a.config.Changed("dmrg.rewarm") {
		a.observer.Note(fmt.Sprintf("dmrg.rewarm %d has no effect: it is for moments that begin anew, and these are taken along (dmrg.moments)", c.Rewarm))
	}
	if c.Tol == 0 && a.config.Changed("dmrg.probe_batches") {
		a.observer.Note(fmt.Sprintf("dmrg.probe_batches %d has no effect without dmrg.tol", c.ProbeBatches))
	}
	if len(c.At) == 0 && a.config.Changed("dmrg.unit") {
		a.observer.Note(fmt.Sprintf("dmrg.unit %s has no effect without dmrg.at: sweeps follow epochs", c.Unit))
	}
}

// rankPlan is the dmrg section as a plan for the run; nil where ranks stay.
func (a *assembly) rankPlan(perEpoch, steps int) (*ranks.Plan, error) {
	c := a.config.DMRG
	if c.Mode == "none" {
		return nil, nil
	}
	at := slices.Clone(c.At)
	if len(at) == 0 {
		for e := 1; float64(e*perEpoch) <= settleShare*float64(steps); e++ {
			at = append(at, e)
		}
		if len(at) == 0 {
			return nil, config.Invalid("dmrg.at", fmt.Errorf("empty, and no epoch of %d steps ends within the first %d %% of %d steps: say after which epoch or step (dmrg.unit) a sweep begins",
				perEpoch, int(100*settleShare), steps))
		}
	}
	if c.Unit == "epoch" || len(c.At) == 0 {
		for i := range at {
			at[i] *= perEpoch
		}
	}
	if err := a.checkSweeps(len(at)); err != nil {
		return nil, err
	}
	moments := dmrg.Moments(c.Moments)
	if c.Moments == "auto" {
		moments = dmrg.Transport
		_, many := a.adapter.(adapter.TensorTrains)
		if mode := dmrg.Mode(c.Mode); many || mode == dmrg.TwoSite || mode == dmrg.Restart {
			moments = dmrg.Reset
		}
	}
	plan := &ranks.Plan{
		Plan: dmrg.Plan{
			Mode: dmrg.Mode(c.Mode), At: at,
			Schedule: dmrg.Schedule{MaxDim: dims(c.MaxDim), MinDim: dims(c.MinDim), Cutoff: c.Cutoff},
			Budget:   int64(c.Budget), Balance: dmrg.Balance(c.Balance), Moments: moments, Rewarm: c.Rewarm, Tol: c.Tol,
			PairSteps: c.PairSteps, PairLength: c.PairLength, Start: a.zeroCore(),
			Grow: int64(c.Grow),
		},
		ProbeBatches: c.ProbeBatches, GradientBatches: c.GradientBatches,
	}
	err := torch.Do(func() error { return plan.Check(a.adapter, steps) })
	if err != nil {
		return nil, config.Invalid("dmrg", err)
	}
	return plan, nil
}

// checkSweeps finds what is said of more sweeps than there are, and a probe that leaves a pair nothing to be trained on.
func (a *assembly) checkSweeps(due int) error {
	c := a.config.DMRG
	for _, list := range []struct {
		key    string
		values int
	}{{"dmrg.maxdim", len(c.MaxDim)}, {"dmrg.mindim", len(c.MinDim)}, {"dmrg.cutoff", len(c.Cutoff)}} {
		if list.values > due {
			return config.Invalid(list.key, fmt.Errorf("%d values for the sweeps that are due, %d: the last would count for none", list.values, due))
		}
	}
	if dmrg.Mode(c.Mode) != dmrg.TwoSite || c.Tol == 0 {
		return nil
	}
	examples := a.examples()
	for i, size := range train.SampleSizes(examples, c.ProbeBatches, a.config.Train.BatchSize) {
		if size == examples[i] {
			return config.Invalid("dmrg.probe_batches", fmt.Errorf("%d of %d examples hold out all %d training examples of %s while a pair is trained: take fewer, or smaller ones (train.batch_size)",
				c.ProbeBatches, a.config.Train.BatchSize, size, a.tasks[i].task.Name))
		}
	}
	return nil
}

func dims(list []int) []int64 {
	out := make([]int64, len(list))
	for i, n := range list {
		out[i] = int64(n)
	}
	return out
}

// zeroCore is the core that starts at zero: a first two-site sweep begins with a
// pair that it is of. Anywhere else it would begin with a pair that
// the zero has been moved into, and cores between that know nothing of their start.
// 0 where the adapter is not one train.
func (a *assembly) zeroCore() int {
	if train, ok := a.adapter.(adapter.TensorTrain); ok {
		return train.ZeroCore()
	}
	return 0
}
