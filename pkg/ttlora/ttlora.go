// Package ttlora implements TT-LoRA (arXiv 2408.01008): each adapted matrix's
// update is a tensor train of its own.
package ttlora

import (
	"fmt"
	"slices"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/adapter/factored"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/tt"
)

func init() {
	factored.Register(adapter.Method{
		Name: "tt-lora", PEFTType: "TT_LORA",
		Summary: "ΔW = α TT, a tensor train over factors(Din) and factors(Dout) for each matrix; Σ r_k n_k r_{k+1}; arXiv 2408.01008",
	}, plan)
}

// form is TT-LoRA: for each matrix
//
//	y = x Wᵀ + b + α x G    for x (tokens, Din), G (Din, Dout),
//
// with G a tensor train of the modes factors(Din) in falling order, factors(Dout) in
// rising order: the ends, where bonds are narrowest, get the largest modes. The
// cores of either side make a matrix, (Din, r) and (r, Dout).
type form struct {
	sites []halves // by target
	alpha float64
}

// halves is the cores of one target, of all layers, left and right of the bond
// between in and out.
type halves struct {
	kind     adapter.Kind
	from, to int64 // Din, Dout
	in, out  factored.TensorTrain
}

func plan(s factored.Settings) (factored.Form, error) {
	f := form{alpha: s.Alpha}
	var limit factored.Limit
	for _, kind := range s.Targets {
		site := s.Architecture.Site(0, kind)
		in, out := tt.Factors(site.In), tt.Factors(site.Out)
		slices.Reverse(in)
		modes := slices.Concat(in, out)
		limit.Lower(tt.LargestRank(modes), fmt.Sprintf("target %s with modes %v", kind, modes))
		whole := factored.TensorTrain{Name: kind.String(), Layers: int64(s.Architecture.Layers), Rank: s.Rank}
		left, right := whole, whole
		left.Modes, left.Left, left.Right = in, 1, s.Rank
		right.Modes, right.Left, right.Right, right.First = out, s.Rank, 1, len(in)
		f.sites = append(f.sites, halves{kind, site.In, site.Out, left, right})
	}
	return f, limit.Check("rank", s.Rank)
}

// Leaves implements [factored.Form]. The halves begin with the variance of
// LoRA's Kaiming start, but for the last core: it is zero. (The reference's
// cores are all random.)
func (f form) Leaves() []factored.Leaf {
	var leaves []factored.Leaf
	for _, h := range f.sites {
		leaves = append(leaves, h.in.Leaves(factored.KaimingVariance(h.from))...)
		leaves = append(leaves, factored.ZeroLast(h.out.Leaves(factored.KaimingVariance(h.out.Rank)))...)
	}
	return leaves
}

// Stacks implements [factored.Stacked]: both halves of a target are one tensor train.
func (f form) Stacks() []int {
	var lengths []int
	for _, h := range f.sites {
		lengths = append(lengths, len(h.in.Modes)+len(h.out.Modes))
	}
	return lengths
}

// pairs is the halves multiplied out, in fp32, of all layers together.
func (f form) pairs(tensors []*torch.Tensor) factored.Pairs {
	pairs := factored.Pairs{}
	for _, h := range f.sites {
		n, d, r := len(h.in.Modes), len(h.in.Modes)+len(h.out.Modes), h.in.Rank
		pairs[h.kind] = factored.Pair{
			In:  tt.Contract(tensors[:n]).MulScalar(f.alpha),    // (L, Din, r)
			Out: tt.Contract(tensors[n:d]).Reshape(-1, r, h.to), // (L, r·Dout, 1)
		}
		tensors = tensors[d:]
	}
	return pairs
}

// Begin implements [factored.Form].
func (f form) Begin(tensors []*torch.Tensor, step adapter.Step) adapter.Pass {
	return f.pairs(tensors).Pass(step.DType)
}

// Factors implements [factored.Form].
func (f form) Factors(tensors []*torch.Tensor, site adapter.Site) (in, out *torch.Tensor) {
	return f.pairs(tensors).Factors(site)
}
