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
	ClipNorm     float64 // largest norm of all gradients together; 0: no limit
}

// AdamW updates flat parameters in place. It owns its moments.
type AdamW struct {
	*Flat
	config        AdamWConfig
	first, second *torch.Tensor // m and v, laid out as the values are
	healthy       *torch.Tensor // one element: 1 while all updates could be made, then 0
	progress      []Progress
	scale         []float64 // of the learning rate
	reads         bool      // what is computed: on the CPU, where nothing is waited for
	graphs        *torch.Graphs
	numbers       map[string]*torch.Tensor // of updates, where they have to stand in one place
}

// Progress is how far the optimizer is with one parameter.
type Progress struct {
	Steps  int64 `json:"steps"`            // updates since its moments were zero
	Rewarm int64 `json:"rewarm,omitempty"` // updates over which its learning rate rises; 0: none
}

// NewAdamW moves the parameters into flat buffers and starts with zero moments. Leaves
// become leaves that require a gradient. Updates are made by way of graphs; nil: as they
// are. It runs inside [torch.Do].
func NewAdamW(parameters []Parameter, config AdamWConfig, graphs *torch.Graphs) *AdamW {
	o := &AdamW{config: config, graphs: graphs}
	o.layOut(parameters)
	o.progress = make([]Progress, len(parameters))
	return o
}

func (o *AdamW) layOut(parameters []Parameter) {
	o.Flat = newFlat(parameters)
	o.first, o.second = o.values.ZerosLike(), o.values.ZerosLike()
	o.healthy = torch.Ones(torch.Float32, o.values.Device())
	for _, t := range append(slices.Clone(o.gradients), o.values, o.first, o.second, o.healthy) {
		t.Keep() // now that there was memory for all
	}
	o.reads = o.values.Device() == torch.CPU
	o.numbers = map[string]*torch.Tensor{}
	o.scale = make([]float64, len(parameters))
	for i, p := range parameters {
		o.scale[i] = p.Scale
	}
}

// weights is 1-β₁ᵗ and 1-β₂ᵗ.
func (o *AdamW) weights(steps int64) (first, second float64) {
	t := float64(steps)
	return 1 - math.Pow(o.config.Beta1, t), 1 - math.Pow(o.config.Beta2, t)
}

// Weights is what the moments of parameter i have gathered: 1-β₁ᵗ and 1-β₂ᵗ of a
// mean that began at zero.
func (o *AdamW) Weights(i int) (first, second float64) { return o.weights(o.progress[i].Steps) }

// SetScale makes factor that of parameter i's learning rate from now on.
func (o *AdamW) SetScale(i int, factor float64) { o.scale[i] = factor }

// Progress is how far the optimizer is with each parameter.
func (o *AdamW) Progress() []Progress { return slices.Clone(o.progress) }

// Buffers are the values and both moments of all parameters, each of one dimension: what
// is the same in all processes that make the same updates.
func (o *AdamW) Buffers() []*torch.Tensor { return []*torch.Tensor{o.values, o.first, o.second} }

// Moments are views of m and v of parameter i. It runs inside [torch.Do].
func (o *AdamW) Moments(i int) (first, second *torch.Tensor) {
	return o.view(o.first, i), o.view(o.second, i)
}

// Restore continues from there; the moments are copied in. It runs inside
// [torch.Do].
func (o *AdamW) Restore(progress []Progress, first, second []*torch.Tensor) error {
	n := len(o.parameters)
	if len(progress) != n || len(first) != n || len(second) != n {
		return fmt.Errorf("optimizer state: of %d parameters with moments of %d, there are %d", len(progress), len(first), n)
	}
	for i, p := range o.parameters {
		for _, t := range []*torch.Tensor{first[i], second[i]} {
			if have, want := t.Shape(), o.places[i].shape; !slices.Equal(have, want) {
				return fmt.Errorf("optimizer state: a moment of %s has shape %v, its parameter %v", p.Name, have, want)
			}
		}
	}
	copy(o.progress, progress)
	for i := range o.parameters {
		o.setMoments(i, first[i], second[i])
	}
	return nil
}

func (o *AdamW) setMoments(i int, first, second *torch.Tensor) {
	torch.NoGrad(func() {
		m, v := o.Moments(i)
		m.CopyFrom(first)
		v.CopyFrom(second)
	})
}

// Change is what becomes of a parameter in whose place another tensor is put. Its
// updates go on with the moments given, or where these are nil begin anew from zero
// ones, the learning rate rising over Rewarm of them.
type Change struct {
	First, Second *torch.Tensor
	Rewarm        int64
}

// Replace lays parameters out in the place of those that are there, of which the
// tensors, and where changes says so the shapes, are others. What is not changed keeps
// its moments. It runs inside [torch.Do].
func (o *AdamW) Replace(parameters []Parameter, changes map[int]Change) {
	if len(parameters) != len(o.parameters) {
		panic(torch.Errorf("adamw", "%d parameters in the place of %d", len(parameters), len(o.parameters)))
	}
	torch.Scoped(func() {
		before := *o
		defer before.Free()
		o.layOut(parameters)
		for i := range parameters {
			change, changed := changes[i]
			switch {
			case !changed:
				o.scale[i] = before.scale[i]
				first, second := before.Moments(i)
				o.setMoments(i, first, second)
			case change.First != nil:
				o.setMoments(i, change.First, change.Second)
			default:
				o.progress[i] = Progress{Rewarm: change.Rewarm}
			}
		}
		torch.NoGrad(func() { o.healthy.CopyFrom(before.healthy) })
	})
}

// Free releases the moments and the buffers.
func (o *AdamW) Free() {
	o.Flat.Free()
	o.first.Free()
	o.second.Free()
	o.healthy.Free()
	for _, numbers := range o.numbers {
		numbers.Free()
	}
}

// NotFinite names what of values and moments is not finite; empty: all is. It waits
// for the device. It runs inside [torch.Do].
func (o *AdamW) NotFinite() (name string) {
	torch.NoGrad(func() {
		torch.Scoped(func() {
			if FirstNotFinite([]*torch.Tensor{o.values, o.first, o.second}) < 0 {
				return
			}
			for i, p := range o.parameters {
				first, second := o.Moments(i)
				if j := FirstNotFinite([]*torch.Tensor{o.view(o.values, i), first, second}); j >= 0 {
					name = p.Name + []string{"", ".exp_avg", ".exp_avg_sq"}[j]
					return
				}
			}
			name = "the norm of all parameters or moments"
		})
	})
	return name
}
