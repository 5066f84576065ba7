package torch

import (
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// MatMul is the matrix product, batched over leading dimensions. Inside [NoGrad]
// its bits do not depend on whether t or other is trained.
func (t *Tensor) MatMul(other *Tensor) *Tensor {
	// libtorch folds a batch into the rows of one product, or does not, by the
	// requires_grad of its operands; a view has that of its leaf even in NoGrad.
	if t.Dim() != other.Dim() && (t.RequiresGrad() || other.RequiresGrad()) && !GradEnabled() {
		t, other = t.Detach(), other.Detach()
	}
	return binary("matmul", libtch.AtgMatmul, t, other)
}

// Linear is t Wᵀ + b for t (…, in), W (out, in) and b (out) or nil.
func (t *Tensor) Linear(weight, bias *Tensor) *Tensor {
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

// Max is the largest element.
func (t *Tensor) Max() *Tensor { return unary("max", libtch.AtgMax, t) }

// Equal reports whether the tensors have the same shape and elements.
func (t *Tensor) Equal(other *Tensor) bool {
	equal := libtch.AtgEqual(t.handle("equal"), other.handle("equal"))
	if e := libtch.GetAndResetLastErr(); e != nil {
		panic(failure("equal", unsafe.Pointer(e), t, other))
	}
	return equal
}
