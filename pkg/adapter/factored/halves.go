package factored

import (
	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/torch"
)

// Halves is ΔW[l,m] = In[l] · Out[l,m] for layer l and matrix index m: what a
// layer's matrices read goes through one first factor. It implements
// [adapter.JoinedPass].
type Halves struct {
	Joined
	blocks Blocks
	in     []*torch.Tensor // (D, r), for each layer or the same for all
	out    []*torch.Tensor // (M, r, D)
}

// NewHalves is that of in (L, D, r), or (1, D, r) the same for all layers, and out (L,
// M, r, D), or (1, M, r, D).
func NewHalves(blocks Blocks, in, out *torch.Tensor) Halves {
	h := Halves{blocks: blocks, in: in.Unbind(), out: out.Unbind()}
	var factors [3]*torch.Tensor
	for i, kind := range adapter.Joined {
		if span, adapted := blocks.Of(kind); adapted {
			factors[i] = out.Select(1, span.First)
		}
	}
	if out := beside(factors); out != nil {
		h.Joined = Joined{h.in, out.Unbind()}
	}
	return h
}

// Apply implements [adapter.Pass]. x In is computed once for all sites that
// read x.
func (h Halves) Apply(sites []adapter.Site, x *torch.Tensor, frozen []*torch.Tensor) []*torch.Tensor {
	var reduced *torch.Tensor // (tokens, input blocks·r)
	for i, site := range sites {
		span, adapted := h.blocks.Of(site.Kind)
		if !adapted {
			continue
		}
		if reduced == nil {
			// ffn_down reads blocks of D columns: each goes through In.
			reduced = x.Reshape(-1, h.blocks.Width).MatMul(ofLayer(h.in, site.Layer)).Reshape(x.Size(0), -1)
		}
		frozen[i].AddMatMulInPlace(reduced, h.second(site, span))
	}
	return frozen
}

// second is the second factor of a site: (r, Out), of ffn_down (blocks·r, Out).
func (h Halves) second(site adapter.Site, span Span) *torch.Tensor {
	blocks := ofLayer(h.out, site.Layer).Narrow(0, span.First, span.Count) // (blocks, r, D)
	if site.Kind == adapter.FFNDown {
		return blocks.Reshape(-1, blocks.Size(2)) // input blocks add up
	}
	return blocks.Permute(1, 0, 2).Reshape(blocks.Size(1), -1) // output blocks stand side by side
}
