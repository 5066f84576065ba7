// Package encoder is the transformer encoder that BERT and RoBERTa share
// (Vaswani et al. 2017, post-norm), on packed tokens: the examples of a batch
// stand end to end without padding, so that projections, norms and the
// feed-forward network work on real tokens only. Attention alone pads.
package encoder

import (
	"math"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/torch"
)

// Config is what the encoder needs of config.json.
type Config struct {
	Architecture adapter.Architecture
	Activation   string  // gelu, gelu_new or relu
	LayerNormEps float64 // added to the variance
}

// Linear is y = x Weightᵀ + Bias, Weight (out, in), Bias (out).
type Linear struct{ Weight, Bias *torch.Tensor }

// Apply is the layer's output for x (…, in).
func (l Linear) Apply(x *torch.Tensor) *torch.Tensor { return x.Linear(l.Weight, l.Bias) }

// Parameters is the layer's tensors as NAME.weight and NAME.bias.
func (l Linear) Parameters(name string) []adapter.Parameter {
	return []adapter.Parameter{{Name: name + ".weight", Tensor: l.Weight}, {Name: name + ".bias", Tensor: l.Bias}}
}

// Norm is a layer normalisation over the last dimension.
type Norm struct{ Weight, Bias *torch.Tensor }

// Layer is one transformer layer.
type Layer struct {
	Projection    [6]Linear // by adapter.Kind
	AttentionNorm Norm
	OutputNorm    Norm
}

// Encoder is the stack of layers. Its tensors are kept; the model frees them.
type Encoder struct {
	Config Config
	Layers []Layer
}

// Sites declares every weight matrix that an adapter may change.
func (e *Encoder) Sites() []adapter.Site {
	var sites []adapter.Site
	for l := range e.Config.Architecture.Layers {
		for _, k := range adapter.Kinds() {
			sites = append(sites, e.Config.Architecture.Site(l, k))
		}
	}
	return sites
}

// Forward runs all layers on h (tokens, hidden), the embedded tokens of
// layout's examples, and returns (tokens, hidden). pass may be nil: no adapter.
func (e *Encoder) Forward(h *torch.Tensor, layout *Layout, pass adapter.Pass, drop Dropout) *torch.Tensor {
	f := forward{Encoder: e, layout: layout, pass: pass, drop: drop}
	for l := range e.Layers {
		h = f.layer(l, h)
	}
	return h
}

// forward is one pass through the stack.
type forward struct {
	*Encoder
	layout *Layout
	pass   adapter.Pass
	drop   Dropout
}

// layer frees what it made but its output; what backward needs lives on in the
// graph.
func (f forward) layer(l int, x *torch.Tensor) *torch.Tensor {
	var out *torch.Tensor
	torch.Scoped(func() {
		layer := &f.Layers[l]
		eps := f.Config.LayerNormEps

		qkv := f.project(l, x, adapter.Query, adapter.Key, adapter.Value)
		attended := f.attend(qkv[0], qkv[1], qkv[2]) // (tokens, hidden)
		attended = f.sublayer(l, adapter.Output, f.project(l, attended, adapter.Output)[0].Dropout(f.drop.Hidden))
		h := x.Add(attended).LayerNorm(layer.AttentionNorm.Weight, layer.AttentionNorm.Bias, eps)

		up := f.activate(f.project(l, h, adapter.FFNUp)[0]) // (tokens, intermediate)
		down := f.sublayer(l, adapter.FFNDown, f.project(l, up, adapter.FFNDown)[0].Dropout(f.drop.Hidden))
		out = h.Add(down).LayerNorm(layer.OutputNorm.Weight, layer.OutputNorm.Bias, eps).Escape()
	})
	return out
}

// project is the adapted outputs of those matrices, which all read x.
func (f forward) project(l int, x *torch.Tensor, kinds ...adapter.Kind) []*torch.Tensor {
	outputs := make([]*torch.Tensor, len(kinds))
	sites := make([]adapter.Site, len(kinds))
	for i, k := range kinds {
		outputs[i] = f.Layers[l].Projection[k].Apply(x)
		sites[i] = f.Config.Architecture.Site(l, k)
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
	heads := int64(f.Config.Architecture.Heads)
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
	switch f.Config.Activation {
	case "relu":
		return x.ReLU()
	case "gelu_new":
		return x.GELU(true)
	}
	return x.GELU(false)
}
