package tt

import (
	"fmt"
	"math"
	"slices"

	"github.com/metatt/metatt/pkg/torch"
)

// Truncation says how many singular values of a bond are kept. The zero value
// keeps all.
type Truncation struct {
	MaxRank int64 // 0: no limit
	MinRank int64 // kept even where Cutoff or Error would drop it, as far as the bond has it
	// Cutoff is the largest share Σ discarded s² / Σ s² of one bond.
	Cutoff float64
	// Error is the largest ‖X − result‖ / ‖X‖ over all bonds together: each may
	// discard Error/√(d−1) (Oseledets 2011).
	Error float64
}

// Check says what is wrong with a truncation, if anything is.
func (tr Truncation) Check() error {
	switch {
	case tr.MaxRank < 0 || tr.MinRank < 0:
		return fmt.Errorf("truncation: ranks of %d to %d", tr.MinRank, tr.MaxRank)
	case tr.MaxRank > 0 && tr.MinRank > tr.MaxRank:
		return fmt.Errorf("truncation: at least %d but at most %d singular values", tr.MinRank, tr.MaxRank)
	case !(tr.Cutoff >= 0 && tr.Cutoff < 1):
		return fmt.Errorf("truncation: cutoff %v is not in [0, 1)", tr.Cutoff)
	case !(tr.Error >= 0 && tr.Error < 1):
		return fmt.Errorf("truncation: error %v is not in [0, 1)", tr.Error)
	}
	return nil
}

// Keep is how many of a bond's falling singular values stay, Error aside, which
// needs the norm of the tensor.
func (tr Truncation) Keep(s []float64) int64 { return int64(tr.keep(s, 0)) }

// keep is how many of a bond's falling singular values stay. discard is the
// weight Σ s² that Error lets this bond drop.
func (tr Truncation) keep(s []float64, discard float64) int {
	allowed := max(tr.Cutoff*Weight(s), discard)
	kept, dropped := len(s), 0.0
	for kept > 1 {
		dropped += s[kept-1] * s[kept-1]
		if dropped > allowed {
			break
		}
		kept--
	}
	if tr.Cutoff == 0 && discard == 0 {
		kept = len(s) // zeros too: the shape is then the caller's
	}
	kept = max(kept, min(int(tr.MinRank), len(s)))
	if tr.MaxRank > 0 {
		kept = min(kept, int(tr.MaxRank))
	}
	return kept
}

// Weight is Σ s², the square of the norm that singular values stand for.
func Weight(s []float64) (sum float64) {
	for _, value := range s {
		sum += value * value
	}
	return sum
}

// Report is what a truncation did.
type Report struct {
	Norm    float64     // ‖X‖ before
	Spectra [][]float64 // of each bond as it was when its turn came, falling
	Kept    []int64     // rank of each bond afterwards
	// Discarded is Σ s² dropped at each bond.
	Discarded []float64
	// Error is ‖X − result‖ = √Σ Discarded, as the truncations are orthogonal to
	// each other; what the cores' dtype rounds is not in it.
	Error float64
}

// Round truncates every bond, from the left: the train is right canonical, so
// that each bond's truncation is the best there is (Eckart–Young), and together
// they are within √(d−1) of the best train of these ranks. The result is left
// canonical.
func (t Train) Round(tr Truncation) (Train, Report, error) {
	return t.RoundEach(slices.Repeat([]Truncation{tr}, max(0, t.Len()-1)))
}

// RoundEach is [Train.Round] with a truncation for each bond. An Error is still
// that of all bonds together.
func (t Train) RoundEach(limits []Truncation) (Train, Report, error) {
	if t.Len() == 0 || len(limits) != t.Len()-1 {
		return Train{}, Report{}, fmt.Errorf("%d truncations, the train has %d bonds", len(limits), t.Len()-1)
	}
	for _, tr := range limits {
		if err := tr.Check(); err != nil {
			return Train{}, Report{}, err
		}
	}
	out := t.Canonical(0)
	bonds := t.Len() - 1
	report := Report{Kept: make([]int64, bonds), Discarded: make([]float64, bonds), Spectra: make([][]float64, bonds)}
	torch.NoGrad(func() { report.Norm = out.cores[0].Norm().Item() })
	if math.IsNaN(report.Norm) || math.IsInf(report.Norm, 0) {
		return Train{}, Report{}, fmt.Errorf("tensor train: its norm is %v: the entries are too large for %s", report.Norm, t.cores[0].DType())
	}
	var discarded float64
	torch.NoGrad(func() {
		for b := range bonds {
			q, r := leftQR(out.cores[b]) // r is small: the pair is never formed
			u, s, v := SVD(r)
			perBond := limits[b].Error * report.Norm / math.Sqrt(float64(bonds))
			kept := limits[b].keep(s, perBond*perBond)
			report.Spectra[b], report.Kept[b] = s, int64(kept)
			report.Discarded[b] = Weight(s[kept:])
			discarded += report.Discarded[b]
			s = s[:kept]
			u, v = u.Narrow(1, 0, int64(kept)), v.Narrow(1, 0, int64(kept))
			sv := scaleColumns(v, s).T() // = uᵀ r
			out = out.at(b, timesRight(q, u), timesLeft(sv, out.cores[b+1]), func() (x, y *torch.Tensor) {
				return scaleColumns(exact(v), inverses(s, precision(sv.DType()))), sv
			}).leftIsometry(b)
		}
	})
	if slices.EqualFunc(report.Spectra, report.Kept, func(s []float64, kept int64) bool { return int64(len(s)) == kept }) {
		out.schmidt = report.Spectra
	}
	report.Error = math.Sqrt(discarded)
	return out, report, nil
}

// FromDense is x (n_0 … n_{d-1}), fp32 or fp64, as a left canonical train
// (TT-SVD), truncated as [Train.Round] truncates.
func FromDense(x *torch.Tensor, tr Truncation) (Train, Report, error) {
	dims := x.Shape()
	if len(dims) == 0 {
		return Train{}, Report{}, fmt.Errorf("tensor train of a scalar")
	}
	var cores []*torch.Tensor
	torch.NoGrad(func() {
		// The exact train first, by QR, each bond at its bound; then rounding.
		rest := x.Detach().Contiguous()
		left := int64(1)
		for k, n := range dims {
			if k == len(dims)-1 {
				cores = append(cores, rest.Reshape(left, n, 1))
				return
			}
			q, r := rest.Reshape(left*n, -1).QR()
			cores = append(cores, q.Reshape(left, n, q.Size(1)))
			left, rest = q.Size(1), r
		}
	})
	t, err := New(cores...)
	if err != nil {
		return Train{}, Report{}, err
	}
	return t.Round(tr)
}
