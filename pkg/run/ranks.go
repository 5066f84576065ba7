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
	a.ranks, err = a.rankPlan(train.StepsPerEpoch([]int{a.trainSet.Len()}, a.options.BatchSize, a.options.Accumulate), a.options.Steps)
	return err
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

func dims(list []int) []int64 {
	out := make([]int64, len(list))
	for i, n := range list {
		out[i] = int64(n)
	}
	return out
}

// zeroCore is the core that starts at zero: a first two-site sweep begins with the
// pair of it and its right neighbour. Anywhere else it would begin with a pair that
// the zero has been moved into, and cores between that know nothing of their start.
// 0 where the adapter is not one train.
func (a *assembly) zeroCore() int {
	if train, ok := a.adapter.(adapter.TensorTrain); ok {
		return train.ZeroCore()
	}
	return 0
}
