package factored

import (
	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/torch"
)

// Halves is ΔW[l,m] = In[l] · Out[l,m] for layer l and matrix index m: what a
// layer's matrices read goes through one first factor. It implements
// [adapter.Pass].
type Halves struct {
	Blocks Blocks
	In     *torch.Tensor // (L, D, r), or (1, D, r) the same for all layers
	Out    *torch.Tensor // (L, M, r, D), or (1, M, r, D)
}

// ToDType is h in that element type.
func (h Halves) ToDType(dtype torch.DType) Halves {
	h.In, h.Out = h.In.ToDType(dtype), h.Out.ToDType(dtype)
	return h
}

// of is the part of one layer.
func of(t *torch.Tensor, layer int) *torch.Tensor {
	if t.Size(0) == 1 {
		layer = 0
	}
	return t.Select(0, int64(layer))
}

// Apply implements [adapter.Pass]. x In is computed once for all sites that
// read x.
func (h Halves) Apply(sites []adapter.Site, x *torch.Tensor, frozen []*torch.Tensor) []*torch.Tensor {
	var reduced *torch.Tensor // (tokens, input blocks·r)
	for i, site := range sites {
		span, adapted := h.Blocks.Of(site.Kind)
		if !adapted {
			continue
		}
		if reduced == nil {
			// ffn_down reads blocks of D columns: each goes through In.
			reduced = x.Reshape(-1, h.Blocks.Width).MatMul(of(h.In, site.Layer)).Reshape(x.Size(0), -1)
		}
		frozen[i].AddMatMulInPlace(reduced, h.out(site, span))
	}
	return frozen
}

// out is the second factor of a site: (r, Out), of ffn_down (blocks·r, Out).
func (h Halves) out(site adapter.Site, span Span) *torch.Tensor {
	blocks := of(h.Out, site.Layer).Narrow(0, span.First, span.Count) // (blocks, r, D)
	if site.Kind == adapter.FFNDown {
		return blocks.Reshape(-1, blocks.Size(2)) // input blocks add up
	}
	return blocks.Permute(1, 0, 2).Reshape(blocks.Size(1), -1) // output blocks stand side by side
}
