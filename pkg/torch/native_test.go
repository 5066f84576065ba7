package torch

import (
	"math"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/cpu"

	"github.com/metatt/metatt/pkg/torch/native"
)

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

// Rows of no columns have nothing to drop, and no mean.
func TestNativeNoColumns(t *testing.T) {
	withKernels(t, func(t *testing.T) {
		for _, dtype := range []DType{Float32, BFloat16} {
			for _, p := range []float64{0, 0.5} {
				s := packing{lengths: []int{1, 2}, keys: []int32{1, 2}, p: p}
				for name, f := range map[string]func(in []*Tensor) *Tensor{
					"dropout":          func(in []*Tensor) *Tensor { return nativeDropout(in[0], s.drop()) },
					"dropout_add_norm": func(in []*Tensor) *Tensor { return nativeDropoutAddNorm(in[0], in[1], in[2], in[3], 1e-5, s.drop()) },
				} {
					in := []*Tensor{normal(dtype, 3, 0), normal(dtype, 3, 0), normal(dtype, 0), normal(dtype, 0)}
					out := f(in)
					if !slices.Equal(out.Shape(), []int64{3, 0}) {
						t.Errorf("%s, p %v: %v", name, p, out.Shape())
					}
					if name == "dropout" {
						in = in[:1]
					}
					for i, g := range Gradients(out.ToDType(Float64).Sum(), in) {
						if !slices.Equal(g.Shape(), in[i].Shape()) {
							t.Errorf("%s, p %v: gradient %d is %v", name, p, i, g.Shape())
						}
					}
				}
				if mask := nativeMask(3, 0, 1, s.drop()); !slices.Equal(mask.Shape(), []int64{3, 0}) {
					t.Errorf("mask, p %v: %v", p, mask.Shape())
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
			}
		}
	})
}

// In place are the same bytes, of views with gaps too.
func TestGELUInPlace(t *testing.T) {
	if err := Do(func() error {
		for _, dtype := range []DType{Float64, Float32, BFloat16} {
			for _, tanh := range []bool{false, true} {
				x := Randn(Float32, CPU, 70, 301).MulScalar(3).ToDType(dtype)
				for name, view := range map[string]func(x *Tensor) *Tensor{
					"all":       func(x *Tensor) *Tensor { return x },
					"columns":   func(x *Tensor) *Tensor { return x.Narrow(1, 3, 101) },
					"transpose": func(x *Tensor) *Tensor { return x.T() },
					"none":      func(x *Tensor) *Tensor { return x.Narrow(0, 3, 0) },
				} {
					y := x.Clone()
					want := view(x).GELU(tanh)
					if got := view(y).GELUInPlace(tanh); !got.Equal(want) || !view(y).Equal(want) {
						t.Errorf("%s, tanh %v, %s: other bytes in place", dtype, tanh, name)
					}
				}
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// Far from 0 the value is 0 or x, and the slope 0 or 1, at infinity too; NaN stays.
func TestNativeGELUFar(t *testing.T) {
	inf := float32(math.Inf(1))
	far := []float32{-inf, -3e38, -1e30, -1e20, -1e19, -1e4, -100, -64, -12, -6, 0, 1e-20, 6, 12, 64, 100, 1e4, 1e19, 1e20, 1e30, 3e38, inf, float32(math.NaN())}
	withKernels(t, func(t *testing.T) {
		for _, dtype := range []DType{Float32, BFloat16} {
			for _, tanh := range []bool{false, true} {
				same := func(got, want float64) bool {
					return math.IsNaN(got) && math.IsNaN(want) || math.Abs(got-want) <= tolerance(dtype)*max(1, math.Abs(want))
				}
				x := FromSlice(far).ToDType(dtype).SetRequiresGrad(true)
				y := nativeGELU(x, tanh)
				values := ToSlice[float64](y.Detach().ToDType(Float64))
				slopes := ToSlice[float64](Gradients(y.ToDType(Float64).Sum(), []*Tensor{x})[0].ToDType(Float64))
				for i, x := range ToSlice[float64](x.Detach().ToDType(Float64)) {
					slope := 0.5 // at 0 and beside it
					if math.Abs(x) > 1 {
						slope = max(0, math.Copysign(1, x))
					} else if math.IsNaN(x) {
						slope = x
					}
					if !same(slopes[i], slope) {
						t.Errorf("%s, tanh %v: slope %v at %v, want %v", dtype, tanh, slopes[i], x, slope)
					}
					// libtorch's own values overflow from there on, and are NaN at -Inf.
					if value := max(0, x); -math.MaxFloat32 <= x && x < 2e38 && !same(values[i], value) || math.IsNaN(x) && !math.IsNaN(values[i]) {
						t.Errorf("%s, tanh %v: %v at %v, want %v", dtype, tanh, values[i], x, value)
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
	run := func(dtype DType, threads int) (all []*Tensor) {
		if err := SetThreads(threads); err != nil {
			t.Fatal(err)
		}
		if err := Do(func() error {
			Seed(1)
			qkv, y, residual, weight, bias := normal(dtype, s.rows(), 3*hidden), normal(dtype, s.rows(), hidden), normal(dtype, s.rows(), hidden), normal(dtype, hidden), normal(dtype, hidden)
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
		for _, dtype := range []DType{Float32, BFloat16} {
			want := run(dtype, 1)
			for _, threads := range []int{2, 3, 8} {
				got := run(dtype, threads)
				if err := Do(func() error {
					for i := range want {
						if !got[i].Equal(want[i]) {
							t.Errorf("%s, %d threads: result %d has other bytes than of one thread", dtype, threads, i)
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
		}
	})
}

func TestNativeChoose(t *testing.T) {
	if err := native.Choose("sse9"); err == nil || !strings.Contains(err.Error(), "sse9: the CPU kernels are for avx512bf16, avx512, avx2 and generic") {
		t.Errorf("Choose(sse9) = %v", err)
	}
	has, best := cpu.X86, "generic"
	switch avx2 := has.HasAVX2 && has.HasFMA; {
	case avx2 && has.HasAVX512F && has.HasAVX512BW && has.HasAVX512VL && has.HasAVX512DQ && has.HasAVX512BF16:
		best = "avx512bf16"
	case avx2 && has.HasAVX512F && has.HasAVX512BW && has.HasAVX512VL && has.HasAVX512DQ:
		best = "avx512"
	case avx2:
		best = "avx2"
	}
	if err := native.Choose(""); err != nil || native.Name() != best {
		t.Errorf("Choose() = %v, %q, want %q", err, native.Name(), best)
	}
}
