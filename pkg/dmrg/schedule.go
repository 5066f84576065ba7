// Package dmrg adapts the ranks of a tensor train between epochs of training, by
// sweeps over its bonds (White 1992; for MetaTT arXiv 2506.09105). It knows no
// method by name and computes with [tt.Train] alone.
package dmrg

import (
	"fmt"

	"github.com/metatt/metatt/pkg/tt"
)

// Schedule says how each sweep truncates. Sweep s takes element s of a list,
// the last one where there is none; an empty list sets no limit. The names are
// those of ITensorMPS.
type Schedule struct {
	MaxDim []int64   // largest rank of a bond; 0: no limit
	MinDim []int64   // rank that is kept whatever the cutoff
	Cutoff []float64 // largest Σ discarded s² / Σ s² of a bond
}

// Truncation is what sweep s, counted from 0, does at each bond.
func (s Schedule) Truncation(sweep int) (tt.Truncation, error) {
	if sweep < 0 {
		return tt.Truncation{}, fmt.Errorf("dmrg: sweep %d", sweep)
	}
	t := tt.Truncation{MaxRank: at(s.MaxDim, sweep), MinRank: at(s.MinDim, sweep), Cutoff: at(s.Cutoff, sweep)}
	return t, t.Check()
}

func at[T any](list []T, i int) (value T) {
	if len(list) > 0 {
		value = list[min(i, len(list)-1)]
	}
	return value
}
