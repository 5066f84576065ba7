package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/metatt/metatt/pkg/dmrg"
	"github.com/metatt/metatt/pkg/train"
)

func TestSweepLines(t *testing.T) {
	bonds := []dmrg.Bond{
		{Spectrum: []float64{3.6712, 1.2e-5, 1.1e-5, 1.05e-5, 9e-6, 1e-9}, Before: 128, After: 6, Discarded: 1.234e-10, Added: 2},
		{Before: 4, After: 4},
		{Spectrum: []float64{3, 2}, Before: 2, After: 1, Discarded: 4},
	}
	for name, c := range map[string]struct {
		info train.SweepInfo
		want string
	}{
		"truncation": {
			train.SweepInfo{Event: dmrg.Event{Sweep: 1, Open: dmrg.NoPair}, Step: 36, Mode: dmrg.Enrich, Ranks: []int64{6, 4, 1}, Parameters: 6656, Seconds: 0.0234,
				Report: &dmrg.Report{Norm: 4.1812, Error: 2, Bonds: bonds, Probe: &dmrg.Probe{Before: 0.5, After: 0.51, Undone: 3}}},
			`sweep 2  step 36  enrich  ranks 6 4 1  parameters 6,656  in 23ms
  error 2 of norm 4.18  probe loss 0.5000 to 0.5100, 3 smaller ranks undone
  bond 1  rank 128 to   6, 2 new  dropped 1.1e-05 of 3.7 1.2e-05 1.1e-05 1e-05 …
  bond 3  rank   2 to   1  dropped 2 of 3 2`,
		},
		"zero": {
			train.SweepInfo{Event: dmrg.Event{Open: dmrg.NoPair}, Mode: dmrg.Paper, Ranks: []int64{4}, Parameters: 12, Report: &dmrg.Report{Skipped: true, Bonds: bonds}},
			"sweep 1  step 0  paper  ranks 4  parameters 12  in 0s\n  the update is zero: there is nothing to truncate",
		},
		"opened": {
			train.SweepInfo{Event: dmrg.Event{Close: dmrg.NoPair}, Step: 5, Mode: dmrg.TwoSite, Seconds: 0.1},
			"sweep 1  step 5  two-site  cores 1 and 2 are trained as one  in 100ms",
		},
	} {
		got := sweepLines(c.info)
		if got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, c.want)
		}
		for line := range strings.Lines(got) {
			if utf8.RuneCountInString(line) > 81 {
				t.Errorf("%s: wider than 80 columns: %s", name, line)
			}
		}
	}
}
