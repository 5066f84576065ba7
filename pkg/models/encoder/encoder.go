// Package encoder is the transformer encoder that BERT and RoBERTa share
// (Vaswani et al. 2017, post-norm), on packed tokens: the examples of a batch
// stand end to end without padding, so that everything works on real tokens
// only. The last layer is computed where a head reads it.
//
// A [Backbone] is frozen and shared: it is loaded once for any number of heads,
// tasks and runs. A [Model] is a backbone with the head of one task.
package encoder

import (
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
	joined        *Linear   // whose weight and bias those of query, key and value are parts of, in this order
	attentionNorm norm
	outputNorm    norm
}

// forward is one pass through the layers.
type forward struct {
	*Backbone
	batch *Batch
	pass  adapter.Pass // nil: no adapter
	drop  Dropout
}

// layer is the output (tokens, hidden) of layer l for x of that shape. It frees
// what it made but its output; what backward needs lives on in the graph.
func (f forward) layer(l int, x *torch.Tensor) *torch.Tensor {
	var out *torch.Tensor
	torch.Scoped(func() {
		out = f.rest(l, x, f.attend(l, x), f.batch.tokens).Escape()
	})
	return out
}

// last is the output of the last layer at first tokens alone, (examples, hidden), which
// is all that a head reads: keys and values are of all tokens x (tokens, hidden).
func (f forward) last(x *torch.Tensor) *torch.Tensor {
	var out *torch.Tensor
	torch.Scoped(func() {
		l := len(f.layers) - 1
		first := x.IndexSelect(0, f.batch.first)
		q := f.project(l, first, adapter.Query)[0]
		kv := f.project(l, x, adapter.Key, adapter.Value)
		attended := torch.Attention(q, kv[0], kv[1], f.heads(), f.batch.firsts, f.batch.tokens, f.at(l, ofAttention, f.drop.Attention))
		out = f.rest(l, first, attended, f.batch.firsts).Escape()
	})
	return out
}

// attend is multi-head self-attention within each example, for x (tokens, hidden).
// Query, key and value are one product whatever the adapter: what the frozen matrices
// make of x has the same bits.
func (f forward) attend(l int, x *torch.Tensor) *torch.Tensor {
	drop, tokens := f.at(l, ofAttention, f.drop.Attention), f.batch.tokens
	frozen := f.layers[l].together().Apply(x) // (tokens, 3·hidden)
	if f.pass == nil {
		return frozen.JoinedAttention(f.heads(), tokens, drop)
	}
	if pass, ok := f.pass.(adapter.JoinedPass); ok {
		return pass.ApplyJoined(l, x, frozen).JoinedAttention(f.heads(), tokens, drop)
	}
	qkv := frozen.Reshape(x.Size(0), 3, -1).Transpose(0, 1).Unbind() // (tokens, hidden) each
	for i := range qkv {
		qkv[i] = qkv[i].Clone() // which a pass may change in place
	}
	qkv = f.pass.Apply(f.sites(l, adapter.Joined), x, qkv)
	return torch.Attention(qkv[0], qkv[1], qkv[2], f.heads(), tokens, tokens, drop)
}

// rest is what a layer makes of its input x and what was attended to, (rows, hidden)
// each.
func (f forward) rest(l int, x, attended *torch.Tensor, rows torch.Sequences) *torch.Tensor {
	layer := &f.layers[l]
	h := f.sublayer(l, adapter.Output, f.project(l, attended, adapter.Output)[0], x, layer.attentionNorm, rows, ofOutput)
	up := f.activate(f.project(l, h, adapter.FFNUp)[0]) // (rows, intermediate)
	return f.sublayer(l, adapter.FFNDown, f.project(l, up, adapter.FFNDown)[0], h, layer.outputNorm, rows, ofFFN)
}

// project is the adapted outputs of those matrices, which all read x.
func (f forward) project(l int, x *torch.Tensor, kinds ...adapter.Kind) []*torch.Tensor {
	outputs := make([]*torch.Tensor, len(kinds))
	for i, k := range kinds {
		outputs[i] = f.layers[l].projection[k].Apply(x)
	}
	if f.pass == nil {
		return outputs
	}
	return f.pass.Apply(f.sites(l, kinds), x, outputs)
}

func (f forward) sites(l int, kinds []adapter.Kind) []adapter.Site {
	sites := make([]adapter.Site, len(kinds))
	for i, k := range kinds {
		sites[i] = f.architecture.Site(l, k)
	}
	return sites
}

// sublayer adds y, a sublayer's output after its dropout and what a pass does to it, to
// the residual stream, and normalises: (rows, hidden).
func (f forward) sublayer(l int, after adapter.Kind, y, residual *torch.Tensor, n norm, rows torch.Sequences, place int32) *torch.Tensor {
	drop := f.at(l, place, f.drop.Hidden)
	if pass, ok := f.pass.(adapter.SublayerPass); ok {
		y, drop = pass.AfterSublayer(l, after, y.DropoutAt(rows, drop)), torch.Drop{}
	}
	return y.DropoutAddNorm(residual, n.weight, n.bias, f.config.LayerNormEps, rows, drop)
}

func (f forward) at(l int, place int32, p float64) torch.Drop {
	return f.batch.drop(place+4*int32(l), p)
}

func (f forward) heads() int64 { return int64(f.architecture.Heads) }

// activate is the activation of x, in its memory where backward does not read it.
func (f forward) activate(x *torch.Tensor) *torch.Tensor {
	tanh := f.config.HiddenAct == "gelu_new"
	switch {
	case f.config.HiddenAct == "relu":
		return x.ReLU()
	case torch.GradEnabled():
		return x.GELU(tanh)
	}
	return x.GELUInPlace(tanh)
}
