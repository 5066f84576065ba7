package torch

import (
	"unsafe"

	"github.com/metatt/metatt/pkg/torch/native"
)

// nativeDrop is [native.Drop] of tensors, any of which may be nil where p is 0.
type nativeDrop struct {
	offsets, keys, seed *Tensor
	site                int32
	p                   float64
}

func (d nativeDrop) handles(op string) native.Drop {
	return native.Drop{
		Offsets: native.Tensor(d.offsets.optional(op)),
		Keys:    native.Tensor(d.keys.optional(op)),
		Seed:    native.Tensor(d.seed.optional(op)),
		Site:    d.site,
		P:       d.p,
	}
}

// nativeMask is the mask of (rows, columns) for one head as Uint8, 1 for what is kept.
func nativeMask(rows, columns, head int64, d nativeDrop) *Tensor {
	const op = "dropout_mask"
	return nativeResult(op, func(out *native.Tensor) native.Failure {
		return native.Mask(out, rows, columns, head, d.handles(op))
	}, d.offsets, d.keys, d.seed)
}

// nativeDropout is dropout of y (rows, n), fp32 or bf16 as all of these.
func nativeDropout(y *Tensor, d nativeDrop) *Tensor {
	const op = "dropout"
	return nativeResult(op, func(out *native.Tensor) native.Failure {
		return native.Dropout(out, native.Tensor(y.handle(op)), d.handles(op))
	}, y)
}

// nativeDropoutAddNorm is LayerNorm(residual + dropout(y)) of (rows, n). Weight and bias
// (n) may be fp32 where the rest is bf16.
func nativeDropoutAddNorm(y, residual, weight, bias *Tensor, eps float64, d nativeDrop) *Tensor {
	const op = "dropout_add_norm"
	return nativeResult(op, func(out *native.Tensor) native.Failure {
		return native.DropoutAddNorm(out, native.Tensor(y.handle(op)), native.Tensor(residual.handle(op)),
			native.Tensor(weight.handle(op)), native.Tensor(bias.handle(op)), eps, d.handles(op))
	}, y, residual, weight, bias)
}

// nativeAttention is [Attention] of q (queries, hidden), k and v (tokens, hidden), whose
// rows may stand apart. A query without keys is 0. The offsets of d are not read.
func nativeAttention(q, k, v *Tensor, heads int64, queryOffsets, keyOffsets *Tensor, d nativeDrop) *Tensor {
	const op = "attention"
	return nativeResult(op, func(out *native.Tensor) native.Failure {
		return native.Attention(out, native.Tensor(q.handle(op)), native.Tensor(k.handle(op)), native.Tensor(v.handle(op)), heads,
			native.Tensor(queryOffsets.handle(op)), native.Tensor(keyOffsets.handle(op)), d.handles(op))
	}, q, k, v, queryOffsets, keyOffsets)
}

// nativeJoinedAttention is of (tokens, 3·hidden): the offsets of d are read also where p is 0.
func nativeJoinedAttention(qkv *Tensor, heads int64, d nativeDrop) *Tensor {
	const op = "attention"
	return nativeResult(op, func(out *native.Tensor) native.Failure {
		return native.JoinedAttention(out, native.Tensor(qkv.handle(op)), heads, d.handles(op))
	}, qkv, d.offsets)
}

// nativeGELU is [Tensor.GELU].
func nativeGELU(x *Tensor, tanh bool) *Tensor {
	const op = "gelu"
	return nativeResult(op, func(out *native.Tensor) native.Failure {
		return native.GELU(out, native.Tensor(x.handle(op)), tanh)
	}, x)
}

// nativeLinear is [Tensor.Linear] on any device, by oneDNN where that is faster.
func nativeLinear(x, weight, bias *Tensor) *Tensor {
	const op = "linear"
	return nativeResult(op, func(out *native.Tensor) native.Failure {
		return native.Linear(out, native.Tensor(x.handle(op)), native.Tensor(weight.handle(op)), native.Tensor(bias.optional(op)))
	}, x, weight, bias)
}

// nativeMatMul is [Tensor.MatMul], likewise.
func nativeMatMul(a, b *Tensor) *Tensor {
	const op = "matmul"
	return nativeResult(op, func(out *native.Tensor) native.Failure {
		return native.MatMul(out, native.Tensor(a.handle(op)), native.Tensor(b.handle(op)))
	}, a, b)
}

// nativeAddMatMul is [Tensor.AddMatMulInPlace], likewise.
func nativeAddMatMul(t, a, b *Tensor) {
	const op = "addmm_"
	nativeReady(op)
	if message := native.AddMatMul(native.Tensor(t.handle(op)), native.Tensor(a.handle(op)), native.Tensor(b.handle(op))); message != nil {
		panic(failure(op, message, t, a, b))
	}
}

// nativeReady panics where there are no kernels to call.
func nativeReady(op string) {
	if current == nil {
		panic(outside(op))
	}
	if err := native.Ready(); err != nil {
		panic(Errorf(op, "%v", err))
	}
}

// nativeResult adopts what call gives, or panics with its error.
func nativeResult(op string, call func(out *native.Tensor) native.Failure, operands ...*Tensor) *Tensor {
	nativeReady(op)
	if message := call((*native.Tensor)(unsafe.Pointer(&slots[0]))); message != nil {
		panic(failure(op, message, operands...))
	}
	return adopt(op, slots[0])
}
