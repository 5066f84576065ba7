package ranks

import (
	"github.com/metatt/metatt/pkg/dmrg"
	"github.com/metatt/metatt/pkg/optim"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/train"
)

// adaptStacks is adaptCores for an adapter whose trains share one rank.
func (h *Hook) adaptStacks(e dmrg.Event, event *train.SweepEvent) error {
	var stacks []dmrg.Stack
	for _, cores := range h.stacks.Stacks() {
		stack, err := dmrg.NewStack(cores)
		if err != nil {
			return err
		}
		stacks = append(stacks, stack)
	}
	if h.Mode != dmrg.Restart {
		o, err := h.Sweep(e.Sweep)
		if err != nil {
			return err
		}
		var report dmrg.Report
		if stacks, report, err = dmrg.SweepStacks(stacks, o, h.probeStacks); err != nil {
			return err
		}
		event.Report = &report
	}
	if err := h.setStacks(stacks); err != nil {
		return err
	}
	changes := map[int]optim.Change{}
	for i := range h.Adapter.Parameters() {
		changes[i] = optim.Change{Rewarm: int64(h.Rewarm)}
	}
	h.Replaced(changes)
	return nil
}

func (h *Hook) setStacks(stacks []dmrg.Stack) error {
	all := make([][]*torch.Tensor, len(stacks))
	for i, stack := range stacks {
		all[i] = stack
	}
	return h.stacks.SetStacks(all)
}
