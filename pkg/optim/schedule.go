package optim

import "fmt"

// Schedule is the learning rate over a run.
type Schedule struct {
	Peak   float64
	Warmup int // steps
	Total  int // steps
	Decay  bool
}

// NewSchedule reads the name of a schedule: "linear" rises from 0 over the
// warmup and falls to 0 at the end, "constant" stays at the peak after the
// warmup. warmup is the fraction of all steps, floored.
func NewSchedule(name string, peak, warmup float64, total int) (Schedule, error) {
	s := Schedule{Peak: peak, Warmup: int(warmup * float64(total)), Total: total}
	switch name {
	case "linear":
		s.Decay = true
	case "constant":
	default:
		return s, fmt.Errorf("schedule %q: there are linear and constant", name)
	}
	return s, nil
}

// LR is the learning rate of step s, counted from 0: peak·s/w for s < w, then
// peak·(S-s)/(S-w) of S steps with w of warmup.
func (s Schedule) LR(step int) float64 {
	switch {
	case step < s.Warmup:
		return s.Peak * float64(step) / float64(s.Warmup)
	case s.Decay:
		return s.Peak * float64(s.Total-step) / float64(s.Total-s.Warmup)
	}
	return s.Peak
}
