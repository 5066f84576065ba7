package train

import (
	"context"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/optim"
	"github.com/metatt/metatt/pkg/parallel"
	"github.com/metatt/metatt/pkg/torch"
)

// beforePruning is the folder beside adapter/best of the best adapter of the ranks before.
const beforePruning = "best-before-pruning"

// shrinking is the hook of adapters whose ranks fall while they are trained: after each
// update they are shown its gradients, and the optimizer follows what they drop. No run
// ends while they still have more than they are to end with.
type shrinking struct {
	shown int // the last update
}

// Begin implements [Hook].
func (h *shrinking) Begin(t *Trainer) error {
	h.shown = t.state.Step // by the process before this one
	t.Await(len(adapter.Progress(t.Adapter)) > 0)
	return nil
}

// After implements [Hook].
func (h *shrinking) After(_ context.Context, t *Trainer) error {
	r, ok := t.Adapter.(adapter.RankAdapter)
	if !ok || h.shown == t.state.Step {
		return nil
	}
	var err error
	torch.Scoped(func() {
		gradients := make([]*torch.Tensor, len(t.Adapter.Parameters()))
		for i := range gradients {
			gradients[i] = t.optimizer.Gradient(i).ToDType(torch.Float32)
		}
		changes := map[int]optim.Change{}
		shrunk := r.AfterUpdate(t.state.Step, t.Options.Steps, gradients)
		if err = t.agreeOn(shrunk); err != nil {
			return
		}
		for _, s := range shrunk {
			index := torch.FromSlice(s.Keep).To(t.Device)
			first, second := t.optimizer.Moments(s.Parameter)
			changes[s.Parameter] = optim.Change{First: first.IndexSelect(s.Dim, index), Second: second.IndexSelect(s.Dim, index)}
		}
		if len(changes) > 0 {
			t.Replaced(changes)
			err = t.ForgetBest(beforePruning) // of more parameters than the run ends with
		}
	})
	h.shown = t.state.Step
	t.Await(len(r.Progress()) > 0)
	return err
}

// agreeOn is an error where the processes of a group keep other parts of the parameters: their
// sums would be of other things from here on.
func (t *Trainer) agreeOn(shrunk []adapter.Shrunk) error {
	if len(shrunk) == 0 {
		return nil
	}
	var numbers []uint32
	for _, s := range shrunk {
		numbers = append(numbers, uint32(s.Parameter), uint32(s.Dim), uint32(len(s.Keep)))
		for _, k := range s.Keep {
			numbers = append(numbers, uint32(k))
		}
	}
	return parallel.Agree(t.Group, "the ranks that are left", numbers...)
}
