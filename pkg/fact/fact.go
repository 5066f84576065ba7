// Package fact implements FacT (arXiv 2212.03145), factor-tuning: the updates of
// all adapted D×D blocks are one tensor with shared outer factors U (D, r) and
// V (r, D),
//
//	y = x Wᵀ + b + α x U Σ[l,m] V    for x (tokens, D),
//
// where Σ[l,m] is a matrix for each block (FacT-TT) or a mixture of the slices
// of one Tucker core (FacT-TK).
package fact

import (
	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/adapter/factored"
)

func init() {
	modes := []string{"in", "layer", "matrix", "out"}
	factored.Register(adapter.Method{
		Name: "fact-tt", PEFTType: "FACT_TT", Modes: modes,
		Summary: "ΔW[l,m] = α U Σ[l,m] V; 2Dr + LMr²; arXiv 2212.03145",
	}, planTrain)
	factored.Register(adapter.Method{
		Name: "fact-tk", PEFTType: "FACT_TK", Modes: modes,
		Summary: "ΔW[l,m] = α U (C ×₃ p[l,m]) V; 2Dr + r³ + LMr; arXiv 2212.03145",
	}, planTucker)
}

// planTrain is FacT-TT: Σ itself is trained. V is zero; U and Σ begin as
// PyTorch's linear layers do, which the reference makes them of.
func planTrain(s factored.Settings) (factored.Form, error) {
	blocks, err := factored.NewBlocks(s.Architecture, s.Targets)
	if err != nil {
		return nil, err
	}
	return factored.Cores{
		Blocks: blocks, Layers: int64(s.Architecture.Layers), Rank: s.Rank, Scale: s.Alpha,
		In: factored.Kaiming(blocks.Width), Middle: factored.Kaiming(s.Rank), Out: factored.Zero,
	}, blocks.RankLimit().Check("rank", s.Rank)
}
