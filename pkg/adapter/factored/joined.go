package factored

import (
	"cmp"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/torch"
)

// Joined is the updates of query, key and value as one product of two factors. The zero
// value is none. It implements the part of [adapter.JoinedPass] that tells it from
// [adapter.Pass].
type Joined struct {
	in  []*torch.Tensor // (D, r), for each layer or the same for all
	out []*torch.Tensor // (r, 3·D)
}

// ApplyJoined implements [adapter.JoinedPass].
func (j Joined) ApplyJoined(layer int, x, frozen *torch.Tensor) *torch.Tensor {
	if j.in == nil {
		return frozen
	}
	return frozen.AddMatMulInPlace(x.MatMul(ofLayer(j.in, layer)), ofLayer(j.out, layer))
}

// ofLayer is the part of a layer, or what is the same for all.
func ofLayer(parts []*torch.Tensor, layer int) *torch.Tensor {
	return parts[layer%len(parts)]
}

// Joined is that of the pairs of query, key and value, as far as they are there: their
// first factors stand side by side, the second ones are blocks.
func (p Pairs) Joined() Joined {
	var ins, outs []*torch.Tensor
	for i, kind := range adapter.Joined {
		if pair, adapted := p[kind]; adapted {
			var block [3]*torch.Tensor
			block[i] = pair.Out
			ins, outs = append(ins, pair.In), append(outs, beside(block))
		}
	}
	if ins == nil {
		return Joined{}
	}
	return Joined{torch.Cat(2, ins...).Unbind(), torch.Cat(1, outs...).Unbind()} // (L, D, Σr), (L, Σr, 3·D)
}

// beside puts second factors (L, r, D) of query, key and value where their columns are,
// zeros in the place of those that are nil: (L, r, 3·D). nil where all are.
func beside(factors [3]*torch.Tensor) *torch.Tensor {
	there := cmp.Or(factors[:]...)
	if there == nil {
		return nil
	}
	for i, f := range factors {
		if f == nil {
			factors[i] = there.Detach().ZerosLike()
		}
	}
	return torch.Cat(2, factors[:]...)
}
