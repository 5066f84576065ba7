package dmrg

import (
	"fmt"
	"math"
	"slices"

	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/tt"
)

// Mode is how ranks are adapted.
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
	// TwoSite trains one pair of neighbouring cores at a time as one tensor, all
	// others being isometries, and then splits it at the rank that it needs.
	TwoSite Mode = "two-site"
	// Enrich truncates canonically, and then adds to each bond the directions in
	// which the loss falls the most, without weight.
	Enrich Mode = "enrich"
	// Restart leaves the cores as they are: what else a sweep does, to the
	// optimizer, is then all. It is there to be compared with.
	Restart Mode = "restart"
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
	Spectrum []float64 `json:"spectrum,omitempty"` // before, falling: of the pair as the mode sees it
	Before   int64     `json:"before"`             // rank
	After    int64     `json:"after"`
	// Discarded is Σ s² dropped here, over both directions of the paper's sweep.
	Discarded float64 `json:"discarded"`
	// Added is how many of After's components are new, without weight yet.
	Added int64 `json:"added,omitempty"`
}

// Report is what a sweep did.
type Report struct {
	Norm  float64 `json:"norm"` // ‖X‖ before
	Bonds []Bond  `json:"bonds"`
	// Error is ‖X − result‖ but for rounding in the cores' dtype: of a canonical
	// sweep √Σ Discarded; of the paper's, whose singular values are not the
	// tensor's, from all that its splits dropped.
	Error float64 `json:"error"`
	// Skipped: X is zero, and every direction in its cores would be lost.
	Skipped bool `json:"skipped,omitempty"`
	// Probe is the loss on the probe batches; nil where it was not looked at.
	Probe *Probe `json:"probe,omitempty"`
}

// Probe is the loss on the probe batches before and after a sweep.
type Probe struct {
	Before float64 `json:"before"`
	After  float64 `json:"after"`
	// Undone is how many truncations raised the loss too far and were tried anew
	// with more rank.
	Undone int `json:"undone,omitempty"`
}

// Options are what a sweep may keep.
type Options struct {
	Mode Mode // Canonical or Paper
	tt.Truncation
	// Ranks is the largest rank of each bond, 1 or more, beside MaxRank; nil: no limit.
	Ranks []int64
	// Budget is the largest number of entries of all cores together; 0: no limit.
	// Bonds give up first what weighs the least for an entry saved.
	Budget  int64
	Balance Balance
	// Tol is how much the probe loss may rise; 0: it is not looked at. Where it
	// rises further, half of what was cut is kept, and so on, within the budget.
	Tol float64
	// Probe is the loss with those cores; nil: Tol is not looked at.
	Probe func(tt.Train) (float64, error)
	// Observe is told of every bond as it is truncated, twice of those that the
	// paper's sweep passes on its way back too, and again where a cut is undone;
	// nil: nobody is.
	Observe func(bond int, done Bond)
}

func (o Options) observe(b int, done Bond) {
	if o.Observe != nil {
		o.Observe(b, done)
	}
}

// Sweep truncates x and balances the result. Where x is zero, as before the
// first step of training, it is returned as it is. It runs inside [torch.Do].
func Sweep(x tt.Train, o Options) (tt.Train, Report, error) {
	y, report, err := truncate(x, o)
	if err != nil || report.Skipped {
		return y, report, err
	}
	if o.Probe != nil && o.Tol > 0 {
		if y, report, err = o.undone(x, y, report); err != nil {
			return tt.Train{}, report, err
		}
	}
	y, err = Balanced(y, o.Balance)
	return y, report, err
}

// undone is a truncation of x whose probe loss is no further above that of x than
// Tol: y, or one with more rank, or as much as there is room for in the budget.
func (o Options) undone(x, y tt.Train, report Report) (tt.Train, Report, error) {
	before, err := probed(o.Probe, x)
	if err != nil {
		return y, report, err
	}
	for undone := 0; ; undone++ {
		after, err := probed(o.Probe, y)
		if err != nil {
			return y, report, err
		}
		report.Probe = &Probe{Before: before, After: after, Undone: undone}
		more := halfway(report.Bonds)
		if after <= before+o.Tol || more == nil {
			return y, report, nil
		}
		o.Ranks, o.Truncation = more, tt.Truncation{}
		z, wider, err := truncate(x, o)
		if err != nil {
			return y, report, err
		}
		if !(wider.Error < report.Error) {
			return y, report, nil // neighbours or the budget allow nothing nearer to x
		}
		y, report = z, wider
	}
}

// probed is the loss, which must be a number.
func probed[T any](probe func(T) (float64, error), x T) (float64, error) {
	loss, err := probe(x)
	if err == nil && (math.IsNaN(loss) || math.IsInf(loss, 0)) {
		err = fmt.Errorf("dmrg: the probe loss is %v", loss)
	}
	return loss, err
}

// halfway is ranks between those after and those before a truncation, rounded
// up; nil where nothing was cut.
func halfway(bonds []Bond) []int64 {
	ranks, cut := make([]int64, len(bonds)), false
	for b, bond := range bonds {
		ranks[b] = bond.After + (bond.Before-bond.After+1)/2
		cut = cut || bond.After < bond.Before
	}
	if !cut {
		return nil
	}
	return ranks
}

func truncate(x tt.Train, o Options) (tt.Train, Report, error) {
	defer torch.OneThread()()
	if err := o.Check(); err != nil {
		return tt.Train{}, Report{}, err
	}
	if x.Len() == 0 {
		return tt.Train{}, Report{}, fmt.Errorf("dmrg: a tensor train of no cores")
	}
	if o.Ranks != nil && (len(o.Ranks) != x.Len()-1 || len(o.Ranks) > 0 && slices.Min(o.Ranks) < 1) {
		return tt.Train{}, Report{}, fmt.Errorf("dmrg: ranks %v, want one of 1 or more for each of %d bonds", o.Ranks, x.Len()-1)
	}
	var y tt.Train
	var report Report
	var err error
	switch o.Mode {
	case Canonical:
		y, report, err = canonical(x, o)
	case Paper:
		y, report, err = paper(x, o)
	default:
		err = fmt.Errorf("dmrg: mode %q is neither %s nor %s", o.Mode, Canonical, Paper)
	}
	if err != nil {
		return tt.Train{}, Report{}, err
	}
	if report.Norm == 0 {
		return x, Report{Skipped: true, Bonds: unchanged(x)}, nil
	}
	return y, report, nil
}

func unchanged(x tt.Train) []Bond {
	bonds := make([]Bond, x.Len()-1)
	for b, rank := range x.Ranks() {
		bonds[b] = Bond{Before: rank, After: rank}
	}
	return bonds
}

// limits is the largest rank of each bond, those of the budget among them; nil
// where there is none.
func (o Options) limits(x tt.Train) ([]int64, error) {
	if o.Budget == 0 {
		return o.Ranks, nil
	}
	spectra, err := x.Spectra()
	if err != nil {
		return nil, err
	}
	ranks := make([]int64, len(spectra))
	for b, s := range spectra {
		ranks[b] = o.at(b).Keep(s)
	}
	return withinBudget(x.Dims(), ranks, spectra, o.Budget, o.MinRank)
}

// at is the truncation of one bond.
func (o Options) at(b int) tt.Truncation {
	tr := o.Truncation
	if o.Ranks != nil && (tr.MaxRank == 0 || o.Ranks[b] < tr.MaxRank) {
		tr.MaxRank = o.Ranks[b]
		tr.MinRank = min(tr.MinRank, tr.MaxRank)
	}
	return tr
}

// bonds is the truncation of every bond.
func (o Options) bonds(x tt.Train) ([]tt.Truncation, error) {
	limits, err := o.limits(x)
	if err != nil {
		return nil, err
	}
	o.Ranks = limits
	all := make([]tt.Truncation, x.Len()-1)
	for b := range all {
		all[b] = o.at(b)
	}
	return all, nil
}

func canonical(x tt.Train, o Options) (tt.Train, Report, error) {
	before := unchanged(x)
	x = x.Canonical(0) // once, for the spectra that a budget looks at and for the truncation
	limits, err := o.bonds(x)
	if err != nil {
		return tt.Train{}, Report{}, err
	}
	y, r, err := x.RoundEach(limits)
	if err != nil {
		return y, Report{}, err
	}
	report := Report{Norm: r.Norm, Error: r.Error, Bonds: before}
	for b := range report.Bonds {
		bond := &report.Bonds[b]
		bond.Spectrum, bond.After, bond.Discarded = r.Spectra[b], r.Kept[b], r.Discarded[b]
		o.observe(b, *bond)
	}
	return y, report, nil
}

// paper goes right with G_k = U, G_{k+1} = S Vᵀ and back with G_k = U S,
// G_{k+1} = Vᵀ. The last pair is split once: the way back begins with the split
// that the way there ends with.
func paper(x tt.Train, o Options) (tt.Train, Report, error) {
	report := Report{Bonds: unchanged(x)}
	if o.Error != 0 {
		return x, report, fmt.Errorf("dmrg: mode %s has no bound on the error of all bonds together", Paper)
	}
	limits, err := o.bonds(x)
	if err != nil {
		return tt.Train{}, Report{}, err
	}
	if x.Len() == 1 {
		report.Norm = x.Norm()
		return x, report, nil
	}
	y := x
	pair := func(b int, side tt.Side) (split tt.Split, err error) {
		if y, split, err = y.SplitPair(b, limits[b], side); err != nil {
			return split, err
		}
		report.Bonds[b].After = split.Kept
		report.Bonds[b].Discarded += split.Discarded
		o.observe(b, Bond{Spectrum: split.Spectrum, Before: int64(len(split.Spectrum)), After: split.Kept, Discarded: split.Discarded})
		return split, nil
	}
	last := len(report.Bonds) - 1
	var middle tt.Split
	there, back := make([]tt.Split, last), make([]tt.Split, last) // by bond
	for b := range there {
		if there[b], err = pair(b, tt.Right); err != nil {
			return y, report, err
		}
		report.Bonds[b].Spectrum = there[b].Spectrum
	}
	if middle, err = pair(last, tt.Left); err != nil {
		return y, report, err
	}
	report.Bonds[last].Spectrum = middle.Spectrum
	for b := last - 1; b >= 0; b-- {
		if back[b], err = pair(b, tt.Left); err != nil {
			return y, report, err
		}
	}
	report.Norm, report.Error, err = paperError(there, middle, back)
	return y, report, err
}

// paperError is ‖x‖ and ‖x − y‖ of the paper's sweep. x − y is the sum of what
// the splits dropped. To the left of a pair all cores are isometries from the
// left, so that what one split of the way there dropped is orthogonal to what the
// next ones see, and from the last pair on those to the right are isometries too.
// Then a pair's singular values are the tensor's, and all parts are orthogonal
// but one of the way there to one dropped further left on the way back.
func paperError(there []tt.Split, middle tt.Split, back []tt.Split) (norm, distance float64, err error) {
	var lost float64 // of ‖x‖², until the sweep turns
	square := middle.Discarded
	for b, split := range there {
		square += back[b].Discarded
		if split.Dropped.Len() == 0 {
			continue
		}
		part := split.Dropped.Norm()
		lost += part * part
		for _, further := range back[:b] {
			if further.Dropped.Len() == 0 {
				continue
			}
			inner, err := tt.Inner(split.Dropped, further.Dropped)
			if err != nil {
				return 0, 0, err
			}
			square += 2 * inner
		}
	}
	norm = math.Sqrt(tt.Weight(middle.Spectrum) + lost)
	if math.IsNaN(norm) || math.IsInf(norm, 0) {
		return 0, 0, fmt.Errorf("dmrg: the tensor train's norm is %v", norm)
	}
	return norm, math.Sqrt(max(0, square+lost)), nil
}

// Balanced is y with its norm shared among the cores in that way.
func Balanced(y tt.Train, balance Balance) (tt.Train, error) {
	defer torch.OneThread()()
	switch balance {
	case None, "":
		return y, nil
	case Scalar:
		return y.EqualNorms(), nil
	case Sqrt:
		return y.Symmetric()
	}
	return y, fmt.Errorf("dmrg: balance %q is none of %s, %s, %s", balance, None, Scalar, Sqrt)
}
