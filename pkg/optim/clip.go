package optim

import (
	"math"

	"github.com/metatt/metatt/pkg/torch"
)

// Clip scales the gradients in place so that their common norm √Σ‖g‖² is at
// most limit (0: no limit), and returns the norm before, as PyTorch's
// clip_grad_norm_ does. Where it is not [Finite], they stay as they are. It runs
// inside [torch.Do].
func Clip(gradients []*torch.Tensor, limit float64) float64 {
	var norm float64
	torch.NoGrad(func() {
		torch.Scoped(func() {
			norm = norms(gradients).Norm().Item()
			const eps = 1e-6 // PyTorch's guard against a zero norm
			if scale := limit / (norm + eps); limit > 0 && scale < 1 && Finite(norm) {
				for _, g := range gradients {
					g.MulScalarInPlace(scale)
				}
			}
		})
	})
	return norm
}

// norms is ‖t‖ of each tensor, in one.
func norms(tensors []*torch.Tensor) *torch.Tensor {
	each := make([]*torch.Tensor, len(tensors))
	for i, t := range tensors {
		each[i] = t.Norm()
	}
	return torch.Stack(0, each...)
}

// Finite reports whether a norm is one that fp32 can go on from: a number whose
// square it holds, as AdamW's second moments are squares.
func Finite(norm float64) bool { return norm*norm <= math.MaxFloat32 }

// FirstNotFinite is the place of the first tensor whose norm is not [Finite], or
// -1. Nil tensors are passed over. It runs inside [torch.Do].
func FirstNotFinite(tensors []*torch.Tensor) int {
	var places []int
	var there []*torch.Tensor
	for i, t := range tensors {
		if t != nil && t.Numel() > 0 {
			places, there = append(places, i), append(there, t)
		}
	}
	found := -1
	if len(there) == 0 {
		return found
	}
	torch.NoGrad(func() {
		torch.Scoped(func() {
			for i, norm := range torch.ToSlice[float32](norms(there).ToDType(torch.Float32)) {
				if !Finite(float64(norm)) {
					found = places[i]
					return
				}
			}
		})
	})
	return found
}
