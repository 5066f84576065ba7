package torch

import (
	"math"

	"github.com/sugarme/gotch/libtch"
)

// Softmax along a dimension.
func (t *Tensor) Softmax(dim int) *Tensor {
	libtch.AtgSoftmax(&slots[0], t.handle("softmax"), int64(dim), noDType)
	return result("softmax", t)
}

// LayerNorm normalises the last dimension (n) to mean 0 and variance 1, eps
// added to the variance, then scales by weight (n) and adds bias (n).
func (t *Tensor) LayerNorm(weight, bias *Tensor, eps float64) *Tensor {
	const op = "layer_norm"
	n := weight.Shape()
	libtch.AtgLayerNorm(&slots[0], t.handle(op), n, len(n), weight.handle(op), bias.handle(op), eps, 1)
	return result(op, t, weight, bias)
}

// Rows gathers rows of t (rows, n): the result has shape (…, n) for an Int64
// index of shape (…). Its backward adds up in parallel, which index_select's
// does not.
func (t *Tensor) Rows(index *Tensor) *Tensor { return t.rows("rows", index, -1) }

// Embedding is [Tensor.Rows] for a table whose row padding gets no gradient:
// padding_idx of torch.nn.Embedding. -1: every row gets its own.
func (t *Tensor) Embedding(index *Tensor, padding int64) *Tensor {
	return t.rows("embedding", index, padding)
}

func (t *Tensor) rows(op string, index *Tensor, padding int64) *Tensor {
	libtch.AtgEmbedding(&slots[0], t.handle(op), index.handle(op), padding, 0, 0)
	return result(op, t, index)
}

// scaledDotProduct is softmax(q kᵀ/√d + mask) v for q (batch, heads, queries, d), k and
// v (batch, heads, length, d) and an additive mask of their dtype that broadcasts to
// (batch, heads, queries, length), or nil.
func scaledDotProduct(q, k, v, mask *Tensor) *Tensor {
	const op = "scaled_dot_product_attention"
	if mask == nil {
		// gotch cannot pass "no mask": it would be an undefined tensor.
		mask = Zeros(q.DType(), q.Device(), 1, 1, 1, k.Size(-2))
	}
	libtch.AtgScaledDotProductAttention(&slots[0], q.handle(op), k.handle(op), v.handle(op), mask.handle(op), 0, 0, 0, 1)
	return result(op, q, k, v, mask)
}

// CrossEntropy is the mean over the batch of -log softmax(t)[label], for
// logits t (batch, classes) and Int64 labels (batch).
func (t *Tensor) CrossEntropy(labels *Tensor) *Tensor {
	const op, meanReduction, ignoreNothing = "cross_entropy", 1, -100
	libtch.AtgCrossEntropyLoss(&slots[0], t.handle(op), labels.handle(op), nil, meanReduction, ignoreNothing, 0)
	return result(op, t, labels)
}

// MSE is the mean squared difference.
func (t *Tensor) MSE(target *Tensor) *Tensor {
	const op, meanReduction = "mse_loss", 1
	libtch.AtgMseLoss(&slots[0], t.handle(op), target.handle(op), meanReduction)
	return result(op, t, target)
}

// Dropout sets each element to zero with probability p and scales the others
// by 1/(1-p), drawing from libtorch's default generator. A decision takes 16
// bits, four of them from one draw, so p is met to 2⁻¹⁷; libtorch's own
// dropout draws a double per element and costs several times as much.
func (t *Tensor) Dropout(p float64) *Tensor {
	const op = "dropout"
	dropped := float64(dropThreshold(p))
	if dropped == 0 {
		return t
	}
	shape := t.Shape()
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	draws := Empty(Int64, t.Device(), (n+3)/4)
	libtch.AtgRandomFrom_(&slots[0], draws.c, math.MinInt64, 0, 1)
	discard(op, draws)
	keep := draws.ViewAs(Int16).Narrow(0, 0, n).GEScalar(math.MinInt16 + dropped).Reshape(shape...).ToDType(t.DType())
	scale := 1 / (1 - dropped/(1<<16)) // of the probability that is met: no bias
	if t.DType() == BFloat16 || t.DType() == Float16 {
		// A half-precision mask cannot hold the scale exactly: 1/0.9 would be
		// off by 0.2 %, everywhere in the same direction.
		return t.Mul(keep).MulScalar(scale)
	}
	return t.Mul(keep.MulScalarInPlace(scale))
}

// dropThreshold: of the 2¹⁶ values of a decision, those that drop an element with
// probability p. What would drop all of them leaves nothing to scale.
func dropThreshold(p float64) int64 {
	const op, decisions = "dropout", 1 << 16
	if !(p >= 0 && p < 1) {
		panic(Errorf(op, "probability %v is not in [0, 1)", p))
	}
	threshold := int64(math.Round(p * decisions))
	if threshold == decisions {
		panic(Errorf(op, "probability %v drops everything: it is not below 1 - 2⁻¹⁷", p))
	}
	return threshold
}
