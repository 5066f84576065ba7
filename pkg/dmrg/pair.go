package dmrg

import (
	"fmt"
	"slices"

	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/tt"
)

// Open is x with cores b and b+1 as one tensor Θ (r_b, n_b, n_{b+1}, r_{b+2}),
// every other core an isometry towards it: a step of Θ is then a step of the
// tensor, of the same length, and its singular value decomposition the best
// split. It still is a tensor train, of rank n_{b+1}·r_{b+2} at bond b: core b is Θ seen
// as (r_b, n_b, n_{b+1}·r_{b+2}), core b+1 the constant identity.
func Open(x tt.Train, b int) (tt.Train, error) {
	if b < 0 || b >= x.Len()-1 {
		return tt.Train{}, fmt.Errorf("dmrg: a tensor train of %d cores has no pair %d", x.Len(), b)
	}
	cores := x.Canonical(b).Cores()
	left, right := cores[b], cores[b+1]
	n, r := right.Size(1), right.Size(2)
	torch.NoGrad(func() {
		cores[b] = left.Reshape(-1, left.Size(2)).MatMul(right.Reshape(right.Size(0), -1)).Reshape(left.Size(0), left.Size(1), n*r)
		cores[b+1] = torch.Eye(left.DType(), left.Device(), n*r, n*r).Reshape(n*r, n, r)
	})
	return tt.New(cores...)
}

// SplitOptions say at which rank an opened pair is split.
type SplitOptions struct {
	tt.Truncation // of the bond
	// Budget is the largest number of entries of all cores at the end of the sweep;
	// 0: no limit. Until then it only keeps a bond from what it could not have if
	// all others had rank 1: which bonds need their rank is known at the end.
	Budget int64
	// Last: the sweep ends with this pair. All bonds together are cut to Budget, as
	// in a canonical sweep, and the norm is balanced.
	Last    bool
	Balance Balance
	// Tol is how much the probe loss may rise: the smallest rank within it is
	// taken. 0 or a nil Probe: the largest legal rank.
	Tol   float64
	Probe func(tt.Train) (float64, error)
}

// Close splits pair b of a tensor train that [Open] made, the singular values on the
// given side. It returns the tensor train and the report of that one bond.
func Close(x tt.Train, b int, o SplitOptions, side tt.Side) (tt.Train, Report, error) {
	var report Report
	if b < 0 || b >= x.Len()-1 {
		return tt.Train{}, report, fmt.Errorf("dmrg: a tensor train of %d cores has no pair %d", x.Len(), b)
	}
	dims, ranks := x.Dims(), x.Ranks()
	full := o.Truncation
	bound := pairBound(dims, ranks, b)
	if full.MaxRank == 0 || full.MaxRank > bound {
		full.MaxRank = bound
	}
	if o.Budget > 0 {
		least := Entries(dims, nil) // all ranks 1
		each := dims[b] + dims[b+1] // entries of one more
		fits := max(1, 1+(o.Budget-least)/each)
		if fits < min(full.MinRank, full.MaxRank) {
			return tt.Train{}, report, fmt.Errorf("dmrg: budget %d: bond %d can have rank %d, and is to keep %d", o.Budget, b, fits, full.MinRank)
		}
		full.MaxRank = min(full.MaxRank, fits)
	}
	full.MinRank = min(full.MinRank, full.MaxRank)
	report.Norm = x.Norm()
	report.Skipped = report.Norm == 0 // nothing was learned: no rank is worse than another
	whole, split, err := x.SplitPair(b, full, side)
	if err != nil {
		return tt.Train{}, report, err
	}
	y := whole
	if o.Probe != nil && o.Tol > 0 && !report.Skipped {
		probe := &Probe{}
		if probe.Before, err = probed(o.Probe, x); err != nil {
			return tt.Train{}, report, err
		}
		if probe.After, err = probed(o.Probe, whole); err != nil {
			return tt.Train{}, report, err
		}
		// Between low, too small, and high, which fits or is the largest: by halves,
		// as the loss falls with the rank up to noise.
		low, high := max(0, full.MinRank-1), split.Kept
		for high-low > 1 {
			middle := low + (high-low)/2
			z, _, err := whole.SplitPair(b, tt.Truncation{MaxRank: middle}, side)
			if err != nil {
				return tt.Train{}, report, err
			}
			loss, err := probed(o.Probe, z)
			if err != nil {
				return tt.Train{}, report, err
			}
			if loss <= probe.Before+o.Tol {
				high, y, probe.After = middle, z, loss
			} else {
				low = middle
				probe.Undone++
			}
		}
		split.Discarded += tt.Weight(split.Spectrum[high:split.Kept])
		split.Kept = high
		report.Probe = probe
	}
	report.Bonds = unchanged(y)
	report.Bonds[b] = Bond{Spectrum: split.Spectrum, Before: x.Ranks()[b], After: split.Kept, Discarded: split.Discarded}
	if o.Last {
		if y, err = o.finished(y, &report); err != nil {
			return tt.Train{}, report, err
		}
	}
	report.Error, err = tt.Distance(x, y)
	return y, report, err
}

// finished is y at the end of a sweep, and what that did goes into the report.
func (o SplitOptions) finished(y tt.Train, report *Report) (tt.Train, error) {
	z, all, err := Sweep(y, Options{Mode: Canonical, Truncation: tt.Truncation{MinRank: o.MinRank}, Budget: o.Budget, Balance: o.Balance})
	if err != nil {
		return tt.Train{}, err
	}
	for b, bond := range all.Bonds {
		report.Bonds[b].After = bond.After
		report.Bonds[b].Discarded += bond.Discarded
	}
	if report.Probe != nil && !slices.Equal(y.Ranks(), z.Ranks()) {
		report.Probe.After, err = probed(o.Probe, z)
	}
	return z, err
}

// pairBound is the largest rank that bond b can have between its neighbours.
func pairBound(dims, ranks []int64, b int) int64 {
	left, right := int64(1), int64(1)
	if b > 0 {
		left = ranks[b-1]
	}
	if b+1 < len(ranks) {
		right = ranks[b+1]
	}
	return min(left*dims[b], dims[b+1]*right)
}
