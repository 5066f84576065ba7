package torch

// #include "cuda_functions.h"
import "C"

// cudaAttends: there are kernels for packed attention of (tokens, hidden) of that dtype.
func cudaAttends(d Device, dtype DType, hidden, heads int64) bool {
	const eight, largest = 8, 256 // what a head's width is a multiple of, and its most
	if !d.helped() || heads < 1 || hidden%heads != 0 || hidden/heads%eight != 0 || hidden/heads > largest {
		return false
	}
	switch dtype {
	case Float32:
		return true
	case BFloat16, Float16:
		p, err := d.Properties()
		return err == nil && p.Major >= ampere
	}
	return false
}

// cudaAttention is [Attention] by flash attention in bf16 and fp16, which draws its
// dropout from libtorch's default generator, in 256ths, and by memory-efficient attention
// in fp32, or with dropout, which it cannot do, by plain operations over padded sequences
// that draw from there, too. A query whose sequence has no keys has no result that means
// anything.
func cudaAttention(q, k, v *Tensor, heads int64, queries, keys Sequences, d Drop) *Tensor {
	const op = "attention"
	d.threshold()
	checkHelper(op, C.helper_attention(pointer(q, op), pointer(k, op), pointer(v, op), C.int64_t(heads), pointer(queries.Offsets, op), pointer(keys.Offsets, op),
		C.int64_t(queries.Longest), C.int64_t(keys.Longest), C.double(d.P), slot(0)), q, k, v, queries.Offsets, keys.Offsets)
	return adopt(op, slots[0])
}

// cudaJoinedAttention is cudaAttention of queries, keys and values side by side.
func cudaJoinedAttention(qkv *Tensor, heads int64, rows Sequences, d Drop) *Tensor {
	const op = "joined_attention"
	d.threshold()
	checkHelper(op, C.helper_joined_attention(pointer(qkv, op), C.int64_t(heads), pointer(rows.Offsets, op), C.int64_t(rows.Longest), C.double(d.P), slot(0)),
		qkv, rows.Offsets)
	return adopt(op, slots[0])
}

// cudaDropoutAt is [Tensor.DropoutAt] in one pass each way; no mask is stored.
func cudaDropoutAt(t *Tensor, rows Sequences, d Drop) *Tensor {
	const op = "dropout_at"
	checkHelper(op, C.helper_dropout_at(pointer(t, op), dropped(op, rows, d), slot(0)), t)
	return adopt(op, slots[0])
}

// cudaDropoutAddNorm is [Tensor.DropoutAddNorm] in one pass each way; no mask is stored.
func cudaDropoutAddNorm(t, residual, weight, bias *Tensor, eps float64, rows Sequences, d Drop) *Tensor {
	const op = "dropout_add_norm"
	checkHelper(op, C.helper_dropout_add_norm(pointer(t, op), pointer(residual, op), pointer(weight, op), pointer(bias, op), C.double(eps), dropped(op, rows, d), slot(0)),
		t, residual, weight, bias)
	return adopt(op, slots[0])
}

func dropped(op string, rows Sequences, d Drop) C.metatt_drop {
	threshold := d.threshold()
	if threshold == 0 {
		return C.metatt_drop{}
	}
	return C.metatt_drop{offsets: pointer(rows.Offsets, op), keys: pointer(rows.Keys, op), seed: pointer(d.Seed, op),
		threshold: C.uint32_t(threshold), site: C.int32_t(d.Site)}
}

// cudaNorms: cudaDropoutAddNorm takes these operands.
func cudaNorms(t, residual, weight, bias *Tensor) bool {
	const longest = 1 << 15
	dtype := t.DType()
	for _, o := range []*Tensor{residual, weight, bias} {
		if o.DType() != dtype {
			return false
		}
	}
	return cudaDrops(t) && t.Size(-1) <= longest
}

// cudaDrops: cudaDropoutAt takes t.
func cudaDrops(t *Tensor) bool {
	return t.Device().helped() && t.Dim() == 2 && kernelsTake(t.DType())
}
