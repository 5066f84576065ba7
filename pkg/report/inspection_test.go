package report_test

import (
	"bytes"
	"image/png"
	"testing"

	"github.com/metatt/metatt/pkg/inspect"
	"github.com/metatt/metatt/pkg/report"
)

func TestPlotInspection(t *testing.T) {
	i, err := inspect.Adapter(inspect.Options{Dir: "../run/testdata/start-all"})
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*inspect.Inspection){
		"as it is":        func(*inspect.Inspection) {},
		"no tensor train": func(i *inspect.Inspection) { i.Spectra = nil },
		"no updates":      func(i *inspect.Inspection) { i.Deltas = nil },
		"zero": func(i *inspect.Inspection) {
			i.Spectra = [][]float64{{0}, {0}, {0}}
			i.Deltas = [][]float64{{0, 0, 0, 0, 0, 0}}
		},
	} {
		changed := *i
		change(&changed)
		var picture bytes.Buffer
		if err := report.PlotInspection(&picture, &changed); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := png.Decode(&picture); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := report.PlotInspection(&bytes.Buffer{}, &inspect.Inspection{}); err == nil {
		t.Error("nothing to plot: no error")
	}
}
