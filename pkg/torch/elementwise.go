package torch

import (
	"unsafe"

	"github.com/sugarme/gotch/libtch"

	"github.com/metatt/metatt/pkg/torch/native"
)

type (
	unaryOp  = func(out *libtch.Ctensor, self libtch.Ctensor)
	binaryOp = func(out *libtch.Ctensor, self, other libtch.Ctensor)
	scalarOp = func(out *libtch.Ctensor, self libtch.Ctensor, value libtch.Cscalar)
)

func unary(op string, f unaryOp, t *Tensor) *Tensor {
	f(&slots[0], t.handle(op))
	return result(op, t)
}

func binary(op string, f binaryOp, a, b *Tensor) *Tensor {
	f(&slots[0], a.handle(op), b.handle(op))
	return result(op, a, b)
}

func withScalar(op string, f scalarOp, t *Tensor, value float64) *Tensor {
	s := libtch.AtsFloat(value)
	f(&slots[0], t.handle(op), s)
	libtch.AtsFree(s)
	return result(op, t)
}

// Elementwise functions.

// Neg is -t.
func (t *Tensor) Neg() *Tensor { return unary("neg", libtch.AtgNeg, t) }

// Exp is eᵗ.
func (t *Tensor) Exp() *Tensor { return unary("exp", libtch.AtgExp, t) }

// Log is the natural logarithm.
func (t *Tensor) Log() *Tensor { return unary("log", libtch.AtgLog, t) }

// Sqrt is √t.
func (t *Tensor) Sqrt() *Tensor { return unary("sqrt", libtch.AtgSqrt, t) }

// Abs is |t|.
func (t *Tensor) Abs() *Tensor { return unary("abs", libtch.AtgAbs, t) }

// Square is t².
func (t *Tensor) Square() *Tensor { return unary("square", libtch.AtgSquare, t) }

// Tanh is the hyperbolic tangent.
func (t *Tensor) Tanh() *Tensor { return unary("tanh", libtch.AtgTanh, t) }

// ReLU is max(t, 0).
func (t *Tensor) ReLU() *Tensor { return unary("relu", libtch.AtgRelu, t) }

// Sign is -1, 0 or 1.
func (t *Tensor) Sign() *Tensor { return unary("sign", libtch.AtgSign, t) }

// Arithmetic, with broadcasting.

// Add is t + other.
func (t *Tensor) Add(other *Tensor) *Tensor { return binary("add", libtch.AtgAdd, t, other) }

// Sub is t - other.
func (t *Tensor) Sub(other *Tensor) *Tensor { return binary("sub", libtch.AtgSub, t, other) }

// Mul is t · other, elementwise.
func (t *Tensor) Mul(other *Tensor) *Tensor { return binary("mul", libtch.AtgMul, t, other) }

// Div is t / other, elementwise.
func (t *Tensor) Div(other *Tensor) *Tensor { return binary("div", libtch.AtgDiv, t, other) }

// AddScalar is t + value.
func (t *Tensor) AddScalar(value float64) *Tensor {
	return withScalar("add", libtch.AtgAddScalar, t, value)
}

// MulScalar is t · value.
func (t *Tensor) MulScalar(value float64) *Tensor {
	return withScalar("mul", libtch.AtgMulScalar, t, value)
}

// GEScalar is t ≥ value, elementwise, as Bool.
func (t *Tensor) GEScalar(value float64) *Tensor { return withScalar("ge", libtch.AtgGe, t, value) }

// LEScalar is t ≤ value, elementwise, as Bool.
func (t *Tensor) LEScalar(value float64) *Tensor { return withScalar("le", libtch.AtgLe, t, value) }

// Reciprocal is 1/t.
func (t *Tensor) Reciprocal() *Tensor { return unary("reciprocal", libtch.AtgReciprocal, t) }

// AtMost is min(t, limit).
func (t *Tensor) AtMost(limit float64) *Tensor {
	return withScalar("clamp", libtch.AtgClampMax, t, limit)
}

// Where is t where the Bool condition holds, else other, elementwise.
func (t *Tensor) Where(condition, other *Tensor) *Tensor {
	libtch.AtgWhereSelf(&slots[0], condition.handle("where"), t.handle("where"), other.handle("where"))
	return result("where", condition, t, other)
}

// Lerp is t + weight · (end - t), for a weight that broadcasts.
func (t *Tensor) Lerp(end, weight *Tensor) *Tensor {
	libtch.AtgLerpTensor(&slots[0], t.handle("lerp"), end.handle("lerp"), weight.handle("lerp"))
	return result("lerp", t, end, weight)
}

// In-place operations. They return t.

// CopyFrom sets t's elements to src's, converting dtype and device.
func (t *Tensor) CopyFrom(src *Tensor) *Tensor {
	libtch.AtCopy_(t.handle("copy_"), src.handle("copy_"))
	if e := libtch.GetAndResetLastErr(); e != nil {
		panic(failure("copy_", unsafe.Pointer(e), t, src))
	}
	return t
}

// AddInPlace is t += other.
func (t *Tensor) AddInPlace(other *Tensor) *Tensor {
	libtch.AtgAdd_(&slots[0], t.handle("add_"), other.handle("add_"))
	discard("add_", t, other)
	return t
}

// MulInPlace is t *= other.
func (t *Tensor) MulInPlace(other *Tensor) *Tensor {
	libtch.AtgMul_(&slots[0], t.handle("mul_"), other.handle("mul_"))
	discard("mul_", t, other)
	return t
}

// AddScalarInPlace is t += value.
func (t *Tensor) AddScalarInPlace(value float64) *Tensor {
	s := libtch.AtsFloat(value)
	libtch.AtgAddScalar_(&slots[0], t.handle("add_"), s)
	libtch.AtsFree(s)
	discard("add_", t)
	return t
}

// MulScalarInPlace is t *= value.
func (t *Tensor) MulScalarInPlace(value float64) *Tensor {
	s := libtch.AtsFloat(value)
	libtch.AtgMulScalar_(&slots[0], t.handle("mul_"), s)
	libtch.AtsFree(s)
	discard("mul_", t)
	return t
}

// LerpInPlace is t += weight · (end - t).
func (t *Tensor) LerpInPlace(end *Tensor, weight float64) *Tensor {
	s := libtch.AtsFloat(weight)
	libtch.AtgLerp_(&slots[0], t.handle("lerp_"), end.handle("lerp_"), s)
	libtch.AtsFree(s)
	discard("lerp_", t, end)
	return t
}

// LerpByInPlace is LerpInPlace with a weight that stands on the device.
func (t *Tensor) LerpByInPlace(end, weight *Tensor) *Tensor {
	libtch.AtgLerpTensor_(&slots[0], t.handle("lerp_"), end.handle("lerp_"), weight.handle("lerp_"))
	discard("lerp_", t, end, weight)
	return t
}

// AddProductInPlace is t += a · b, elementwise.
func (t *Tensor) AddProductInPlace(a, b *Tensor) *Tensor {
	libtch.AtgAddcmul_(&slots[0], t.handle("addcmul_"), a.handle("addcmul_"), b.handle("addcmul_"))
	discard("addcmul_", t, a, b)
	return t
}

// AddMatMulInPlace is t += a b for matrices a (m, k), b (k, n) and t (m, n).
func (t *Tensor) AddMatMulInPlace(a, b *Tensor) *Tensor {
	if native.Compiled() {
		nativeAddMatMul(t, a, b)
		return t
	}
	libtch.AtgAddmm_(&slots[0], t.handle("addmm_"), a.handle("addmm_"), b.handle("addmm_"))
	discard("addmm_", t, a, b)
	return t
}
