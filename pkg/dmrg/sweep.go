package dmrg

import (
	"fmt"
	"math"

	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/tt"
)

// Mode is how a sweep truncates.
type Mode string

const (
	// Canonical orthogonalises from the right first, so that each bond's
	// truncation is the best there is (tt.Round).
	Canonical Mode = "canonical"
	// Paper is the sweep of arXiv 2506.09105: to the right and back, each pair of
	// cores is multiplied and split again by a truncated singular value
	// decomposition, without orthogonalising before. What a bond keeps depends on
	// the gauge that training has left.
	Paper Mode = "paper"
)

// Balance is how the norm of the tensor is shared among the cores afterwards. It
// leaves the tensor as it is.
type Balance string

const (
	// None leaves the norm where the sweep puts it: in the last core of a
	// canonical sweep, in the first of the paper's.
	None Balance = "none"
	// Scalar gives all cores the same norm, by a factor each.
	Scalar Balance = "scalar"
	// Sqrt gives the root of each bond's singular values to either side.
	Sqrt Balance = "sqrt"
)

// Bond is what a sweep did at one bond.
type Bond struct {
	Spectrum []float64 `json:"spectrum"` // before, falling: of the pair as the mode sees it
	Before   int64     `json:"before"`   // rank
	After    int64     `json:"after"`
	// Discarded is Σ s² dropped here, over both directions of the paper's sweep.
	Discarded float64 `json:"discarded"`
}

// Report is what a sweep did.
type Report struct {
	Norm  float64 `json:"norm"` // ‖X‖ before
	Bonds []Bond  `json:"bonds"`
	// Error is ‖X − result‖: of a canonical sweep √Σ Discarded; of the paper's,
	// whose truncations are not orthogonal, computed from both trains.
	Error float64 `json:"error"`
	// Skipped: X is zero, and every direction in its cores would be lost.
	Skipped bool `json:"skipped,omitempty"`
}

// Sweep truncates x and balances the result. Where x is zero, as before the
// first step of training, it is returned as it is. It runs inside [torch.Do].
func Sweep(x tt.Train, mode Mode, tr tt.Truncation, balance Balance) (tt.Train, Report, error) {
	var y tt.Train
	var report Report
	var err error
	if err := tr.Check(); err != nil {
		return y, report, err
	}
	switch mode {
	case Canonical:
		y, report, err = canonical(x, tr)
	case Paper:
		y, report, err = paper(x, tr)
	default:
		err = fmt.Errorf("dmrg: mode %q is neither %s nor %s", mode, Canonical, Paper)
	}
	if err != nil {
		return tt.Train{}, Report{}, err
	}
	if report.Norm == 0 {
		return x, Report{Skipped: true, Bonds: unchanged(x)}, nil
	}
	y, err = balanced(y, balance)
	return y, report, err
}

func unchanged(x tt.Train) []Bond {
	bonds := make([]Bond, x.Len()-1)
	for b, rank := range x.Ranks() {
		bonds[b] = Bond{Before: rank, After: rank}
	}
	return bonds
}

func canonical(x tt.Train, tr tt.Truncation) (tt.Train, Report, error) {
	y, r, err := x.Round(tr)
	if err != nil {
		return y, Report{}, err
	}
	report := Report{Norm: r.Norm, Error: r.Error, Bonds: unchanged(x)}
	for b := range report.Bonds {
		bond := &report.Bonds[b]
		bond.Spectrum, bond.After, bond.Discarded = r.Spectra[b], r.Kept[b], r.Discarded[b]
	}
	return y, report, nil
}

// paper goes right with G_k = U, G_{k+1} = S Vᵀ and back with G_k = U S,
// G_{k+1} = Vᵀ.
func paper(x tt.Train, tr tt.Truncation) (tt.Train, Report, error) {
	report := Report{Norm: x.Norm(), Bonds: unchanged(x)}
	switch {
	case math.IsNaN(report.Norm) || math.IsInf(report.Norm, 0):
		return x, report, fmt.Errorf("dmrg: the train's norm is %v", report.Norm)
	case report.Norm == 0:
		return x, report, nil
	}
	y := x
	pair := func(b int, side tt.Side, first bool) (err error) {
		var split tt.Split
		if y, split, err = y.SplitPair(b, tr, side); err != nil {
			return err
		}
		bond := &report.Bonds[b]
		if first {
			bond.Spectrum = split.Spectrum
		}
		bond.After = split.Kept
		bond.Discarded += split.Discarded
		return nil
	}
	for b := range report.Bonds {
		if err := pair(b, tt.Right, true); err != nil {
			return y, report, err
		}
	}
	for b := len(report.Bonds) - 1; b >= 0; b-- {
		if err := pair(b, tt.Left, false); err != nil {
			return y, report, err
		}
	}
	var err error
	report.Error, err = tt.Distance(x, y)
	return y, report, err
}

// balanced shares the norm among the cores.
func balanced(y tt.Train, balance Balance) (tt.Train, error) {
	switch balance {
	case None, "":
		return y, nil
	case Scalar:
		return scalarBalanced(y)
	case Sqrt:
		return y.Symmetric()
	}
	return y, fmt.Errorf("dmrg: balance %q is none of %s, %s, %s", balance, None, Scalar, Sqrt)
}

func scalarBalanced(y tt.Train) (tt.Train, error) {
	cores := y.Cores()
	norms := make([]float64, len(cores))
	var logs float64
	torch.NoGrad(func() {
		for k, core := range cores {
			norms[k] = core.Norm().Item()
			logs += math.Log(norms[k])
		}
		mean := math.Exp(logs / float64(len(cores)))
		for k, core := range cores {
			cores[k] = core.MulScalar(mean / norms[k])
		}
	})
	return tt.New(cores...)
}
