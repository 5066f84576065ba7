package factored

import (
	"math"

	"github.com/metatt/metatt/pkg/torch"
)

// Start draws a tensor of that shape, fp32 on the CPU, from libtorch's default
// generator.
type Start func(shape []int64) *torch.Tensor

// Zero is all zeros.
func Zero(shape []int64) *torch.Tensor { return torch.Zeros(torch.Float32, torch.CPU, shape...) }

// Normal is independent N(mean, sigma²).
func Normal(mean, sigma float64) Start {
	return func(shape []int64) *torch.Tensor {
		return torch.Randn(torch.Float32, torch.CPU, shape...).MulScalarInPlace(sigma).AddScalarInPlace(mean)
	}
}

// Uniform is independent and uniform in [-bound, bound).
func Uniform(bound float64) Start {
	return func(shape []int64) *torch.Tensor {
		return torch.Uniform(torch.Float32, torch.CPU, -bound, bound, shape...)
	}
}

// Kaiming is He's uniform start with a = √5 for a factor that sums over fanIn
// inputs: the default of PyTorch's linear layers and the start of LoRA's A.
func Kaiming(fanIn int64) Start { return Uniform(1 / math.Sqrt(float64(fanIn))) }

// KaimingVariance is the variance of Kaiming's entries.
func KaimingVariance(fanIn int64) float64 { return 1 / (3 * float64(fanIn)) }

// Orthogonal is a random semi-orthogonal matrix, uniformly distributed: the Q of a
// Gaussian one with the signs of R's diagonal (Mezzadri 2007).
func Orthogonal(shape []int64) *torch.Tensor {
	rows, columns := shape[0], shape[1]
	q, r := torch.Randn(torch.Float32, torch.CPU, max(rows, columns), min(rows, columns)).QR()
	q = q.Mul(r.Diagonal().Sign())
	if rows < columns {
		q = q.T()
	}
	return q.Contiguous() // as it is read back: QR writes columns
}
