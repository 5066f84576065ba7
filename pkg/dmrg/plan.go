package dmrg

import (
	"fmt"
	"math"
	"slices"

	"github.com/metatt/metatt/pkg/tt"
)

// Plan is when a run adapts ranks, and how.
type Plan struct {
	Mode     Mode
	At       []int // steps after which a sweep begins, rising; 0 is before the first
	Schedule Schedule
	Budget   int64   // entries of all cores after a sweep; 0: no limit
	Balance  Balance // after all truncation
	Moments  Moments
	Rewarm   int     // steps over which the learning rate of cores without moments rises
	Tol      float64 // rise of the probe loss at which a cut is undone; 0: not looked at

	// Of TwoSite: the steps of each pair, the length of a step of ΔW/α at the
	// peak of the learning rate, and the pair that the first sweep begins with.
	PairSteps  int
	PairLength float64
	Start      int

	Grow int64 // of Enrich: components added to each bond by all sweeps but the last
}

// NoPair is the pair of an event that has none.
const NoPair = -1

// Event is what is due after a step.
type Event struct {
	Step        int
	Sweep       int  // from 0
	Close, Open int  // of TwoSite: the pair that is split, and the one that is opened then
	Last        bool // of all
}

// Floor is the largest rank below which some sweep cuts no bond.
func (p Plan) Floor() int64 {
	return slices.Max(append([]int64{1}, p.Schedule.MinDim...))
}

// Check says what is wrong with a plan for a tensor train of so many bonds, that has so
// many entries at the least ranks that sweeps may leave, 1 or mindim, and a run of so many steps, if anything is.
func (p Plan) Check(bonds int, least int64, steps int) error {
	if !slices.Contains([]Mode{Canonical, Paper, TwoSite, Enrich, Restart}, p.Mode) {
		return fmt.Errorf("mode %q is none of %s, %s, %s, %s, %s", p.Mode, Canonical, Paper, TwoSite, Enrich, Restart)
	}
	if len(p.At) == 0 {
		return fmt.Errorf("at: no sweep is due in %d steps", steps)
	}
	if p.Budget > 0 && p.Budget < least {
		return fmt.Errorf("budget %d: with all ranks %d there are %d parameters", p.Budget, p.Floor(), least)
	}
	length := 0
	if p.Mode == TwoSite {
		if p.PairSteps < 1 || !(p.PairLength > 0) {
			return fmt.Errorf("pair_steps %d of length %g: both are above 0", p.PairSteps, p.PairLength)
		}
		length = bonds * p.PairSteps
	}
	for i, at := range p.At {
		if at < 0 || i > 0 && at < p.At[i-1]+max(1, length) {
			return fmt.Errorf("at: a sweep after step %d cannot follow one after step %d that takes %d steps", at, p.At[max(0, i-1)], length)
		}
		if at+length > steps {
			return fmt.Errorf("at: the sweep after step %d would end after step %d; the run has %d", at, at+length, steps)
		}
		if _, err := p.Schedule.Truncation(i); err != nil {
			return err
		}
	}
	if (p.Mode == TwoSite || p.Mode == Restart) && p.Moments == Transport {
		return fmt.Errorf("moments %s: mode %s begins with new ones; %s goes with it", Transport, p.Mode, Reset)
	}
	if p.Mode == Enrich && p.Grow < 1 {
		return fmt.Errorf("grow %d: mode %s adds a component or more", p.Grow, Enrich)
	}
	if p.Mode == Enrich && len(p.At) < 2 {
		return fmt.Errorf("at: mode %s needs two sweeps or more: the last one only truncates", Enrich)
	}
	if p.Mode == Enrich && p.Balance == Sqrt {
		return fmt.Errorf("balance %s: a component without weight has no root to share; %s or %s goes with mode %s", Sqrt, None, Scalar, Enrich)
	}
	return nil
}

// Events is all that is due, by step. bonds is d-1.
func (p Plan) Events(bonds int) []Event {
	var events []Event
	for s, at := range p.At {
		if p.Mode != TwoSite {
			events = append(events, Event{Step: at, Sweep: s, Close: NoPair, Open: NoPair})
			continue
		}
		order := p.order(s, bonds)
		pair := func(i int) int {
			if i < 0 || i == bonds {
				return NoPair
			}
			return order[i]
		}
		for i := range bonds + 1 {
			events = append(events, Event{Step: at + i*p.PairSteps, Sweep: s, Close: pair(i - 1), Open: pair(i)})
		}
	}
	if len(events) > 0 {
		events[len(events)-1].Last = true
	}
	return events
}

// order is the pairs of a two-site sweep. The first one goes from its start to the
// right end, and then through what is left of the start; each further one goes back
// from the end at which the last one ended.
func (p Plan) order(sweep, bonds int) []int {
	start := max(0, min(p.Start, bonds-1))
	pairs := make([]int, 0, bonds)
	for b := start; b < bonds; b++ {
		pairs = append(pairs, b)
	}
	for b := start - 1; b >= 0; b-- {
		pairs = append(pairs, b)
	}
	if sweep > 0 {
		slices.Sort(pairs)
		if (sweep%2 == 1) == (start == 0) {
			slices.Reverse(pairs)
		}
	}
	return pairs
}

// Side is where the singular values of a pair go that is split: to the pair that
// is opened next, or stays behind at the end of a sweep.
func (e Event) Side() tt.Side {
	if e.Open > e.Close || e.Open < 0 && e.Close > 0 {
		return tt.Right
	}
	return tt.Left
}

// PairRate is what a pair of so many entries multiplies its learning rate with at
// one of its steps, from 0: Adam moves every entry by about the rate, so that this
// makes a step of ΔW/α of PairLength, peak being the largest learning rate of the
// run. It rises over the first tenth of the pair's steps and falls to 0 at their
// end: Adam's noise is not to be split into components.
func (p Plan) PairRate(step int, entries int64, peak float64) float64 {
	warm := max(1, p.PairSteps/10)
	shape := min(float64(step+1)/float64(warm), float64(p.PairSteps-step)/float64(max(1, p.PairSteps-warm)))
	return p.PairLength * min(1, shape) / math.Sqrt(float64(entries)) / peak
}

// Sweep is the options of sweep s of a plan.
func (p Plan) Sweep(s int) (Options, error) {
	tr, err := p.Schedule.Truncation(s)
	o := Options{Mode: p.Mode, Truncation: tr, Budget: p.Budget, Balance: p.Balance, Tol: p.Tol}
	if p.Mode == Enrich {
		o.Mode, o.Balance = Canonical, None
	}
	return o, err
}
