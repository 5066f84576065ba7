package torch

import (
	"unsafe"

	"github.com/sugarme/gotch/libtch"

	"github.com/metatt/metatt/pkg/torch/native"
)

// MatMul is the matrix product, batched over leading dimensions. Inside [NoGrad]
// its bits do not depend on whether t or other is trained.
func (t *Tensor) MatMul(other *Tensor) *Tensor {
	// libtorch folds a batch into the rows of one product, or does not, by the
	// requires_grad of its operands; a view has that of its leaf even in NoGrad.
	if t.Dim() != other.Dim() && (t.RequiresGrad() || other.RequiresGrad()) && !GradEnabled() {
		t, other = t.Detach(), other.Detach()
	}
	if native.Compiled() {
		return nativeMatMul(t, other)
	}
	return binary("matmul", libtch.AtgMatmul, t, other)
}

// Linear is t Wᵀ + b for t (…, in), W (out, in) and b (out) or nil.
func (t *Tensor) Linear(weight, bias *Tensor) *Tensor {
	if native.Compiled() {
		return nativeLinear(t, weight, bias)
	}
	libtch.AtgLinear(&slots[0], t.handle("linear"), weight.handle("linear"), bias.optional("linear"))
	return result("linear", t, weight, bias)
}

// SVD is the thin singular value decomposition t = u diag(s) vᵀ of a (m, n)
// matrix: u (m, k), s (k) in falling order, v (n, k), k = min(m, n).
func (t *Tensor) SVD() (u, s, v *Tensor) {
	libtch.AtgSvd(&slots[0], t.handle("svd"), 1, 1)
	u = result("svd", t)
	return u, adopt("svd", slots[1]), adopt("svd", slots[2])
}

// Reductions.

// Sum adds all elements up.
func (t *Tensor) Sum() *Tensor {
	libtch.AtgSum(&slots[0], t.handle("sum"), noDType)
	return result("sum", t)
}

// SumDim adds up along one dimension, which goes away.
func (t *Tensor) SumDim(dim int) *Tensor {
	libtch.AtgSumDimIntlist(&slots[0], t.handle("sum"), []int64{int64(dim)}, 1, 0, noDType)
	return result("sum", t)
}

// Mean is the mean of all elements.
func (t *Tensor) Mean() *Tensor {
	libtch.AtgMean(&slots[0], t.handle("mean"), noDType)
	return result("mean", t)
}

// Norm is the Frobenius norm, √Σt².
func (t *Tensor) Norm() *Tensor { return unary("norm", libtch.AtgNorm, t) }

// normRow is the number of elements that NormFloat32 adds up one after another.
const normRow = 4096

// NormFloat32 is Norm of a contiguous tensor, computed and returned in fp32 whatever
// t's dtype is. libtorch adds up squares in the order of the elements, so that of a
// million the last ones are lost; here the norm is that of the norms of rows.
func (t *Tensor) NormFloat32() *Tensor {
	t = t.Reshape(-1)
	n := t.Numel()
	whole := n / normRow * normRow
	if n <= normRow {
		return t.normFloat32(noDims[:0])
	}
	norms := t.Narrow(0, 0, whole).Reshape(-1, normRow).normFloat32([]int64{1})
	if whole < n {
		norms = Cat(0, norms, t.Narrow(0, whole, n-whole).normFloat32(noDims[:0]).Reshape(1))
	}
	return norms.NormFloat32()
}

// MaxAbs is the largest |t|, of one element in fp32; NaN where one of them is.
// libtorch's infinity norm, the same number, takes 20 times as long on the CPU.
func (t *Tensor) MaxAbs() *Tensor {
	const all = 1 // no dimension is given
	libtch.AtgAminmax(&slots[0], t.handle("aminmax"), 0, all, 0)
	least := result("aminmax", t)
	most := adopt("aminmax", slots[1])
	return Stack(0, least, most).Abs().Max().ToDType(Float32)
}

// normFloat32 is the norm over those dimensions, or over all.
func (t *Tensor) normFloat32(over []int64) *Tensor {
	two := libtch.AtsFloat(2)
	if len(over) == 0 {
		libtch.AtgNormScalaroptDtype(&slots[0], t.handle("norm"), two, int32(Float32))
	} else {
		libtch.AtgNormScalaroptDimDtype(&slots[0], t.handle("norm"), two, over, len(over), 0, int32(Float32))
	}
	libtch.AtsFree(two)
	return result("norm", t)
}

// Max is the largest element.
func (t *Tensor) Max() *Tensor { return unary("max", libtch.AtgMax, t) }

// Min is the smallest element; NaN where one of them is.
func (t *Tensor) Min() *Tensor { return unary("min", libtch.AtgMin, t) }

// Equal reports whether the tensors have the same shape and elements.
func (t *Tensor) Equal(other *Tensor) bool {
	equal := libtch.AtgEqual(t.handle("equal"), other.handle("equal"))
	if e := libtch.GetAndResetLastErr(); e != nil {
		panic(failure("equal", unsafe.Pointer(e), t, other))
	}
	return equal
}
