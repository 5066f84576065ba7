// Package encoder is the transformer encoder that BERT and RoBERTa share
// (Vaswani et al. 2017, post-norm), on packed tokens: the examples of a batch
// stand end to end without padding, so that projections, norms and the
// feed-forward network work on real tokens only. Attention alone pads.
//
// A [Backbone] is frozen and shared: it is loaded once for any number of heads,
// tasks and runs. A [Model] is a backbone with the head of one task.
package encoder

import (
	"math"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/torch"
)

// Linear is y = x Weightᵀ + Bias, Weight (out, in), Bias (out).
type Linear struct{ Weight, Bias *torch.Tensor }

// Apply is the layer's output for x (…, in).
func (l Linear) Apply(x *torch.Tensor) *torch.Tensor { return x.Linear(l.Weight, l.Bias) }

// norm is a layer normalisation over the last dimension.
type norm struct{ weight, bias *torch.Tensor }

func (n norm) apply(x *torch.Tensor, eps float64) *torch.Tensor {
	return x.LayerNorm(n.weight, n.bias, eps)
}

// layer is one transformer layer.
type layer struct {
	projection    [6]Linear // by adapter.Kind
	attentionNorm norm
	outputNorm    norm
}

// forward is one pass through the layers.
type forward struct {
	*Backbone
	layout *layout
	pass   adapter.Pass // nil: no adapter
	drop   Dropout
}

// layer is the output (tokens, hidden) of layer l for x of that shape. It frees
// what it made but its output; what backward needs lives on in the graph.
func (f forward) layer(l int, x *torch.Tensor) *torch.Tensor {
	var out *torch.Tensor
	torch.Scoped(func() {
		layer, eps := &f.layers[l], f.config.LayerNormEps

		qkv := f.project(l, x, adapter.Query, adapter.Key, adapter.Value)
		attended := f.attend(qkv[0], qkv[1], qkv[2]) // (tokens, hidden)
		attended = f.sublayer(l, adapter.Output, f.project(l, attended, adapter.Output)[0].Dropout(f.drop.Hidden))
		h := layer.attentionNorm.apply(x.Add(attended), eps)

		up := f.activate(f.project(l, h, adapter.FFNUp)[0]) // (tokens, intermediate)
		down := f.sublayer(l, adapter.FFNDown, f.project(l, up, adapter.FFNDown)[0].Dropout(f.drop.Hidden))
		out = layer.outputNorm.apply(h.Add(down), eps).Escape()
	})
	return out
}

// project is the adapted outputs of those matrices, which all read x.
func (f forward) project(l int, x *torch.Tensor, kinds ...adapter.Kind) []*torch.Tensor {
	outputs := make([]*torch.Tensor, len(kinds))
	sites := make([]adapter.Site, len(kinds))
	for i, k := range kinds {
		outputs[i] = f.layers[l].projection[k].Apply(x)
		sites[i] = f.architecture.Site(l, k)
	}
	if f.pass == nil {
		return outputs
	}
	return f.pass.Apply(sites, x, outputs)
}

// sublayer is y, a sublayer's output, after what a pass does to it.
func (f forward) sublayer(l int, after adapter.Kind, y *torch.Tensor) *torch.Tensor {
	if pass, ok := f.pass.(adapter.SublayerPass); ok {
		return pass.AfterSublayer(l, after, y)
	}
	return y
}

// attend is multi-head self-attention within each example, for q, k, v
// (tokens, hidden).
func (f forward) attend(q, k, v *torch.Tensor) *torch.Tensor {
	heads := int64(f.architecture.Heads)
	split := func(t *torch.Tensor) *torch.Tensor { return f.layout.pad(t, heads) } // (batch, heads, length, d)
	q, k, v = split(q), split(k), split(v)
	var context *torch.Tensor
	if p := f.drop.Attention; p > 0 {
		// The fused kernel has no dropout on the CPU.
		scores := q.MulScalar(1 / math.Sqrt(float64(q.Size(-1)))).MatMul(k.Transpose(-2, -1))
		if f.layout.mask != nil {
			scores = scores.AddInPlace(f.layout.mask)
		}
		context = scores.Softmax(-1).Dropout(p).MatMul(v)
	} else {
		context = torch.Attention(q, k, v, f.layout.mask)
	}
	return f.layout.unpad(context)
}

func (f forward) activate(x *torch.Tensor) *torch.Tensor {
	switch f.config.HiddenAct {
	case "relu":
		return x.ReLU()
	case "gelu_new":
		return x.GELU(true)
	}
	return x.GELU(false)
}
