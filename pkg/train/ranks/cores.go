package ranks

import (
	"github.com/metatt/metatt/pkg/dmrg"
	"github.com/metatt/metatt/pkg/train"
	"github.com/metatt/metatt/pkg/tt"
)

// adaptCores is what an event makes of an adapter that is one tensor train; nil: nothing.
func (h *Hook) adaptCores(e dmrg.Event, event *train.SweepEvent) (*replacement, error) {
	x, err := tt.New(h.cores.Cores()...)
	if err != nil {
		return nil, err
	}
	switch h.Mode {
	case dmrg.TwoSite:
		return h.nextPair(x, e, event)
	case dmrg.Restart:
		return h.replacement(x, h.Rewarm)
	}
	return h.sweep(x, e, event)
}

// sweep truncates all bonds, and grows them where the mode does.
func (h *Hook) sweep(x tt.Train, e dmrg.Event, event *train.SweepEvent) (*replacement, error) {
	o, err := h.Sweep(e.Sweep)
	if err != nil {
		return nil, err
	}
	if h.Moments == dmrg.Transport {
		x = x.Tracked()
	}
	o.Probe = h.probeLoss
	y, report, err := dmrg.Sweep(x, o)
	if err != nil {
		return nil, err
	}
	if h.Mode == dmrg.Enrich && !e.Last {
		var added []int64
		if y, added, err = dmrg.Enriched(y, dmrg.EnrichOptions{Grow: h.Grow, Gradient: h.coreGradient}); err != nil {
			return nil, err
		}
		for b := range report.Bonds {
			report.Bonds[b].After, report.Bonds[b].Added = y.Ranks()[b], added[b]
		}
	}
	if h.Mode == dmrg.Enrich { // growth begins and ends with a gauge of its own
		if y, err = dmrg.Balanced(y, h.Balance); err != nil {
			return nil, err
		}
	}
	event.Report = &report
	if report.Skipped && h.Mode != dmrg.Enrich {
		return nil, nil // nothing was changed, nor looked at
	}
	return h.replacement(y, h.Rewarm)
}

// nextPair splits the pair that was trained, and opens the next.
func (h *Hook) nextPair(x tt.Train, e dmrg.Event, event *train.SweepEvent) (*replacement, error) {
	if e.Close != dmrg.NoPair {
		o, err := h.Sweep(e.Sweep)
		if err != nil {
			return nil, err
		}
		split := dmrg.SplitOptions{Truncation: o.Truncation, Tol: o.Tol, Probe: h.probeLoss,
			Last: e.Open == dmrg.NoPair, Budget: o.Budget, Balance: o.Balance}
		var report dmrg.Report
		if x, report, err = dmrg.Close(x, e.Close, split, e.Side()); err != nil {
			return nil, err
		}
		event.Pair, event.Report = &e.Close, &report
	}
	if e.Open != dmrg.NoPair {
		x, err := dmrg.Open(x, e.Open)
		if err != nil {
			return nil, err
		}
		return h.replacement(x, 0) // a pair has a schedule of its own
	}
	return h.replacement(x, h.Rewarm)
}

// replacement is the cores of a tensor train, and moments that follow the gauges where it is
// tracked.
func (h *Hook) replacement(y tt.Train, rewarm int) (*replacement, error) {
	r := &replacement{tensors: y.Cores(), rewarm: rewarm}
	gauges := y.Gauges()
	if gauges == nil {
		return r, nil
	}
	var moments []dmrg.Moment
	for _, i := range h.places {
		first, second := h.Optimizer().Moments(i)
		weight1, weight2 := h.Optimizer().Weights(i)
		moments = append(moments, dmrg.Moment{First: first, Second: second, Weight1: weight1, Weight2: weight2})
	}
	moments, err := dmrg.Transported(gauges, moments)
	for _, m := range moments {
		r.first, r.second = append(r.first, m.First), append(r.second, m.Second)
	}
	return r, err
}
