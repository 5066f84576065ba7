package adapter

import "fmt"

// Fit is a spec within a budget of parameters.
type Fit struct {
	Spec  Spec
	Size  int   // the rank, or what the method moves in its place
	Count int64 // parameters, at most the budget
	// Bounded: the method has no larger legal size, whatever the budget.
	Bounded bool
}

// FitBudget is the spec with the largest rank whose adapter has at most budget
// parameters: how methods are compared at equal ones. A method whose smallest
// adapter is larger is an error, and so is one without a rank.
func FitBudget(m Method, spec Spec, budget int64) (Fit, error) {
	try := func(size int) (Fit, error) {
		f := Fit{Spec: m.At(spec, size), Size: size}
		if m.Count != nil {
			if f.Count = m.Count(f.Spec); f.Count > budget {
				return f, nil // nothing has to be made to know
			}
		}
		a, err := m.New(f.Spec)
		if err != nil {
			return f, err
		}
		defer a.Free()
		if len(a.Config().Ranks) == 0 {
			return f, fmt.Errorf("%s has no rank that a budget could move", m.Name)
		}
		if m.Count == nil {
			f.Count = Count(a.Parameters())
		}
		return f, nil
	}
	best, err := try(1)
	if err != nil {
		return best, err
	}
	if best.Count > budget {
		return best, fmt.Errorf("%s has at least %d parameters, the budget is %d", m.Name, best.Count, budget)
	}
	// Twice the size until it does not fit, then by halves. Counts rise with the
	// size, and so does what is illegal.
	low, high := 1, 2
	bounded := false // what does not fit, at the smallest size tried so far, is illegal
	fits := func(size int) bool {
		f, err := try(size)
		if err != nil || f.Count > budget {
			bounded = err != nil
			return false
		}
		best = f
		return true
	}
	for fits(high) {
		low, high = high, 2*high
	}
	for high-low > 1 {
		if middle := low + (high-low)/2; fits(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	best.Bounded = bounded // low + 1 was the last that did not fit
	return best, nil
}

// At is the spec at a size that a budget moves.
func (m Method) At(spec Spec, size int) Spec {
	if m.Sized != nil {
		return m.Sized(spec, size)
	}
	spec.Rank = size
	return spec
}
