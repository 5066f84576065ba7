// Package ranks adapts the ranks of an adapter's tensor trains while it is trained: DMRG's
// sweeps as a hook of the loop, which knows no method by name.
package ranks

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/dmrg"
	"github.com/metatt/metatt/pkg/torch"
)

// Plan is how a run adapts the ranks of an adapter's tensor train.
type Plan struct {
	dmrg.Plan
	ProbeBatches    int // micro-batches of training examples, always the same
	GradientBatches int // a direction to grow in is looked for with
}

// Check says what is wrong with adapting an adapter so in a run of so many steps, if
// anything is.
func (r *Plan) Check(a adapter.Adapter, steps int) error {
	method := a.Config().Method
	if frozen := adapter.FrozenTasks(a); len(frozen) > 0 {
		return fmt.Errorf("mode %s: a sweep would change %s, which are frozen", r.Mode, strings.Join(frozen, ", "))
	}
	bonds, least := 1, int64(0)
	tooEarly := slices.Equal(r.At, []int{0}) && (r.Mode == dmrg.Canonical || r.Mode == dmrg.Paper)
	switch a := a.(type) {
	case adapter.TensorTrain:
		if tooEarly && slices.ContainsFunc(a.Cores(), isZero) {
			return errTooEarly
		}
		bonds = len(a.Cores()) - 1
		var dims, ranks []int64
		for k, core := range a.Cores() {
			if dims = append(dims, core.Size(1)); k < bonds {
				ranks = append(ranks, min(r.Floor(), core.Size(2)))
			}
		}
		least = dmrg.Entries(dims, ranks)
	case adapter.TensorTrains:
		if r.Mode == dmrg.TwoSite || r.Mode == dmrg.Enrich || r.Moments == dmrg.Transport {
			return fmt.Errorf("mode %s with moments %s: the trains of %s share one rank, which modes %s, %s and %s adapt, with moments %s",
				r.Mode, r.Moments, method, dmrg.Canonical, dmrg.Paper, dmrg.Restart, dmrg.Reset)
		}
		for _, cores := range a.Stacks() {
			if tooEarly && slices.ContainsFunc(cores, isZero) {
				return errTooEarly
			}
			least += dmrg.StackEntries([]dmrg.Stack{cores}, r.Floor())
		}
	default:
		return fmt.Errorf("mode %s: %s has no tensor train whose ranks could be adapted", r.Mode, method)
	}
	if r.Tol > 0 && r.ProbeBatches < 1 || r.Mode == dmrg.Enrich && r.GradientBatches < 1 {
		return fmt.Errorf("%d probe and %d gradient batches: what is looked at needs one or more", r.ProbeBatches, r.GradientBatches)
	}
	return r.Plan.Check(bonds, least, steps)
}

var errTooEarly = errors.New("at: the only sweep is due before the first step, when the update is still zero and there is nothing to truncate")

func isZero(t *torch.Tensor) bool {
	var largest float64
	torch.NoGrad(func() { largest = t.Abs().Max().Item() })
	return largest == 0
}
