package run

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/dmrg"
	"github.com/metatt/metatt/pkg/train"
)

// settleShare is the part of a run after which, by default, no rank changes any
// more: what is left trains the ranks that stay.
const settleShare = 0.6

// rankPlan is the dmrg section as a plan for the run; nil where ranks stay.
func (a *assembly) rankPlan(perEpoch, steps int) (*train.Ranks, error) {
	c := a.config.DMRG
	if c.Mode == "none" {
		return nil, nil
	}
	if frozen := adapter.FrozenTasks(a.adapter); len(frozen) > 0 {
		return nil, invalid("dmrg.mode", fmt.Errorf("%s: a sweep would change %s, which are frozen", c.Mode, strings.Join(frozen, ", ")))
	}
	bonds := 1
	trains, many := a.adapter.(adapter.TensorTrains)
	if train, one := a.adapter.(adapter.TensorTrain); one {
		bonds = len(train.Cores()) - 1
	} else if !many {
		return nil, invalid("dmrg.mode", fmt.Errorf("%s: %s has no tensor train whose ranks could be adapted; %s have",
			c.Mode, a.config.Adapter.Method, strings.Join(trainMethods(), ", ")))
	}
	at := slices.Clone(c.At)
	if len(at) == 0 {
		for e := 1; float64(e*perEpoch) <= settleShare*float64(steps); e++ {
			at = append(at, e)
		}
		if len(at) == 0 {
			return nil, invalid("dmrg.at", fmt.Errorf("empty, and no epoch of %d steps ends within the first %d %% of %d steps: say after which epoch or step (dmrg.unit) a sweep begins",
				perEpoch, int(100*settleShare), steps))
		}
	}
	if c.Unit == "epoch" || len(c.At) == 0 {
		for i := range at {
			at[i] *= perEpoch
		}
	}
	plan := dmrg.Plan{
		Mode: dmrg.Mode(c.Mode), At: at,
		Schedule: dmrg.Schedule{MaxDim: dims(c.MaxDim), MinDim: dims(c.MinDim), Cutoff: c.Cutoff},
		Budget:   int64(c.Budget), Balance: dmrg.Balance(c.Balance), Moments: dmrg.Moments(c.Moments), Rewarm: c.Rewarm, Tol: c.Tol,
		PairSteps: c.PairSteps, PairLength: c.PairLength, FromRight: zeroOnTheRight(a.adapter.Config().Init),
		Grow: int64(c.Grow),
	}
	if plan.Mode == dmrg.TwoSite && plan.Moments == dmrg.Transport {
		return nil, invalid("dmrg.moments", errors.New("transport: a pair that was trained has moments of its own; reset goes with mode two-site"))
	}
	if many && (plan.Mode == dmrg.TwoSite || plan.Mode == dmrg.Enrich || plan.Moments == dmrg.Transport) {
		return nil, invalid("dmrg.mode", fmt.Errorf("%s with moments %s: the %d trains of %s share one rank, which modes canonical, paper and restart adapt, with moments reset",
			plan.Mode, plan.Moments, len(trains.Stacks())*int(trains.Stacks()[0][0].Size(0)), a.config.Adapter.Method))
	}
	if err := plan.Check(bonds, steps); err != nil {
		return nil, invalid("dmrg", err)
	}
	return &train.Ranks{Plan: plan, ProbeBatches: c.ProbeBatches, GradientBatches: c.GradientBatches}, nil
}

func dims(list []int) []int64 {
	out := make([]int64, len(list))
	for i, n := range list {
		out[i] = int64(n)
	}
	return out
}

// zeroOnTheRight: the core that starts at zero is nearer to the train's right
// end, where a first two-site sweep then begins: everywhere else it would begin
// with a pair whose neighbours know nothing of it.
func zeroOnTheRight(init string) bool {
	starts := strings.Split(init, "-")
	return slices.Index(starts, "ze") >= (len(starts)+1)/2
}

// trainMethods are the methods that have a train.
func trainMethods() []string {
	var names []string
	for _, m := range adapter.Methods() {
		if m.Train {
			names = append(names, m.Name)
		}
	}
	return names
}
