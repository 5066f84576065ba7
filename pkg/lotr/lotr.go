// Package lotr implements LoTR (arXiv 2402.01376): right and left multipliers
// that all adapted matrices share, and a small core for each of them.
package lotr

import (
	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/adapter/factored"
)

func init() {
	factored.Register(adapter.Method{
		Name: "lotr", PEFTType: "LOTR", Modes: []string{"in", "layer", "matrix", "out"}, DefaultAlpha: 16,
		Summary: "ΔW[l,m] = (α/r) R M[l,m] L; 2Dr + LMr²; arXiv 2402.01376",
	}, plan)
}

// plan is LoTR for x (tokens, D), R (D, r), L (r, D):
//
//	y = x Wᵀ + b + (α/r) x R M[l,m] L
func plan(s factored.Settings) (factored.Form, error) {
	blocks, err := factored.NewBlocks(s.Architecture, s.Targets)
	if err != nil {
		return nil, err
	}
	return factored.Cores{
		Blocks: blocks, Layers: int64(s.Architecture.Layers), Rank: s.Rank, Scale: s.Alpha / float64(s.Rank),
		In: factored.Normal(0, 1), Middle: factored.Zero, Out: factored.Normal(0, 1),
	}, blocks.RankLimit().Check("rank", s.Rank)
}
