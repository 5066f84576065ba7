package optim_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/metatt/metatt/pkg/optim"
	"github.com/metatt/metatt/pkg/torch"
)

// oneByOne is AdamW over a list of tensors, each with operations of its own: what flat
// buffers took the place of.
type oneByOne struct {
	config                optim.AdamWConfig
	values, first, second []*torch.Tensor
	steps                 int
}

func newOneByOne(values []*torch.Tensor, config optim.AdamWConfig) *oneByOne {
	o := &oneByOne{config: config, values: values}
	for _, p := range values {
		o.first, o.second = append(o.first, p.ZerosLike()), append(o.second, p.ZerosLike())
	}
	return o
}

// step clips the gradients and makes an update, if all would be finite after it.
func (o *oneByOne) step(lr float64, gradients []*torch.Tensor) (made bool) {
	torch.NoGrad(func() {
		torch.Scoped(func() {
			norm := norms(gradients).Norm().Item()
			if !optim.Finite(norm) {
				return
			}
			if scale := o.config.ClipNorm / (norm + 1e-6); scale < 1 {
				for _, g := range gradients {
					g.MulScalarInPlace(scale)
				}
			}
			o.steps++
			next := make([]*torch.Tensor, len(gradients))
			for i, g := range gradients {
				torch.Scoped(func() { next[i] = o.next(i, lr, g).Escape() })
			}
			for _, norm := range torch.ToSlice[float32](norms(next)) {
				if !optim.Finite(float64(norm)) {
					return
				}
			}
			for i, p := range o.values {
				p.CopyFrom(next[i])
			}
			made = true
		})
	})
	return made
}

func (o *oneByOne) next(i int, lr float64, g *torch.Tensor) *torch.Tensor {
	c, t := o.config, float64(o.steps)
	m := o.first[i].LerpInPlace(g, 1-c.Beta1)
	v := o.second[i].LerpInPlace(g.Square(), 1-c.Beta2)
	denominator := v.Sqrt().MulScalarInPlace(1 / math.Sqrt(1-math.Pow(c.Beta2, t))).AddScalarInPlace(c.Eps)
	update := m.Div(denominator).MulScalarInPlace(-lr / (1 - math.Pow(c.Beta1, t)))
	return update.AddInPlace(o.values[i].MulScalar(1 - lr*c.WeightDecay))
}

func norms(tensors []*torch.Tensor) *torch.Tensor {
	each := make([]*torch.Tensor, len(tensors))
	for i, t := range tensors {
		each[i] = t.Norm()
	}
	return torch.Stack(0, each...)
}

// trained are the shapes of LoRA's matrices at odd sizes, about 2,000 elements each, and
// three of a head's, about 20,000: 200 in all.
func trained() (shapes [][]int64) {
	for i := range int64(197) {
		shapes = append(shapes, [][]int64{{5, 383 + i}, {257 + i, 7}}[i%2])
	}
	return append(shapes, []int64{51, 385}, []int64{53, 383}, []int64{59, 387})
}

// BenchmarkUpdate compares an update of 200 tensors, clipped and guarded, with one that
// takes them one by one. They take turns; of each the fastest counts, and the median is
// told. Run it with -benchtime 1x on a quiet machine.
func BenchmarkUpdate(b *testing.B) {
	if err := torch.Do(func() error { compareUpdates(b, trained()); return nil }); err != nil {
		b.Fatal(err)
	}
}

func compareUpdates(b *testing.B, shapes [][]int64) {
	config := optim.AdamWConfig{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.01, ClipNorm: 1}
	torch.Seed(1)
	var parameters []optim.Parameter
	var values, gradients []*torch.Tensor
	for i, shape := range shapes {
		value := torch.Randn(torch.Float32, torch.CPU, shape...)
		values = append(values, value.Clone())
		gradients = append(gradients, torch.Randn(torch.Float32, torch.CPU, shape...))
		parameters = append(parameters, one(fmt.Sprint(i), value))
	}
	// An allocator that has freed a batch's activations keeps the memory of what it frees;
	// before, it would give it back to the kernel, and fetch it again, in every update.
	torch.Scoped(func() { torch.Zeros(torch.Float32, torch.CPU, 6<<20) })
	list, flat := newOneByOne(values, config), optim.NewAdamW(parameters, config, nil)
	defer flat.Free()
	// Both are given their gradients outside the time taken.
	own := make([]*torch.Tensor, len(gradients))
	give := func() {
		torch.NoGrad(func() {
			for i, g := range gradients {
				if own[i] == nil {
					own[i] = g.Clone()
				}
				own[i].CopyFrom(g)
				torch.Scoped(func() { flat.Gradient(i).CopyFrom(g) })
			}
		})
	}
	var listTimes, flatTimes []float64
	for b.Loop() {
		for range 500 {
			give()
			began := time.Now()
			made := list.step(1e-4, own)
			listTimes = append(listTimes, time.Since(began).Seconds())
			began = time.Now()
			torch.Scoped(func() { made = torch.ToSlice[float32](flat.Step(1e-4, nil, nil))[1] == 1 && made })
			flatTimes = append(flatTimes, time.Since(began).Seconds())
			if !made {
				b.Fatal("an update was not made")
			}
		}
	}
	slices.Sort(listTimes)
	slices.Sort(flatTimes)
	middle := len(listTimes) / 2
	b.ReportMetric(1e3*listTimes[0], "ms-one-by-one")
	b.ReportMetric(1e3*flatTimes[0], "ms-flat")
	b.ReportMetric(listTimes[0]/flatTimes[0], "x-fastest")
	b.ReportMetric(listTimes[middle]/flatTimes[middle], "x-median")
	b.ReportMetric(0, "ns/op") // of both, and of nothing
}
