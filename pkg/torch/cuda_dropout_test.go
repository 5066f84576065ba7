package torch

import (
	"fmt"
	"testing"
)

// droppedRows is odd sequences with a dropout that a GPU and Go agree on.
func droppedRows(threshold uint32) maskedRows {
	return maskedRows{offsets: []int32{0, 0, 3, 4, 4, 43, 45}, keys: []int32{5, 901, 2, 77, 1, 3}, seed: 42<<33 | 17, site: 9, threshold: threshold}
}

func (p maskedRows) sequences(d Device) Sequences {
	return Sequences{Offsets: FromSlice(p.offsets).To(d), Longest: 39, Keys: FromSlice(p.keys).To(d)}
}

func (p maskedRows) drop(d Device) Drop {
	return Drop{P: float64(p.threshold) / (1 << 16), Seed: FromSlice([]int64{p.seed}).To(d), Site: p.site}
}

func (p maskedRows) maskTensor(n int64) *Tensor {
	return FromSlice(p.mask(int(n)), int64(p.rows()), n)
}

func TestCUDADropoutAt(t *testing.T) {
	gpu(t, func(d Device) {
		p := droppedRows(6554)
		for _, dtype := range []DType{Float32, BFloat16} {
			for _, n := range []int64{1, 8, 31, 96, 768, 1025, 4104} {
				x, g, mask := random(1, int64(p.rows()), n), random(2, int64(p.rows()), n), p.maskTensor(n)
				on := x.To(d).ToDType(dtype).SetRequiresGrad(true)
				have := cudaDropoutAt(on, p.sequences(d), p.drop(d))
				gradient := Gradients(have.Mul(g.To(d).ToDType(dtype)).ToDType(Float32).Sum(), []*Tensor{on})[0]
				name := fmt.Sprintf("%s of %d", dtype, n)
				exact := 1e-7
				if dtype == BFloat16 {
					exact = 1.0 / 256
				}
				near(t, name, have, x.Mul(mask), exact)
				near(t, name+": gradient", gradient, g.Mul(mask), exact)
			}
		}
	})
}

// A row that does not begin at 16 bytes is read an element at a time.
func TestCUDADropoutAtOfUnalignedRows(t *testing.T) {
	gpu(t, func(d Device) {
		p := droppedRows(20000)
		const n = 32
		long := random(3, int64(p.rows())*n+1)
		x := long.Narrow(0, 1, int64(p.rows())*n).Reshape(int64(p.rows()), n)
		on := long.To(d).Narrow(0, 1, int64(p.rows())*n).Reshape(int64(p.rows()), n)
		near(t, "unaligned", cudaDropoutAt(on, p.sequences(d), p.drop(d)), x.Mul(p.maskTensor(n)), 1e-7)
	})
}

func TestCUDADropoutAddNorm(t *testing.T) {
	gpu(t, func(d Device) {
		for _, threshold := range []uint32{0, 6554, 40000} {
			p := droppedRows(threshold)
			rows := int64(p.rows())
			for _, dtype := range []DType{Float32, BFloat16} {
				for _, n := range []int64{8, 31, 384, 768, 1024, 1025, 4096} {
					operands := []*Tensor{random(1, rows, n), random(2, rows, n), random(3, n).AddScalar(1), random(4, n)}
					g := random(5, rows, n)
					// In bf16 the operands are what fp32 is given, too.
					operands[2] = operands[2].ToDType(BFloat16).ToDType(Float32)
					run := func(d Device, dtype DType, norm func(o []*Tensor) *Tensor) (*Tensor, []*Tensor) {
						var o []*Tensor
						for _, t := range operands {
							o = append(o, t.Detach().To(d).ToDType(dtype).Clone().SetRequiresGrad(true))
						}
						out := norm(o)
						return out, Gradients(out.Mul(g.To(d).ToDType(dtype)).ToDType(Float32).Sum(), o)
					}
					want, wantGradients := run(CPU, Float32, func(o []*Tensor) *Tensor {
						return o[1].Add(o[0].Mul(p.maskTensor(n))).LayerNorm(o[2], o[3], 1e-5)
					})
					have, gradients := run(d, dtype, func(o []*Tensor) *Tensor {
						return cudaDropoutAddNorm(o[0], o[1], o[2], o[3], 1e-5, p.sequences(d), p.drop(d))
					})
					name := fmt.Sprintf("%s of %d, %d dropped", dtype, n, threshold)
					near(t, name, have, want, tolerance(dtype))
					for i, of := range []string{"y", "residual", "weight", "bias"} {
						near(t, name+": gradient of "+of, gradients[i], wantGradients[i], tolerance(dtype))
					}
				}
			}
		}
	})
}

// Of frozen operands no gradient is made, and nothing is recorded without need.
func TestCUDADropoutAddNormOfFrozenOperands(t *testing.T) {
	gpu(t, func(d Device) {
		p := droppedRows(6554)
		const n = 96
		rows := int64(p.rows())
		y, residual := random(1, rows, n).To(d), random(2, rows, n).To(d)
		weight, bias := random(3, n).To(d), random(4, n).To(d)
		norm := func() *Tensor { return cudaDropoutAddNorm(y, residual, weight, bias, 1e-5, p.sequences(d), p.drop(d)) }
		if norm().RequiresGrad() {
			t.Error("the result of frozen operands requires a gradient")
		}
		y.SetRequiresGrad(true)
		all := Gradients(norm().Square().Sum(), []*Tensor{y})[0]
		residual.SetRequiresGrad(true)
		both := Gradients(norm().Square().Sum(), []*Tensor{y, residual})
		near(t, "gradient of y", all, both[0], 0)
		NoGrad(func() {
			if norm().RequiresGrad() {
				t.Error("a result is recorded where nothing is to be")
			}
		})
	})
}

// A replay takes the seed, the keys and the offsets that stand on the device.
func TestCUDADropoutInAGraph(t *testing.T) {
	gpu(t, func(d Device) {
		p := droppedRows(30000)
		const n = 64
		rows := int64(p.rows())
		x := random(1, rows, n)
		y, residual := x.To(d).SetRequiresGrad(true), Zeros(Float32, d, rows, n)
		one, zero := Ones(Float32, d, n), Zeros(Float32, d, n)
		s, drop := p.sequences(d), p.drop(d)
		step := func() (*Tensor, *Tensor, *Tensor) {
			dropped := cudaDropoutAt(y, s, drop)
			out := cudaDropoutAddNorm(y, residual, one, zero, 1e-5, s, drop)
			return dropped, out, Gradients(out.Mul(out).Mul(out).Sum(), []*Tensor{y})[0]
		}
		var kept [3]*Tensor
		if _, err := Capture(NewPool(), func() error { step(); return nil }); err == nil {
			t.Log("the kernels were compiled by a test before")
		}
		Scoped(func() { step() })
		g, err := Capture(NewPool(), func() error {
			a, b, c := step()
			kept = [3]*Tensor{a.Keep(), b.Keep(), c.Keep()}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		defer g.Free()
		for seed := range int64(3) {
			p.seed = seed << 20
			p.keys = []int32{int32(seed), 1, 2, 3, 4, 5}
			NoGrad(func() {
				drop.Seed.CopyFrom(FromSlice([]int64{p.seed}).To(d))
				s.Keys.CopyFrom(FromSlice(p.keys).To(d))
			})
			g.Replay()
			near(t, "dropout", kept[0], x.Mul(p.maskTensor(n)), 1e-7)
			a, b, c := step()
			near(t, "dropout", kept[0], a, 0)
			near(t, "norm", kept[1], b, 0)
			near(t, "gradient", kept[2], c, 0)
		}
		for _, t := range kept {
			t.Free()
		}
	})
}

func TestCUDADropoutRefuses(t *testing.T) {
	gpu(t, func(d Device) {
		p := droppedRows(6554)
		rows := int64(p.rows())
		x, w := Zeros(Float32, d, rows, 16), Zeros(Float32, d, 16)
		s, drop := p.sequences(d), p.drop(d)
		for name, f := range map[string]func(){
			"fp64":           func() { cudaDropoutAt(x.ToDType(Float64), s, drop) },
			"no seed":        func() { cudaDropoutAt(x, s, Drop{P: 0.5}) },
			"a seed of fp32": func() { cudaDropoutAt(x, s, Drop{P: 0.5, Seed: w.Narrow(0, 0, 1)}) },
			"no keys":        func() { cudaDropoutAt(x, Sequences{Offsets: s.Offsets}, drop) },
			"keys too few":   func() { cudaDropoutAt(x, Sequences{Offsets: s.Offsets, Keys: s.Keys.Narrow(0, 0, 2)}, drop) },
			"three of them":  func() { cudaDropoutAt(x.Reshape(rows, 4, 4), s, drop) },
			"a seed on the CPU": func() {
				cudaDropoutAt(x, s, Drop{P: 0.5, Seed: FromSlice([]int64{1})})
			},
			"shapes": func() { cudaDropoutAddNorm(x, x, w.Narrow(0, 0, 8), w, 1e-5, s, drop) },
			"dtypes": func() { cudaDropoutAddNorm(x, x.ToDType(BFloat16), w, w, 1e-5, s, drop) },
			"p of 1": func() { cudaDropoutAt(x, s, Drop{P: 1, Seed: drop.Seed}) },
		} {
			if err := Do(func() error { f(); return nil }); err == nil {
				t.Errorf("%s: taken", name)
			}
		}
		near(t, "afterwards", cudaDropoutAt(x, s, drop), x, 0)
	})
}
