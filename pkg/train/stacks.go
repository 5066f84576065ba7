package train

import (
	"github.com/metatt/metatt/pkg/dmrg"
	"github.com/metatt/metatt/pkg/torch"
)

// adaptStacks is adaptTrain for an adapter whose trains share one rank.
func (t *trainer) adaptStacks(e dmrg.Event, event *SweepEvent) error {
	w := t.sweeper
	var stacks []dmrg.Stack
	for _, cores := range w.stacks.Stacks() {
		stack, err := dmrg.NewStack(cores)
		if err != nil {
			return err
		}
		stacks = append(stacks, stack)
	}
	if w.Mode != dmrg.Restart {
		o, err := w.Sweep(e.Sweep)
		if err != nil {
			return err
		}
		var report dmrg.Report
		if stacks, report, err = dmrg.SweepStacks(stacks, o, t.probeStacks); err != nil {
			return err
		}
		event.Report = &report
	}
	if err := t.setStacks(stacks); err != nil {
		return err
	}
	t.list()
	for i, p := range t.Adapter.Parameters() {
		t.optimizer.Replace(i, p.Tensor, nil, nil, int64(w.Rewarm))
	}
	return nil
}

func (t *trainer) setStacks(stacks []dmrg.Stack) error {
	all := make([][]*torch.Tensor, len(stacks))
	for i, stack := range stacks {
		all[i] = stack
	}
	return t.sweeper.stacks.SetStacks(all)
}

// probeStacks is probeLoss with those stacks.
func (t *trainer) probeStacks(stacks []dmrg.Stack) (float64, error) {
	if err := t.setStacks(stacks); err != nil {
		return 0, err
	}
	return t.probeAdapter()
}
