package factored

import (
	"fmt"
	"slices"

	"github.com/metatt/metatt/pkg/torch"
)

// stacked is an adapter of a [Stacked] form. It implements
// [adapter.TensorTrains].
type stacked struct {
	*product
	planner planner
	lengths []int // of the stacks, in cores
}

// Stacks implements [adapter.TensorTrains].
func (s *stacked) Stacks() [][]*torch.Tensor {
	stacks := make([][]*torch.Tensor, len(s.lengths))
	rest := s.tensors
	for i, n := range s.lengths {
		stacks[i], rest = slices.Clone(rest[:n]), rest[n:]
	}
	return stacks
}

// SetStacks implements [adapter.TensorTrains].
func (s *stacked) SetStacks(stacks [][]*torch.Tensor) error {
	cores := slices.Concat(stacks...)
	wrong := func(err error) error { return fmt.Errorf("%s: %w", s.method.Name, err) }
	if len(cores) != len(s.tensors) {
		return wrong(fmt.Errorf("%d cores, there are %d", len(cores), len(s.tensors)))
	}
	if len(cores[0].Shape()) != 4 {
		return wrong(fmt.Errorf("a core of shape %v, want (tensor trains, left, n, right)", cores[0].Shape()))
	}
	settings := s.settings
	if size := cores[0].Size(3); s.method.Sized != nil {
		settings.TTRank = size
	} else {
		settings.Rank = size
	}
	resized, err := s.planner.planned(settings)
	if err != nil {
		return wrong(err)
	}
	for i, leaf := range resized.leaves {
		if !slices.Equal(cores[i].Shape(), leaf.Shape) {
			return wrong(fmt.Errorf("tensor %s has shape %v, want %v", leaf.Name, cores[i].Shape(), leaf.Shape))
		}
	}
	torch.NoGrad(func() {
		for i, core := range cores {
			fresh := core.Detach().ToDType(torch.Float32).To(s.tensors[i].Device()).Clone().Contiguous()
			resized.tensors = append(resized.tensors, fresh.SetRequiresGrad(true).Keep())
		}
	})
	s.Free()
	*s.trainable = *resized
	s.form = resized.form.(Form)
	return nil
}
