package torch

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/torch/native"
)

// eachKernels runs f for each instruction set that the machine has.
func eachKernels(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	if err := native.Ready(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"generic", "avx2", "avx512"} {
		t.Run(name, func(t *testing.T) {
			if err := native.Choose(name); err != nil {
				t.Skip(err)
			}
			defer native.Choose("")
			f(t)
		})
	}
}

// withKernels is eachKernels inside [Do], with the same random numbers for each.
func withKernels(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	eachKernels(t, func(t *testing.T) {
		if err := Do(func() error { Seed(1); f(t); return nil }); err != nil {
			t.Fatal(err)
		}
	})
}

// packing is a batch of sequences and what their masks are a function of.
type packing struct {
	lengths []int
	keys    []int32
	seed    int64
	site    int32
	p       float64
}

// oddLengths has sequences of none, of one and of more tokens than a vector has elements.
func oddLengths(p float64) packing {
	return packing{lengths: []int{0, 1, 7, 0, 33, 1, 21, 50, 0}, keys: []int32{4, 0, 1 << 30, 3, -7, 9, 2, 1, 5}, seed: -0x123456789abcdef, site: 77, p: p}
}

func (s packing) offsets() *Tensor {
	offsets := []int32{0}
	for _, n := range s.lengths {
		offsets = append(offsets, offsets[len(offsets)-1]+int32(n))
	}
	return FromSlice(offsets)
}

func (s packing) rows() int64 {
	n := 0
	for _, length := range s.lengths {
		n += length
	}
	return int64(n)
}

func (s packing) drop() nativeDrop {
	return nativeDrop{offsets: s.offsets(), keys: FromSlice(s.keys), seed: FromSlice([]int64{s.seed}), site: s.site, p: s.p}
}

func (s packing) threshold() uint32 { return uint32(math.Round(s.p * 65536)) }

// scaledMask is the mask of (rows, columns) times the scale of what is kept, in fp64.
func (s packing) scaledMask(columns, head int) *Tensor {
	mask := FromSlice(maskOf(s.lengths, s.keys, columns, head, s.seed, s.site, s.threshold()), s.rows(), int64(columns))
	return mask.ToDType(Float64).MulScalar(65536 / float64(65536-s.threshold()))
}

// normal is a leaf of normal numbers whose gradient is asked for.
func normal(dtype DType, shape ...int64) *Tensor {
	return Randn(Float32, CPU, shape...).ToDType(dtype).SetRequiresGrad(true)
}

// tolerance is that of fp32, of the largest element; in bf16 an operand, the result
// and what is kept between the passes are rounded to 2⁻⁹ each.
func tolerance(dtype DType) float64 {
	if dtype == BFloat16 {
		return 1e-2
	}
	return 1e-5
}

// agree compares an operation and its gradients with the same one in fp64.
func agree(t *testing.T, what string, dtype DType, kernel, plain func(inputs []*Tensor) *Tensor, inputs ...*Tensor) {
	t.Helper()
	exact := make([]*Tensor, len(inputs))
	for i, x := range inputs {
		exact[i] = x.Detach().ToDType(Float64).SetRequiresGrad(x.RequiresGrad())
	}
	got, want := kernel(inputs), plain(exact)
	if got.DType() != dtype || !slices.Equal(got.Shape(), want.Shape()) {
		t.Fatalf("%s: %s%v, want %s%v", what, got.DType(), got.Shape(), dtype, want.Shape())
	}
	near64(t, what, got, want, tolerance(dtype))
	weights := Randn(Float64, CPU, want.Shape()...)
	leaves := func(all []*Tensor) []*Tensor {
		return slices.DeleteFunc(slices.Clone(all), func(x *Tensor) bool { return !x.RequiresGrad() })
	}
	gotGradients := Gradients(got.ToDType(Float64).Mul(weights).Sum(), leaves(inputs))
	for i, want := range Gradients(want.Mul(weights).Sum(), leaves(exact)) {
		if got := gotGradients[i].DType(); got != leaves(inputs)[i].DType() {
			t.Errorf("%s: gradient %d is %s", what, i, got)
		}
		near64(t, what+": gradient "+string(rune('0'+i)), gotGradients[i], want, tolerance(dtype))
	}
}

// near64 is equality within tolerance of want's largest element.
func near64(t *testing.T, what string, got, want *Tensor, tolerance float64) {
	t.Helper()
	g, w := ToSlice[float64](got.Detach().ToDType(Float64).Contiguous()), ToSlice[float64](want.Detach().Contiguous())
	var scale, worst float64
	for i := range w {
		scale, worst = max(scale, math.Abs(w[i])), max(worst, math.Abs(g[i]-w[i]))
	}
	if !(worst <= tolerance*scale) {
		t.Errorf("%s: differs by %.2g, the largest of %d elements is %.2g", what, worst, len(w), scale)
	}
}

var probabilities = []float64{0, 1e-4, 0.1, 0.5, 0.999}

func TestNativeMask(t *testing.T) {
	withKernels(t, func(t *testing.T) {
		for _, columns := range []int{1, 7, 8, 9, 31, 64, 100, 129, 400} {
			for _, head := range []int{0, 3} {
				for _, p := range probabilities {
					s := oddLengths(p)
					got := ToSlice[uint8](nativeMask(s.rows(), int64(columns), int64(head), s.drop()))
					if !slices.Equal(got, maskOf(s.lengths, s.keys, columns, head, s.seed, s.site, s.threshold())) {
						t.Fatalf("%d columns, head %d, p %v: another mask", columns, head, p)
					}
				}
			}
		}
	})
}

// The share of what is dropped is p, and what is a function of one number alone differs
// between two of them as independent decisions do.
func TestNativeMaskIsRandom(t *testing.T) {
	withKernels(t, func(t *testing.T) {
		const columns, p = 384, 0.1
		base := packing{lengths: []int{500, 500}, keys: []int32{1, 2}, seed: 3, site: 4, p: p}
		mask := func(change func(*packing), head int64) []uint8 {
			s := base
			s.keys = slices.Clone(base.keys)
			change(&s)
			return ToSlice[uint8](nativeMask(1000, columns, head, s.drop()))
		}
		first := mask(func(*packing) {}, 0)
		n := float64(len(first))
		within := func(what string, share, want float64) {
			if sigma := math.Sqrt(want * (1 - want) / n); math.Abs(share-want) > 5*sigma {
				t.Errorf("%s: %v, want %v ± %.2g", what, share, want, sigma)
			}
		}
		dropped := 0
		for _, kept := range first {
			dropped += 1 - int(kept)
		}
		within("dropped", float64(dropped)/n, math.Round(p*65536)/65536)
		for what, other := range map[string][]uint8{
			"seed":       mask(func(s *packing) { s.seed++ }, 0),
			"high seed":  mask(func(s *packing) { s.seed += 1 << 32 }, 0),
			"site":       mask(func(s *packing) { s.site++ }, 0),
			"key":        mask(func(s *packing) { s.keys[0], s.keys[1] = 8, 9 }, 0),
			"head":       mask(func(*packing) {}, 1),
			"next row":   append(slices.Clone(first[columns:]), first[:columns]...),
			"next eight": append(slices.Clone(first[8:]), first[:8]...),
		} {
			both := 0
			for i := range first {
				both += int(1-first[i]) * int(1-other[i])
			}
			within("dropped with another "+what+" too", float64(both)/n, p*p)
		}
	})
}

func TestNativeDropout(t *testing.T) {
	withKernels(t, func(t *testing.T) {
		for _, dtype := range []DType{Float32, BFloat16} {
			for _, n := range []int64{1, 8, 31, 384, 401} {
				for _, p := range probabilities {
					s := oddLengths(p)
					agree(t, "dropout", dtype, func(in []*Tensor) *Tensor {
						return nativeDropout(in[0], s.drop())
					}, func(in []*Tensor) *Tensor {
						return in[0].Mul(s.scaledMask(int(n), 0))
					}, normal(dtype, s.rows(), n))
				}
			}
		}
		// More columns than the bits of a tile of rows.
		s := packing{lengths: []int{2, 1}, keys: []int32{1, 2}, p: 0.25}
		agree(t, "wide dropout", Float32, func(in []*Tensor) *Tensor {
			return nativeDropout(in[0], s.drop())
		}, func(in []*Tensor) *Tensor {
			return in[0].Mul(s.scaledMask(40001, 0))
		}, normal(Float32, 3, 40001))
		// Rows that stand apart.
		wide := normal(Float32, s.rows(), 30)
		agree(t, "view", Float32, func(in []*Tensor) *Tensor {
			return nativeDropout(in[0].Narrow(1, 5, 20), s.drop())
		}, func(in []*Tensor) *Tensor {
			return in[0].Narrow(1, 5, 20).Mul(s.scaledMask(20, 0))
		}, wide)
	})
}

func TestNativeDropoutAddNorm(t *testing.T) {
	withKernels(t, func(t *testing.T) {
		for _, dtype := range []DType{Float32, BFloat16} {
			for _, n := range []int64{3, 31, 384, 401} {
				for _, p := range []float64{0, 0.1, 0.5} {
					for _, trained := range []bool{true, false} {
						if n == 3 && dtype == BFloat16 {
							continue // a gradient of one degree of freedom: what is left of it is rounding
						}
						s := oddLengths(p)
						weight, bias := normal(Float32, n), normal(dtype, n)
						if dtype == BFloat16 && trained {
							weight = normal(BFloat16, n)
						}
						bias = bias.Detach().ToDType(weight.DType()).SetRequiresGrad(trained)
						weight.SetRequiresGrad(trained)
						agree(t, "dropout_add_norm", dtype, func(in []*Tensor) *Tensor {
							return nativeDropoutAddNorm(in[0], in[1], in[2], in[3], 1e-5, s.drop())
						}, func(in []*Tensor) *Tensor {
							return in[1].Add(in[0].Mul(s.scaledMask(int(n), 0))).LayerNorm(in[2], in[3], 1e-5)
						}, normal(dtype, s.rows(), n), normal(dtype, s.rows(), n), weight, bias)
					}
				}
			}
		}
	})
}

func TestNativeGELU(t *testing.T) {
	withKernels(t, func(t *testing.T) {
		for _, dtype := range []DType{Float32, BFloat16} {
			for _, tanh := range []bool{false, true} {
				for _, shape := range [][]int64{{3, 5}, {5, 7}, {3, 20000}, {0, 4}} {
					x := Randn(Float32, CPU, shape...).MulScalar(3).ToDType(dtype).SetRequiresGrad(true)
					agree(t, "gelu", dtype, func(in []*Tensor) *Tensor { return nativeGELU(in[0], tanh) },
						func(in []*Tensor) *Tensor { return in[0].GELU(tanh) }, x)
				}
				far := FromSlice([]float32{-100, -12, -6, -0, 0, 1e-20, 6, 12, 100, float32(math.Inf(1)), float32(math.NaN())}).ToDType(dtype)
				got, want := ToSlice[float64](nativeGELU(far, tanh).ToDType(Float64)), ToSlice[float64](far.ToDType(Float64).GELU(tanh))
				for i := range want {
					if math.Abs(got[i]-want[i]) > tolerance(dtype)*(1e-2+math.Abs(want[i])) || math.IsNaN(got[i]) != math.IsNaN(want[i]) {
						t.Errorf("gelu %d: %v, want %v", i, got[i], want[i])
					}
				}
			}
		}
	})
}

// A result is the same byte for byte on one thread and on several.
func TestNativeThreads(t *testing.T) {
	defer SetThreads(0)
	s := packing{p: 0.1, seed: 5}
	for i := range 40 {
		s.lengths, s.keys = append(s.lengths, (i*37+11)%90), append(s.keys, int32(i))
	}
	s.lengths[13] = 400
	const heads, hidden = 3, 96
	run := func(threads int) (all []*Tensor) {
		if err := SetThreads(threads); err != nil {
			t.Fatal(err)
		}
		if err := Do(func() error {
			Seed(1)
			qkv, y, residual, weight, bias := normal(Float32, s.rows(), 3*hidden), normal(Float32, s.rows(), hidden), normal(Float32, s.rows(), hidden), normal(Float32, hidden), normal(Float32, hidden)
			attention := nativeJoinedAttention(qkv, heads, s.drop())
			normed := nativeDropoutAddNorm(y, residual, weight, bias, 1e-5, s.drop())
			out := nativeGELU(nativeDropout(attention.Add(normed), s.drop()), false)
			all = append(Gradients(out.Mul(out).Sum(), []*Tensor{qkv, y, residual, weight, bias}), out.Detach())
			for _, x := range all {
				x.Keep()
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return all
	}
	eachKernels(t, func(t *testing.T) {
		want := run(1)
		for _, threads := range []int{2, 3, 8} {
			got := run(threads)
			if err := Do(func() error {
				for i := range want {
					if !got[i].Equal(want[i]) {
						t.Errorf("%d threads: result %d has other bytes than of one thread", threads, i)
					}
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			for _, x := range got {
				x.Free()
			}
		}
		for _, x := range want {
			x.Free()
		}
	})
}

func TestNativeChoose(t *testing.T) {
	if err := native.Choose("sse9"); err == nil || !strings.Contains(err.Error(), "sse9: the CPU kernels are for avx512, avx2 and generic") {
		t.Errorf("Choose(sse9) = %v", err)
	}
	if err := native.Choose(""); err != nil || !slices.Contains([]string{"generic", "avx2", "avx512"}, native.Name()) {
		t.Errorf("Choose() = %v, %q", err, native.Name())
	}
}
