// Package optim is AdamW with its whole state in the open, learning-rate
// schedules and gradient clipping.
package optim

import (
	"fmt"
	"math"
	"slices"

	"github.com/metatt/metatt/pkg/torch"
)

// AdamWConfig is the constants of AdamW (Loshchilov & Hutter 2019).
type AdamWConfig struct {
	Beta1, Beta2 float64
	Eps          float64 // added to √v̂
	WeightDecay  float64 // decoupled: each step multiplies by 1 - lr·WeightDecay
}

// AdamW updates parameters in place. It owns its moments; Free releases them.
type AdamW struct {
	config     AdamWConfig
	parameters []*torch.Tensor
	first      []*torch.Tensor // m, the mean of the gradient
	second     []*torch.Tensor // v, the mean of its square
	steps      int64           // updates so far
}

// NewAdamW starts with zero moments for those fp32 parameters, which stay the
// caller's. It runs inside [torch.Do].
func NewAdamW(parameters []*torch.Tensor, config AdamWConfig) *AdamW {
	o := &AdamW{config: config, parameters: parameters}
	for _, p := range parameters {
		o.first = append(o.first, p.ZerosLike().Keep())
		o.second = append(o.second, p.ZerosLike().Keep())
	}
	return o
}

// Step makes one update with the parameters' gradients, in order, at that
// learning rate. It runs inside [torch.Do]:
//
//	θ ← θ (1 - lr λ);  m ← β₁m + (1-β₁)g;  v ← β₂v + (1-β₂)g²
//	θ ← θ - lr/(1-β₁ᵗ) · m / (√(v/(1-β₂ᵗ)) + ε)
func (o *AdamW) Step(lr float64, gradients []*torch.Tensor) {
	if len(gradients) != len(o.parameters) {
		panic(torch.Errorf("adamw", "%d gradients for %d parameters", len(gradients), len(o.parameters)))
	}
	o.steps++
	t := float64(o.steps)
	correct1 := 1 - math.Pow(o.config.Beta1, t)
	correct2 := 1 - math.Pow(o.config.Beta2, t)
	torch.NoGrad(func() {
		torch.Scoped(func() {
			for i, p := range o.parameters {
				g := gradients[i]
				if decay := lr * o.config.WeightDecay; decay != 0 {
					p.MulScalarInPlace(1 - decay)
				}
				m := o.first[i].LerpInPlace(g, 1-o.config.Beta1)
				v := o.second[i].LerpInPlace(g.Square(), 1-o.config.Beta2)
				denominator := v.Sqrt().MulScalarInPlace(1 / math.Sqrt(correct2)).AddScalarInPlace(o.config.Eps)
				p.AddInPlace(m.Div(denominator).MulScalarInPlace(-lr / correct1))
			}
		})
	})
}

// Steps is the number of updates so far.
func (o *AdamW) Steps() int64 { return o.steps }

// Moments are m and v of parameter i, not copies.
func (o *AdamW) Moments(i int) (first, second *torch.Tensor) { return o.first[i], o.second[i] }

// Restore continues after steps updates; the moments are copied in. It runs
// inside [torch.Do].
func (o *AdamW) Restore(steps int64, first, second []*torch.Tensor) error {
	if len(first) != len(o.first) || len(second) != len(o.second) {
		return fmt.Errorf("optimizer state: moments of %d parameters, there are %d", len(first), len(o.first))
	}
	for i := range o.first {
		for _, t := range []*torch.Tensor{first[i], second[i]} {
			if have, want := t.Shape(), o.first[i].Shape(); !slices.Equal(have, want) {
				return fmt.Errorf("optimizer state: moment %d has shape %v, its parameter %v", i, have, want)
			}
		}
	}
	o.steps = steps
	for i := range o.first {
		o.first[i].CopyFrom(first[i])
		o.second[i].CopyFrom(second[i])
	}
	return nil
}

// Shrink puts a tensor in the place of parameter i, of which it is the slices
// keep along dim; the moments follow. It runs inside [torch.Do].
func (o *AdamW) Shrink(i int, parameter *torch.Tensor, dim int, keep []int64) {
	index := torch.FromSlice(keep).To(parameter.Device())
	for _, moments := range [][]*torch.Tensor{o.first, o.second} {
		kept := moments[i].IndexSelect(dim, index).Keep()
		moments[i].Free()
		moments[i] = kept
	}
	o.parameters[i] = parameter
}

// Free releases the moments.
func (o *AdamW) Free() {
	for i := range o.first {
		o.first[i].Free()
		o.second[i].Free()
	}
}
