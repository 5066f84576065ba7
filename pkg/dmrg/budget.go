package dmrg

import (
	"fmt"
	"math"
	"slices"
)

// withinBudget lowers ranks, which are those of the spectra or less, until the
// cores have at most budget entries: each time by the singular value that weighs
// the least, s², for an entry saved. None falls below least.
func withinBudget(dims, ranks []int64, spectra [][]float64, budget, least int64) ([]int64, error) {
	ranks = slices.Clone(ranks)
	at := func(b int) int64 { // rank of bond b, the ends' among them
		if b < 0 || b == len(ranks) {
			return 1
		}
		return ranks[b]
	}
	for {
		entries := Entries(dims, ranks)
		if entries <= budget {
			return ranks, nil
		}
		best, lowest := -1, math.Inf(1)
		for b, rank := range ranks {
			if rank <= max(1, least) {
				continue
			}
			s := spectra[b][rank-1]
			saved := at(b-1)*dims[b] + dims[b+1]*at(b+1)
			if weight := s * s / float64(saved); weight < lowest {
				best, lowest = b, weight
			}
		}
		if best < 0 {
			return nil, fmt.Errorf("dmrg: budget %d: the tensor train has %d entries at ranks of %d", budget, entries, max(1, least))
		}
		ranks[best]--
	}
}

// Entries is the number of entries of a tensor train of those dimensions and ranks, of
// which those that are left out are 1.
func Entries(dims, ranks []int64) int64 {
	var n int64
	left := int64(1)
	for k, d := range dims {
		right := int64(1)
		if k < len(ranks) {
			right = ranks[k]
		}
		n += left * d * right
		left = right
	}
	return n
}
