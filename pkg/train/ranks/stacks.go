package ranks

import (
	"github.com/metatt/metatt/pkg/dmrg"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/train"
)

// adaptStacks is adaptCores for an adapter whose trains share one rank.
func (h *Hook) adaptStacks(e dmrg.Event, event *train.SweepEvent) (*replacement, error) {
	var stacks []dmrg.Stack
	for _, cores := range h.stacks.Stacks() {
		stack, err := dmrg.NewStack(cores)
		if err != nil {
			return nil, err
		}
		stacks = append(stacks, stack)
	}
	if h.Mode != dmrg.Restart {
		o, err := h.Sweep(e.Sweep)
		if err != nil {
			return nil, err
		}
		var report dmrg.Report
		if stacks, report, err = dmrg.SweepStacks(stacks, o, h.probeStacks); err != nil {
			return nil, err
		}
		if event.Report = &report; report.Skipped {
			return nil, nil // nothing was changed
		}
	}
	r := &replacement{rewarm: h.Rewarm}
	for _, stack := range stacks {
		r.tensors = append(r.tensors, stack...)
	}
	return r, nil
}

func (h *Hook) setStacks(stacks []dmrg.Stack) error {
	all := make([][]*torch.Tensor, len(stacks))
	for i, stack := range stacks {
		all[i] = stack
	}
	return h.stacks.SetStacks(all)
}
