package torch

import (
	"math"
	"slices"
	"testing"

	"github.com/metatt/metatt/pkg/torch/native"
)

// eachKernels runs f for each instruction set that the machine has.
func eachKernels(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	if err := native.Ready(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"generic", "avx2", "avx512", "avx512bf16"} {
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
