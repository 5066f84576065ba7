package optim_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/metatt/metatt/pkg/optim"
	"github.com/metatt/metatt/pkg/torch"
)

// The fused update of a GPU is the CPU's, of several dtypes, spans and clips, and refuses
// what that refuses.
func TestCUDAAdamW(t *testing.T) {
	if torch.CUDADevices() == 0 {
		t.Skip("no CUDA device", torch.WhyNoCUDA())
	}
	if _, err := torch.Helper(); err != nil {
		t.Skip(err)
	}
	device := torch.CUDA(0)
	for _, clip := range []float64{0, 0.5} {
		config := optim.AdamWConfig{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.01, ClipNorm: clip}
		err := torch.Do(func() error {
			torch.Seed(5)
			var here, there []optim.Parameter
			for i, shape := range [][]int64{{3, 5}, {1}, {383, 401}, {7, 1, 2}, {65}} {
				value := torch.Randn(torch.Float32, torch.CPU, shape...)
				make := func(d torch.Device) optim.Parameter {
					p := optim.Parameter{Name: fmt.Sprint(i), Value: value.To(d).Clone(), Undecayed: i == 1, Scale: 1 + float64(i%2)}
					p.Leaf = p.Value
					if i == 2 {
						p.Leaf = p.Value.ToDType(torch.BFloat16).Detach()
					}
					return p
				}
				here, there = append(here, make(torch.CPU)), append(there, make(device))
			}
			cpu, gpu := optim.NewAdamW(here, config, nil), optim.NewAdamW(there, config, nil)
			defer cpu.Free()
			defer gpu.Free()
			step := func(number int, gradient func(shape []int64) *torch.Tensor, loss float32, idle func(int) bool) {
				torch.Scoped(func() {
					for i, p := range here {
						g := gradient(p.Value.Shape())
						torch.NoGrad(func() {
							cpu.Gradient(i).CopyFrom(g)
							gpu.Gradient(i).CopyFrom(g.To(device))
						})
					}
					l := torch.FromSlice([]float32{loss}).Sum()
					want := torch.ToSlice[float32](cpu.Step(1e-2, l, idle))
					have := torch.ToSlice[float32](gpu.Step(1e-2, l.To(device), idle).To(torch.CPU))
					if have[1] != want[1] || !(math.Abs(float64(have[0]-want[0])) <= 1e-5*float64(want[0])) && want[0] == want[0] && !math.IsInf(float64(want[0]), 0) {
						t.Errorf("clip %v: step %d: norm and health %v, want %v", clip, number, have, want)
					}
					for i := range here {
						m, v := cpu.Moments(i)
						m2, v2 := gpu.Moments(i)
						pairs := [][2]*torch.Tensor{{there[i].Value, here[i].Value}, {m2, m}, {v2, v}}
						if here[i].Leaf.DType() == torch.Float32 && want[1] == 1 { // clipped, as AdaLoRA reads them
							pairs = append(pairs, [2]*torch.Tensor{gpu.Gradient(i), cpu.Gradient(i)})
						}
						for k, pair := range pairs {
							torch.NoGrad(func() {
								off, size := pair[0].To(torch.CPU).Sub(pair[1]).MaxAbs().Item(), pair[1].MaxAbs().Item()
								if !(off <= 2e-6*size) {
									t.Errorf("clip %v: step %d: parameter %d: value, m, v number %d is off by %v of %v", clip, number, i, k, off, size)
								}
							})
						}
					}
				})
			}
			random := func(shape []int64) *torch.Tensor {
				return torch.Randn(torch.Float32, torch.CPU, shape...).ToDType(torch.BFloat16).ToDType(torch.Float32)
			}
			for number := range 5 {
				step(number, random, 1, func(i int) bool { return number == 3 && i == 4 })
			}
			// An update that is refused changes nothing, and so does none after it.
			step(5, random, float32(math.NaN()), nil)
			step(6, random, 1, nil)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, refused := range []float64{math.Inf(1), math.NaN(), 1e30} {
			err := torch.Do(func() error {
				p := optim.Parameter{Name: "p", Value: torch.Ones(torch.Float32, device, 100), Scale: 1}
				p.Leaf = p.Value
				o := optim.NewAdamW([]optim.Parameter{p}, config, nil)
				defer o.Free()
				torch.NoGrad(func() { o.Gradient(0).CopyFrom(torch.Ones(torch.Float32, device, 100).MulScalar(refused)) })
				if have := torch.ToSlice[float32](o.Step(1e-2, nil, nil).To(torch.CPU)); have[1] != 0 {
					t.Errorf("gradients of %v are taken: %v", refused, have)
				}
				if off := p.Value.Detach().AddScalar(-1).MaxAbs().Item(); off != 0 {
					t.Errorf("gradients of %v change the values by %v", refused, off)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		// A value that would come to more than is finite.
		err = torch.Do(func() error {
			p := optim.Parameter{Name: "p", Value: torch.Ones(torch.Float32, device, 100), Scale: 1}
			p.Leaf = p.Value
			o := optim.NewAdamW([]optim.Parameter{p}, config, nil)
			defer o.Free()
			torch.NoGrad(func() { o.Gradient(0).CopyFrom(torch.Ones(torch.Float32, device, 100)) })
			if have := torch.ToSlice[float32](o.Step(1e20, nil, nil).To(torch.CPU)); have[1] != 0 {
				t.Errorf("a rate of 1e20 is taken: %v", have)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
