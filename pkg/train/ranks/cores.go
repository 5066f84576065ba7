package ranks

import (
	"github.com/metatt/metatt/pkg/dmrg"
	"github.com/metatt/metatt/pkg/optim"
	"github.com/metatt/metatt/pkg/train"
	"github.com/metatt/metatt/pkg/tt"
)

// adaptCores does what an event says to an adapter that is one tensor train.
func (h *Hook) adaptCores(e dmrg.Event, event *train.SweepEvent) error {
	x, err := tt.New(h.cores.Cores()...)
	if err != nil {
		return err
	}
	switch h.Mode {
	case dmrg.TwoSite:
		return h.nextPair(x, e, event)
	case dmrg.Restart:
		return h.replaceCores(x, h.Rewarm)
	}
	return h.sweep(x, e, event)
}

// sweep truncates all bonds, and grows them where the mode does.
func (h *Hook) sweep(x tt.Train, e dmrg.Event, event *train.SweepEvent) error {
	o, err := h.Sweep(e.Sweep)
	if err != nil {
		return err
	}
	if h.Moments == dmrg.Transport {
		x = x.Tracked()
	}
	o.Probe = h.probeLoss
	y, report, err := dmrg.Sweep(x, o)
	if err != nil {
		return err
	}
	if h.Mode == dmrg.Enrich && !e.Last {
		var added []int64
		if y, added, err = dmrg.Enriched(y, dmrg.EnrichOptions{Grow: h.Grow, Gradient: h.coreGradient}); err != nil {
			return err
		}
		for b := range report.Bonds {
			report.Bonds[b].After, report.Bonds[b].Added = y.Ranks()[b], added[b]
		}
	}
	if h.Mode == dmrg.Enrich { // growth begins and ends with a gauge of its own
		if y, err = dmrg.Balanced(y, h.Balance); err != nil {
			return err
		}
	}
	event.Report = &report
	if report.Skipped && h.Mode != dmrg.Enrich {
		return nil // nothing was changed, nor looked at
	}
	return h.replaceCores(y, h.Rewarm)
}

// nextPair splits the pair that was trained, and opens the next.
func (h *Hook) nextPair(x tt.Train, e dmrg.Event, event *train.SweepEvent) error {
	if e.Close != dmrg.NoPair {
		o, err := h.Sweep(e.Sweep)
		if err != nil {
			return err
		}
		split := dmrg.SplitOptions{Truncation: o.Truncation, Tol: o.Tol, Probe: h.probeLoss,
			Last: e.Open == dmrg.NoPair, Budget: o.Budget, Balance: o.Balance}
		var report dmrg.Report
		if x, report, err = dmrg.Close(x, e.Close, split, e.Side()); err != nil {
			return err
		}
		event.Pair, event.Report = &e.Close, &report
	}
	if e.Open != dmrg.NoPair {
		x, err := dmrg.Open(x, e.Open)
		if err != nil {
			return err
		}
		return h.replaceCores(x, 0) // a pair has a schedule of its own
	}
	return h.replaceCores(x, h.Rewarm)
}

// replaceCores gives the adapter other cores and lets the optimizer follow: with
// the gauges of a tracked train, else from zero moments, the learning rate rising
// over rewarm steps.
func (h *Hook) replaceCores(y tt.Train, rewarm int) error {
	var moments []dmrg.Moment
	if gauges := y.Gauges(); gauges != nil {
		for _, i := range h.places {
			first, second := h.Optimizer().Moments(i)
			weight1, weight2 := h.Optimizer().Weights(i)
			moments = append(moments, dmrg.Moment{First: first, Second: second, Weight1: weight1, Weight2: weight2})
		}
		var err error
		if moments, err = dmrg.Transported(gauges, moments); err != nil {
			return err
		}
	}
	if err := h.cores.SetCores(y.Cores()); err != nil {
		return err
	}
	changes := map[int]optim.Change{}
	for k, i := range h.places {
		changes[i] = optim.Change{Rewarm: int64(rewarm)}
		if moments != nil {
			changes[i] = optim.Change{First: moments[k].First, Second: moments[k].Second}
		}
	}
	h.Replaced(changes)
	return nil
}
