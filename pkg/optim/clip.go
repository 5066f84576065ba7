package optim

import "github.com/metatt/metatt/pkg/torch"

// Clip scales the gradients in place so that their common norm √Σ‖g‖² is at
// most limit (0: no limit), and returns the norm before, as PyTorch's
// clip_grad_norm_ does. It runs inside [torch.Do].
func Clip(gradients []*torch.Tensor, limit float64) float64 {
	var norm float64
	torch.NoGrad(func() {
		torch.Scoped(func() {
			squares := make([]*torch.Tensor, len(gradients))
			for i, g := range gradients {
				squares[i] = g.Norm()
			}
			norm = torch.Stack(0, squares...).Norm().Item()
			const eps = 1e-6 // PyTorch's guard against a zero norm
			if scale := limit / (norm + eps); limit > 0 && scale < 1 {
				for _, g := range gradients {
					g.MulScalarInPlace(scale)
				}
			}
		})
	})
	return norm
}
