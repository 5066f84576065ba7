package optim

import (
	"fmt"
	"math"
)

// Schedule is the learning rate over a run.
type Schedule struct {
	Peak   float64
	Warmup int // steps
	Total  int // steps
	Shape  Shape
}

// Shape is how the learning rate goes on after the warmup.
type Shape int

// The shapes: at the peak, in a line to 0, in half a cosine to 0.
const (
	Constant Shape = iota
	Linear
	Cosine
)

var shapes = map[string]Shape{"constant": Constant, "linear": Linear, "cosine": Cosine}

// NewSchedule reads the name of a schedule: all rise from 0 over the warmup;
// then "linear" and "cosine" fall to 0 at the end, "constant" stays at the peak.
// warmup is the fraction of all steps, floored.
func NewSchedule(name string, peak, warmup float64, total int) (Schedule, error) {
	shape, ok := shapes[name]
	if !ok {
		return Schedule{}, fmt.Errorf("schedule %q: there are linear, constant and cosine", name)
	}
	return Schedule{Peak: peak, Warmup: int(warmup * float64(total)), Total: total, Shape: shape}, nil
}

// LR is the learning rate of step s, counted from 0: peak·s/w for s < w, then
// of the rest p = (s-w)/(S-w), of S steps with w of warmup, peak·(1-p) or
// peak·(1+cos πp)/2.
func (s Schedule) LR(step int) float64 {
	if step < s.Warmup {
		return s.Peak * float64(step) / float64(s.Warmup)
	}
	switch s.Shape {
	case Linear:
		return s.Peak * float64(s.Total-step) / float64(s.Total-s.Warmup)
	case Cosine:
		return s.Peak * (1 + math.Cos(math.Pi*float64(step-s.Warmup)/float64(s.Total-s.Warmup))) / 2
	}
	return s.Peak
}
