package ranks

import (
	"github.com/metatt/metatt/pkg/dmrg"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/tt"
)

// probeLoss is the loss over the probe's examples with those cores, without dropout.
// The adapter keeps the cores.
func (h *Hook) probeLoss(x tt.Train) (float64, error) {
	if err := h.cores.SetCores(x.Cores()); err != nil {
		return 0, err
	}
	return h.Objective().Loss(h.probe), nil
}

// coreGradient is ∂loss/∂core k with those cores over the gradient batches, without
// dropout. The adapter keeps the cores.
func (h *Hook) coreGradient(x tt.Train, k int) (*torch.Tensor, error) {
	if err := h.cores.SetCores(x.Cores()); err != nil {
		return nil, err
	}
	micros, err := h.Source().Sample(h.GradientBatches, 1+h.done) // others at each event
	if err != nil {
		return nil, err
	}
	return h.Objective().Gradient(micros, h.cores.Cores()[k]), nil
}

// probeStacks is probeLoss with those stacks.
func (h *Hook) probeStacks(stacks []dmrg.Stack) (float64, error) {
	if err := h.setStacks(stacks); err != nil {
		return 0, err
	}
	return h.Objective().Loss(h.probe), nil
}
