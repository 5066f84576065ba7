package report_test

import (
	"bytes"
	"image/png"
	"testing"

	"github.com/metatt/metatt/pkg/report"
	"github.com/metatt/metatt/pkg/run"
)

func TestPlotInspection(t *testing.T) {
	i, err := run.Inspect(run.InspectOptions{Dir: "../run/testdata/start-all"})
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*run.Inspection){
		"as it is":   func(*run.Inspection) {},
		"no train":   func(i *run.Inspection) { i.Spectra = nil },
		"no updates": func(i *run.Inspection) { i.Deltas = nil },
		"zero": func(i *run.Inspection) {
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
	if err := report.PlotInspection(&bytes.Buffer{}, &run.Inspection{}); err == nil {
		t.Error("nothing to plot: no error")
	}
}
