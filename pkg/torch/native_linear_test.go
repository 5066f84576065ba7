package torch

import "testing"

// Sizes on both sides of where oneDNN begins, operands of every layout, trained and frozen.
// (Not of one column: the gradient of a single bias may cancel out, to the rounding of bf16.)
func TestNativeLinear(t *testing.T) {
	withKernels(t, func(t *testing.T) {
		plain := func(in []*Tensor) *Tensor { return in[0].MatMul(in[1].T()).Add(in[2]) }
		kernel := func(in []*Tensor) *Tensor { return nativeLinear(in[0], in[1], in[2]) }
		for _, dtype := range []DType{Float32, BFloat16} {
			for _, size := range [][3]int64{{1, 5, 3}, {67, 33, 129}, {1687, 40, 3}, {1687, 1, 40}, {1, 300, 301}, {300, 384, 8}, {512, 8, 384}} {
				for frozen := range 3 {
					in := []*Tensor{normal(dtype, size[0], size[1]), normal(dtype, size[2], size[1]), normal(dtype, size[2])}
					in[frozen].SetRequiresGrad(false)
					agree(t, "linear", dtype, kernel, plain, in...)
				}
				agree(t, "linear without bias", dtype, func(in []*Tensor) *Tensor { return nativeLinear(in[0], in[1], nil) },
					func(in []*Tensor) *Tensor { return in[0].MatMul(in[1].T()) }, normal(dtype, size[0], size[1]), normal(dtype, size[2], size[1]))
				agree(t, "addmm_", dtype, func(in []*Tensor) *Tensor {
					wide := Cat(1, in[0], in[0])
					nativeAddMatMul(wide.Narrow(1, size[2], size[2]), in[1], in[2])
					return wide
				}, func(in []*Tensor) *Tensor {
					return Cat(1, in[0], in[0].Add(in[1].MatMul(in[2])))
				}, normal(dtype, size[0], size[2]), normal(dtype, size[0], size[1]), normal(dtype, size[1], size[2]))
				agree(t, "matmul", dtype, func(in []*Tensor) *Tensor { return nativeMatMul(in[0], in[1]) },
					func(in []*Tensor) *Tensor { return in[0].MatMul(in[1]) }, normal(dtype, size[0], size[1]), normal(dtype, size[1], size[2]))
			}
			agree(t, "three dimensions", dtype, kernel, plain, normal(dtype, 7, 30, 50), normal(dtype, 60, 50), normal(dtype, 60))
			agree(t, "views", dtype, func(in []*Tensor) *Tensor {
				return nativeLinear(in[0].T().Narrow(0, 3, 200), in[1].Narrow(1, 2, 70), nil)
			}, func(in []*Tensor) *Tensor {
				return in[0].T().Narrow(0, 3, 200).MatMul(in[1].Narrow(1, 2, 70).T())
			}, normal(dtype, 70, 220), normal(dtype, 90, 80))
			agree(t, "a batch of matrices", dtype, func(in []*Tensor) *Tensor { return nativeMatMul(in[0], in[1]) },
				func(in []*Tensor) *Tensor { return in[0].MatMul(in[1]) }, normal(dtype, 3, 40, 50), normal(dtype, 3, 50, 60))
		}
		// A gradient without strides of its own, as a sum's is.
		x, w := normal(Float32, 200, 50), normal(Float32, 60, 50)
		gradients := Gradients(nativeLinear(x, w, nil).Sum(), []*Tensor{x, w})
		near64(t, "gradient of a sum", gradients[0], w.Detach().ToDType(Float64).SumDim(0).Unsqueeze(0).Mul(Ones(Float64, CPU, 200, 1)), 1e-5)
		near64(t, "gradient of a sum", gradients[1], x.Detach().ToDType(Float64).SumDim(0).Unsqueeze(0).Mul(Ones(Float64, CPU, 60, 1)), 1e-5)
	})
}
