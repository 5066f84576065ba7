// Package loretta implements LoRETTA (arXiv 2402.11417). LoRETTA-rep is LoRA
// whose factors are tensor trains.
package loretta

import (
	"fmt"
	"slices"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/adapter/factored"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/tt"
)

func init() {
	factored.Register(factored.WithTensorTrains(adapter.Method{
		Name: "loretta-rep", PEFTType: "LORETTA_REP", DefaultAlpha: 16, // as LoRA's at rank 8
		Summary: "ΔW = (α/r) A B, A a tensor train over factors(Din) and r, B over r and factors(Dout), for each matrix; " +
			"Σ r_k n_k r_{k+1}; arXiv 2402.11417, without its trained norms and TT classifier",
	}), planRep)
}

// defaultTTRank is the reference's rank of the tensor trains.
const defaultTTRank = 5

// rep is LoRETTA-rep: for each matrix
//
//	y = x Wᵀ + b + (α/r) x A B    for x (tokens, Din), A (Din, r), B (r, Dout),
//
// with A a tensor train of the modes factors(Din), r and B one of the modes r,
// factors(Dout) in falling order: A's mirror image where Din = Dout.
type rep struct {
	sites []halves // by target
	rank  int64
	scale float64
}

// halves is the two tensor trains of one target, of all layers.
type halves struct {
	kind    adapter.Kind
	in, out int64
	a, b    factored.TensorTrain
}

func planRep(s factored.Settings) (factored.Form, error) {
	f := rep{rank: s.Rank, scale: s.Alpha / float64(s.Rank)}
	var limit, ttLimit factored.Limit
	for _, kind := range s.Targets {
		site := s.Architecture.Site(0, kind)
		limit.Lower(min(site.In, site.Out), fmt.Sprintf("target %s of %d × %d", kind, site.In, site.Out))
		falling := tt.Factors(site.Out)
		slices.Reverse(falling)
		tensorTrain := func(name string, modes []int64) factored.TensorTrain {
			ttLimit.Lower(tt.LargestRank(modes), fmt.Sprintf("target %s with modes %v", kind, modes))
			return factored.TensorTrain{Name: kind.String() + "." + name, Layers: int64(s.Architecture.Layers), Left: 1, Right: 1, Modes: modes}
		}
		f.sites = append(f.sites, halves{
			kind: kind, in: site.In, out: site.Out,
			a: tensorTrain("a", append(tt.Factors(site.In), s.Rank)),
			b: tensorTrain("b", append([]int64{s.Rank}, falling...)),
		})
	}
	if err := limit.Check("rank", s.Rank); err != nil {
		return nil, err
	}
	if s.TTRank == 0 {
		s.TTRank = min(defaultTTRank, ttLimit.Largest)
	}
	for i := range f.sites {
		f.sites[i].a.Rank, f.sites[i].b.Rank = s.TTRank, s.TTRank
	}
	if s.TTRank < 1 {
		return nil, fmt.Errorf("tt_rank %d: it is at least 1", s.TTRank)
	}
	return f, ttLimit.Check("tt_rank", s.TTRank)
}

// Leaves implements [factored.Form]. A and B begin with the variance of LoRA's
// Kaiming start, but for B's last core: it is zero. (The reference's update is
// not zero at the start.)
func (f rep) Leaves() []factored.Leaf {
	var leaves []factored.Leaf
	for _, t := range f.sites {
		leaves = append(leaves, t.a.Leaves(factored.KaimingVariance(t.in))...)
		leaves = append(leaves, factored.ZeroLast(t.b.Leaves(factored.KaimingVariance(f.rank)))...)
	}
	return leaves
}

// Stacks implements [factored.Stacked].
func (f rep) Stacks() []int {
	var lengths []int
	for _, t := range f.sites {
		lengths = append(lengths, len(t.a.Modes), len(t.b.Modes))
	}
	return lengths
}

// TTRank implements [factored.TTRanked].
func (f rep) TTRank() int64 { return f.sites[0].a.Rank }

// pairs is the update of every matrix, in fp32. The first core of B, (r, t) for
// the TT rank t ≤ r, is multiplied into A: tokens then go through t numbers and
// not r. The tensor trains of all layers are multiplied out together.
func (f rep) pairs(tensors []*torch.Tensor) factored.Pairs {
	pairs := factored.Pairs{}
	for _, t := range f.sites {
		na, nb := len(t.a.Modes), len(t.b.Modes)
		a := tt.Contract(tensors[:na]).Reshape(-1, t.in, f.rank)
		pairs[t.kind] = factored.Pair{
			In:  a.MatMul(tensors[na].Reshape(-1, f.rank, t.b.Rank)).MulScalar(f.scale), // (L, Din, r) x (L, r, t)
			Out: tt.Contract(tensors[na+1:na+nb]).Reshape(-1, t.b.Rank, t.out),
		}
		tensors = tensors[na+nb:]
	}
	return pairs
}

// Begin implements [factored.Form].
func (f rep) Begin(tensors []*torch.Tensor, step adapter.Step) adapter.Pass {
	return f.pairs(tensors).Pass(step.DType)
}

// Factors implements [factored.Form].
func (f rep) Factors(tensors []*torch.Tensor, site adapter.Site) (in, out *torch.Tensor) {
	return f.pairs(tensors).Factors(site)
}
