package factored

import (
	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/torch"
)

// Pairs is ΔW = In[l] · Out[l] with factors of its own for every matrix kind and
// layer l.
type Pairs map[adapter.Kind]Pair

// Pair is the factors of one kind in all layers.
type Pair struct {
	In  *torch.Tensor // (L, in, r)
	Out *torch.Tensor // (L, r, out)
}

// Factors is ΔW = in · out of a site that is adapted.
func (p Pairs) Factors(site adapter.Site) (in, out *torch.Tensor) {
	pair, layer := p[site.Kind], int64(site.Layer)
	return pair.In.Select(0, layer), pair.Out.Select(0, layer)
}

// ToDType is p in that element type.
func (p Pairs) ToDType(dtype torch.DType) Pairs {
	converted := Pairs{}
	for _, kind := range adapter.Kinds() { // not p's: the graph's order is the same in every run
		if pair, ok := p[kind]; ok {
			converted[kind] = Pair{pair.In.ToDType(dtype), pair.Out.ToDType(dtype)}
		}
	}
	return converted
}

// Pass adapts by the pairs, computing in that element type.
func (p Pairs) Pass(dtype torch.DType) adapter.Pass {
	p = p.ToDType(dtype)
	pass := pairsPass{Joined: p.Joined(), in: map[adapter.Kind][]*torch.Tensor{}, out: map[adapter.Kind][]*torch.Tensor{}}
	for _, kind := range adapter.Kinds() {
		if pair, ok := p[kind]; ok {
			pass.in[kind], pass.out[kind] = pair.In.Unbind(), pair.Out.Unbind()
		}
	}
	return pass
}

// pairsPass implements [adapter.JoinedPass].
type pairsPass struct {
	Joined
	in, out map[adapter.Kind][]*torch.Tensor // by layer
}

// Apply implements [adapter.Pass]. x goes through the first factors of all its
// sites in one product.
func (p pairsPass) Apply(sites []adapter.Site, x *torch.Tensor, frozen []*torch.Tensor) []*torch.Tensor {
	var ins []*torch.Tensor
	for _, site := range sites {
		if in, adapted := p.in[site.Kind]; adapted {
			ins = append(ins, in[site.Layer])
		}
	}
	if len(ins) == 0 {
		return frozen
	}
	reduced := x.MatMul(torch.Cat(1, ins...)) // (tokens, Σr)
	from := int64(0)
	for i, site := range sites {
		if out, adapted := p.out[site.Kind]; adapted {
			r := out[site.Layer].Size(0)
			frozen[i].AddMatMulInPlace(reduced.Narrow(1, from, r), out[site.Layer])
			from += r
		}
	}
	return frozen
}
