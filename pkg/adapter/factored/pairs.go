package factored

import (
	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/torch"
)

// Pairs is ΔW = In[l] · Out[l] with factors of its own for every matrix kind and
// layer l. It implements [adapter.Pass].
type Pairs map[adapter.Kind]Pair

// Pair is the factors of one kind in all layers.
type Pair struct {
	In  *torch.Tensor // (L, in, r)
	Out *torch.Tensor // (L, r, out)
}

func (p Pair) at(layer int) (in, out *torch.Tensor) {
	return p.In.Select(0, int64(layer)), p.Out.Select(0, int64(layer))
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

// Apply implements [adapter.Pass]. x goes through the first factors of all its
// sites in one product.
func (p Pairs) Apply(sites []adapter.Site, x *torch.Tensor, frozen []*torch.Tensor) []*torch.Tensor {
	var ins []*torch.Tensor
	for _, site := range sites {
		if pair, adapted := p[site.Kind]; adapted {
			in, _ := pair.at(site.Layer)
			ins = append(ins, in)
		}
	}
	if len(ins) == 0 {
		return frozen
	}
	reduced := x.MatMul(torch.Cat(1, ins...)) // (tokens, Σr)
	from := int64(0)
	for i, site := range sites {
		pair, adapted := p[site.Kind]
		if !adapted {
			continue
		}
		_, out := pair.at(site.Layer)
		r := out.Size(0)
		frozen[i].AddMatMulInPlace(reduced.Narrow(1, from, r), out)
		from += r
	}
	return frozen
}

// Factors is ΔW = in · out of a site that is adapted.
func (p Pairs) Factors(site adapter.Site) (in, out *torch.Tensor) {
	return p[site.Kind].at(site.Layer)
}
