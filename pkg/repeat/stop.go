package repeat

import (
	"github.com/metatt/metatt/pkg/record"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/train"
)

// stopper stops a run where the record of another ends: after as many events of its last step as that has.
type stopper struct {
	run.Observer
	last, left int
	stop       func()
}

func newStopper(o run.Observer, r *record.Run, stop func()) *stopper {
	s := &stopper{Observer: o, last: r.Last(), stop: stop}
	for _, e := range r.Steps {
		s.count(e.Step)
	}
	for _, e := range r.Evals {
		s.count(e.Step)
	}
	for _, e := range r.Sweeps {
		s.count(e.Step)
	}
	return s
}

func (s *stopper) count(step int) {
	if step == s.last {
		s.left++
	}
}

// seen is told of an event. On a device, the run is some steps ahead of it.
func (s *stopper) seen(step int) {
	if step == s.last {
		s.left--
	}
	if s.left <= 0 || step > s.last {
		s.stop()
	}
}

// Step implements [train.Observer].
func (s *stopper) Step(i train.StepInfo) { s.Observer.Step(i); s.seen(i.Step) }

// Eval implements [train.Observer].
func (s *stopper) Eval(i train.EvalInfo) { s.Observer.Eval(i); s.seen(i.Step) }

// Sweep implements [train.Observer].
func (s *stopper) Sweep(i train.SweepInfo) { s.Observer.Sweep(i); s.seen(i.Step) }
