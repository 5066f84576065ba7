package report

import (
	"slices"
	"testing"

	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/dmrg"
	"github.com/metatt/metatt/pkg/record"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/train"
)

// at is a group of that many parameters and best values.
func at(label string, parameters float64, values ...float64) *Group {
	return &Group{Label: label, Adapter: Sample{Values: []float64{parameters}}, Head: Sample{Values: []float64{0}}, Metrics: []Metric{{Name: "accuracy", Best: Sample{Values: values}}}}
}

// A group is on the front where none has fewer parameters and is as good, or is better with
// as many; of the same two, both are.
func TestParetoFront(t *testing.T) {
	groups := []*Group{
		at("large", 1000, 0.9), at("dominated", 500, 0.7), at("small", 100, 0.7), at("twin", 100, 0.7), at("same size", 100, 0.6),
		at("middle", 500, 0.8), at("nothing trained", 0, 0.95), at("undefined", 50),
	}
	var front, all []string
	for _, p := range pareto(groups) {
		all = append(all, p.group.Label)
		if p.front {
			front = append(front, p.group.Label)
		}
	}
	if !slices.Equal(front, []string{"small", "twin", "middle", "large"}) || len(all) != 6 {
		t.Errorf("front %q of %q", front, all)
	}
}

// Losses are means over stretches of steps, the last of which may be short.
func TestStretches(t *testing.T) {
	m := member{Run: &record.Run{}}
	for i, loss := range []float32{1, 2, 3, 5, 7, 9, 11} {
		m.Steps = append(m.Steps, train.StepEvent{Step: i + 1, Loss: loss})
	}
	got := stretches(m, 3)
	if len(got) != 3 || got[3] != 2 || got[6] != 7 || got[7] != 11 {
		t.Errorf("%v", got)
	}
	if got = stretches(m, 1); len(got) != 7 || got[7] != 11 {
		t.Errorf("%v", got)
	}
}

// sweeping is a run whose ranks fall from 4 and 3 to 2 and 1 at steps 5 and 10 of 12.
func sweeping(seed int, after int64) member {
	r := &record.Run{Config: &config.Config{}, Summary: &run.Summary{Seed: seed, Method: "metatt4d"}}
	for step := range 12 {
		r.Steps = append(r.Steps, train.StepEvent{Step: step + 1, Loss: 1})
	}
	bonds := func(b ...dmrg.Bond) *dmrg.Report { return &dmrg.Report{Bonds: b} }
	r.Sweeps = []train.SweepEvent{
		{Step: 5, Sweep: 1, Ranks: []int64{3, 3}, Report: bonds(dmrg.Bond{Before: 4, After: 3, Spectrum: []float64{4, 2, 1, 0}}, dmrg.Bond{Before: 3, After: 3, Spectrum: []float64{3, 2, 1}})},
		{Step: 10, Sweep: 2, Ranks: []int64{after, 1}, Report: bonds(dmrg.Bond{Before: 3, After: after, Spectrum: []float64{5, 2, 1}}, dmrg.Bond{Before: 3, After: 1, Spectrum: []float64{3, 0.1, 0.1}})},
	}
	return member{Run: r}
}

// Ranks hold from a sweep to the next, from the start to the end of the run.
func TestRankCurves(t *testing.T) {
	g := &Group{Task: "MRPC", Label: "swept", runs: []member{sweeping(1, 2), sweeping(2, 3)}}
	curves := rankCurves(g)
	if len(curves) != 2 || !slices.Equal(curves[0].steps(), []int{0, 5, 10, 12}) {
		t.Fatalf("%v", curves)
	}
	for i, step := range curves[0].steps() {
		if one, other := curves[0][step].Mean(), curves[1][step].Mean(); one != []float64{4, 3, 2.5, 2.5}[i] || other != []float64{3, 3, 1, 1}[i] {
			t.Errorf("step %d: %v, %v", step, one, other)
		}
	}
	ranks, err := rankFigure(g)
	if err != nil || len(ranks.Data.Rows) != 4 || len(ranks.legend) != 2 {
		t.Errorf("%+v (%v)", ranks, err)
	}
	spectra, err := spectrumFigure(g)
	if err != nil || len(spectra.panels) != 2 || len(spectra.Data.Rows) != 4 || spectra.Data.Rows[0][2] != "4 2 1 0" {
		t.Errorf("%+v (%v)", spectra, err)
	}
	if svg, err := spectra.inline(); err != nil || svg == "" {
		t.Error(err)
	}
	if none, err := rankFigure(&Group{runs: []member{{Run: &record.Run{Summary: &run.Summary{}}}}}); none != nil || err != nil {
		t.Errorf("of a run without sweeps: %+v (%v)", none, err)
	}
}

// Of a two-site sweep the spectrum is the split pair's bond.
func TestSpectraOfPairs(t *testing.T) {
	pair := 1
	m := member{Run: &record.Run{Sweeps: []train.SweepEvent{
		{Step: 3, Ranks: []int64{4, 4}}, {Step: 6, Ranks: []int64{4, 2}, Pair: &pair, Report: &dmrg.Report{Bonds: []dmrg.Bond{{Spectrum: []float64{2, 1}}}}},
	}}}
	if of := spectraOf(m); len(of) != 1 || len(of[1]) != 1 || of[1][0].step != 6 {
		t.Errorf("%v", of)
	}
}
