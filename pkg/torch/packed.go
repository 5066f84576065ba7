package torch

import (
	"math"

	"github.com/metatt/metatt/pkg/torch/native"
)

// Sequences tells where the sequences of a packed tensor (tokens, …) stand: end to
// end, without padding.
type Sequences struct {
	Offsets *Tensor // (n+1) Int32 on the tokens' device: from 0, rising, to the number of tokens
	Longest int64   // no sequence has more tokens; a bound where shapes are fixed
	Keys    *Tensor // (n) Int32 on the tokens' device: the example that each sequence is; dropout's masks are a function of it
	padding *padding
}

// Drop is what a dropout mask is a function of, beside the example, the token's position
// in it and the column: that of an example is the same in whatever batch it stands.
// The zero value is no dropout.
type Drop struct {
	P    float64
	Seed *Tensor // (1) Int64 on the device
	Site int32   // the place in the network
}

// threshold is that of [dropThreshold].
func (d Drop) threshold() int64 { return dropThreshold(d.P) }

// none: no element is dropped.
func (d Drop) none() bool { return d.threshold() == 0 }

// AttentionDrop is the probability with which [Attention] of that dtype on the device drops when p is asked for: flash
// attention, on CUDA devices in half precision, decides in 256ths.
func AttentionDrop(d Device, dtype DType, p float64) float64 {
	if d == CPU || dtype != BFloat16 && dtype != Float16 || !d.helped() {
		return p
	}
	return metIn256ths(p)
}

// metIn256ths is what the helper's met makes of a probability.
func metIn256ths(p float64) float64 { return 1 - math.Round((1-p)*256)/256 }

// PadsAttention: attention of (tokens, hidden) of that dtype on the device has no kernel
// for packed sequences, and takes those of [Sequences.Padded] alone.
func PadsAttention(d Device, dtype DType, hidden, heads int64) bool {
	if d == CPU {
		return !native.Compiled() || !kernelsTake(dtype)
	}
	return !cudaAttends(d, dtype, hidden, heads)
}

// nativeServes: t is where the CPU kernels run, and of a dtype that they take.
func nativeServes(t *Tensor) bool {
	return t.Device() == CPU && native.Compiled() && kernelsTake(t.DType())
}

// kernelsTake: our own kernels, of the CPU and of CUDA, compute in that dtype.
func kernelsTake(dtype DType) bool { return dtype == Float32 || dtype == BFloat16 }

func (d Drop) native(rows Sequences) nativeDrop {
	d.threshold() // refuses a probability that is none
	return nativeDrop{offsets: rows.Offsets, keys: rows.Keys, seed: d.Seed, site: d.Site, p: d.P}
}

// DropoutAt sets elements of t (tokens, n) to zero with probability d.P and scales the
// others by 1/(1 - d.P), which is met to 2⁻¹⁷.
func (t *Tensor) DropoutAt(rows Sequences, d Drop) *Tensor {
	switch {
	case d.none():
		return t
	case nativeServes(t):
		return nativeDropout(t, d.native(rows))
	case cudaDrops(t):
		return cudaDropoutAt(t, rows, d)
	}
	return t.Dropout(d.P)
}

// DropoutAddNorm is LayerNorm(residual + dropout(t)) over the last dimension of (tokens,
// n), scaled by weight (n), with bias (n).
func (t *Tensor) DropoutAddNorm(residual, weight, bias *Tensor, eps float64, rows Sequences, d Drop) *Tensor {
	switch {
	case nativeServes(t):
		return nativeDropoutAddNorm(t, residual, weight, bias, eps, d.native(rows))
	case cudaNorms(t, residual, weight, bias):
		return cudaDropoutAddNorm(t, residual, weight, bias, eps, rows, d)
	}
	return residual.Add(t.DropoutAt(rows, d)).LayerNorm(weight, bias, eps)
}

// Attention is multi-head attention within each sequence, with dropout of its
// probabilities: for each head softmax(q kᵀ/√d) v. q is (queries, hidden), k and v
// (tokens, hidden), whose rows may stand apart; the result is (queries, hidden).
// Sequence i of the queries reads sequence i of the keys.
func Attention(q, k, v *Tensor, heads int64, queries, keys Sequences, d Drop) *Tensor {
	switch {
	case nativeServes(q):
		return nativeAttention(q, k, v, heads, queries.Offsets, keys.Offsets, d.native(keys))
	case cudaAttends(q.Device(), q.DType(), q.Size(1), heads):
		return cudaAttention(q, k, v, heads, queries, keys, d)
	}
	return paddedAttention(q, k, v, heads, queries, keys, d)
}

// JoinedAttention is [Attention] of queries, keys and values of the same tokens that
// stand side by side in (tokens, 3·hidden). Their gradient is one tensor.
func (t *Tensor) JoinedAttention(heads int64, rows Sequences, d Drop) *Tensor {
	switch {
	case nativeServes(t):
		return nativeJoinedAttention(t, heads, d.native(rows))
	case cudaAttends(t.Device(), t.DType(), t.Size(1)/3, heads):
		return cudaJoinedAttention(t, heads, rows, d)
	}
	hidden := t.Size(1) / 3
	part := func(i int64) *Tensor { return t.Narrow(1, i*hidden, hidden) }
	return paddedAttention(part(0), part(1), part(2), heads, rows, rows, d)
}
