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
	progress   []Progress
	scale      []float64 // of the learning rate
}

// Progress is how far the optimizer is with one parameter.
type Progress struct {
	Steps  int64 `json:"steps"`            // updates since its moments were zero
	Rewarm int64 `json:"rewarm,omitempty"` // updates over which its learning rate rises; 0: none
}

// NewAdamW starts with zero moments for those fp32 parameters, which stay the
// caller's. It runs inside [torch.Do].
func NewAdamW(parameters []*torch.Tensor, config AdamWConfig) *AdamW {
	o := &AdamW{config: config, parameters: parameters}
	for _, p := range parameters {
		o.first = append(o.first, p.ZerosLike().Keep())
		o.second = append(o.second, p.ZerosLike().Keep())
		o.scale = append(o.scale, 1)
	}
	o.progress = make([]Progress, len(parameters))
	return o
}

// Step makes one update with the parameters' gradients, in order, at that
// learning rate; a parameter whose gradient is nil stays as it is, its moments
// too. It runs inside [torch.Do]:
//
//	θ ← θ (1 - lr λ);  m ← β₁m + (1-β₁)g;  v ← β₂v + (1-β₂)g²
//	θ ← θ - lr/(1-β₁ᵗ) · m / (√(v/(1-β₂ᵗ)) + ε)
//
// with t the parameter's own updates, lr times its scale, and times t/w for the
// first w of a parameter that is warmed up anew.
//
// The gradients' norm must be [Finite]. Where a parameter's would not be any more,
// none is changed (the moments have taken the gradients in), and Step returns its
// place; else -1.
func (o *AdamW) Step(lr float64, gradients []*torch.Tensor) (overflown int) {
	if len(gradients) != len(o.parameters) {
		panic(torch.Errorf("adamw", "%d gradients for %d parameters", len(gradients), len(o.parameters)))
	}
	next := make([]*torch.Tensor, len(o.parameters))
	torch.NoGrad(func() {
		torch.Scoped(func() {
			for i, g := range gradients {
				if g != nil {
					torch.Scoped(func() { next[i] = o.next(i, lr, g).Escape() })
				}
			}
			if overflown = FirstNotFinite(next); overflown >= 0 {
				return
			}
			for i, p := range o.parameters {
				if next[i] != nil {
					p.CopyFrom(next[i])
				}
			}
		})
	})
	return overflown
}

// next is parameter i after an update with gradient g, which its moments take in.
func (o *AdamW) next(i int, lr float64, g *torch.Tensor) *torch.Tensor {
	p, progress := o.parameters[i], &o.progress[i]
	progress.Steps++
	lr *= o.scale[i]
	if progress.Steps < progress.Rewarm {
		lr *= float64(progress.Steps) / float64(progress.Rewarm)
	}
	correct1, correct2 := o.weights(progress.Steps)
	m := o.first[i].LerpInPlace(g, 1-o.config.Beta1)
	v := o.second[i].LerpInPlace(g.Square(), 1-o.config.Beta2)
	denominator := v.Sqrt().MulScalarInPlace(1 / math.Sqrt(correct2)).AddScalarInPlace(o.config.Eps)
	update := m.Div(denominator).MulScalarInPlace(-lr / correct1)
	if decay := lr * o.config.WeightDecay; decay != 0 {
		p = p.MulScalar(1 - decay)
	}
	return update.AddInPlace(p)
}

// weights is 1-β₁ᵗ and 1-β₂ᵗ.
func (o *AdamW) weights(steps int64) (first, second float64) {
	t := float64(steps)
	return 1 - math.Pow(o.config.Beta1, t), 1 - math.Pow(o.config.Beta2, t)
}

// Weights is what the moments of parameter i have gathered: 1-β₁ᵗ and 1-β₂ᵗ of a
// mean that began at zero.
func (o *AdamW) Weights(i int) (first, second float64) { return o.weights(o.progress[i].Steps) }

// Scale multiplies the learning rate of parameter i from now on.
func (o *AdamW) Scale(i int, factor float64) { o.scale[i] = factor }

// Progress is how far the optimizer is with each parameter.
func (o *AdamW) Progress() []Progress { return slices.Clone(o.progress) }

// Moments are m and v of parameter i, not copies.
func (o *AdamW) Moments(i int) (first, second *torch.Tensor) { return o.first[i], o.second[i] }

// Restore continues from there; the moments are copied in. It runs inside
// [torch.Do].
func (o *AdamW) Restore(progress []Progress, first, second []*torch.Tensor) error {
	if len(progress) != len(o.first) || len(first) != len(o.first) || len(second) != len(o.second) {
		return fmt.Errorf("optimizer state: of %d parameters with moments of %d, there are %d", len(progress), len(first), len(o.first))
	}
	for i := range o.first {
		for _, t := range []*torch.Tensor{first[i], second[i]} {
			if have, want := t.Shape(), o.first[i].Shape(); !slices.Equal(have, want) {
				return fmt.Errorf("optimizer state: moment %d has shape %v, its parameter %v", i, have, want)
			}
		}
	}
	copy(o.progress, progress)
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

// Replace puts another tensor in the place of parameter i. Its moments are copies
// of first and second and its updates go on, or where these are nil zeros, and
// its learning rate rises over rewarm updates. It runs inside [torch.Do].
func (o *AdamW) Replace(i int, parameter, first, second *torch.Tensor, rewarm int64) {
	if first == nil {
		first, second = parameter.Detach().ZerosLike(), parameter.Detach().ZerosLike()
		o.progress[i] = Progress{Rewarm: rewarm}
	}
	first, second = first.Clone().Keep(), second.Clone().Keep() // they may be the old ones
	o.first[i].Free()
	o.second[i].Free()
	o.first[i], o.second[i] = first, second
	o.parameters[i], o.scale[i] = parameter, 1
}

// Free releases the moments.
func (o *AdamW) Free() {
	for i := range o.first {
		o.first[i].Free()
		o.second[i].Free()
	}
}
