package report

import (
	"fmt"
	"image/color"
	"math"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/metatt/metatt/pkg/train"
)

// rankFigure plots the ranks of a tensor train's bonds; nil where they were not adapted.
func rankFigure(g *Group) (*Figure, error) {
	curves := rankCurves(g)
	if len(curves) == 0 {
		return nil, nil
	}
	p := newPlot("step", "rank")
	grid(p)
	f := &Figure{
		Name: fileName(g.Task, g.Label, "ranks"), Title: fmt.Sprintf("%s, %s: ranks", g.Task, g.Label), Data: Table{Columns: []string{"step"}},
		Caption: fmt.Sprintf("Ranks of the bonds of %s on %s, means over seeds: they change where there is a sweep.", g.Label, g.Task),
	}
	for b, c := range curves {
		l := look{colors[b%len(colors)], dashes[b%len(dashes)], nil}
		var points plotter.XYs
		for _, step := range c.steps() {
			points = append(points, plotter.XY{X: float64(step), Y: c[step].Mean()})
		}
		line, err := plotter.NewLine(points)
		if err != nil {
			return nil, err
		}
		line.StepStyle, line.Color, line.Width, line.Dashes = plotter.PostStep, l.color, 1.5, l.dashes
		p.Add(line)
		name := fmt.Sprintf("bond %d", b+1)
		f.legend = append(f.legend, entry{name, l})
		f.Data.Columns = append(f.Data.Columns, name)
	}
	for _, step := range curves[0].steps() {
		row := []string{fmt.Sprint(step)}
		for _, c := range curves {
			cell := ""
			if c[step] != nil {
				cell = digits(c[step].Mean())
			}
			row = append(row, cell)
		}
		f.Data.Rows = append(f.Data.Rows, row)
	}
	p.Y.Min = 0
	p.Y.Max *= 1.08
	f.panels = []panel{{p, 2.2 * vg.Inch}}
	return f, nil
}

// rankCurves are the ranks after each sweep, and before the first and at the end, by bond.
func rankCurves(g *Group) (curves []curve) {
	add := func(step int, ranks []int64) {
		for b, r := range ranks {
			if b == len(curves) {
				curves = append(curves, curve{})
			}
			curves[b].add(step, float64(r))
		}
	}
	for _, m := range g.runs {
		var last []int64
		for i, s := range m.Sweeps {
			if before := ranksBefore(s); i == 0 && before != nil && s.Step > 0 {
				add(0, before)
			}
			if i+1 == len(m.Sweeps) || m.Sweeps[i+1].Step > s.Step { // of several events of a step, what is left
				add(s.Step, s.Ranks)
			}
			last = s.Ranks
		}
		if n := len(m.Sweeps); n > 0 && m.Sweeps[n-1].Step < m.Last() {
			add(m.Last(), last)
		}
	}
	return curves
}

// ranksBefore are the ranks before a sweep over all bonds; nil of one over some.
func ranksBefore(s train.SweepEvent) (ranks []int64) {
	if s.Report == nil || len(s.Report.Bonds) != len(s.Ranks) {
		return nil
	}
	for _, b := range s.Report.Bonds {
		ranks = append(ranks, b.Before)
	}
	return ranks
}

// spectrum is the singular values of a bond that a sweep saw.
type spectrum struct {
	step   int
	values []float64
}

// spectraOf are a run's, by bond.
func spectraOf(m member) map[int][]spectrum {
	of := map[int][]spectrum{}
	for _, s := range m.Sweeps {
		if s.Report == nil {
			continue
		}
		for b, bond := range s.Report.Bonds {
			if s.Pair != nil && len(s.Report.Bonds) == 1 {
				b = *s.Pair
			}
			if len(bond.Spectrum) > 0 && bond.Spectrum[0] > 0 {
				of[b] = append(of[b], spectrum{s.Step, bond.Spectrum})
			}
		}
	}
	return of
}

// spectrumFigure plots the singular values of each bond at the sweeps of the run with the
// first seed; nil where none is recorded.
func spectrumFigure(g *Group) (*Figure, error) {
	m := g.runs[0]
	of := spectraOf(m)
	if len(of) == 0 {
		return nil, nil
	}
	f := &Figure{
		Name: fileName(g.Task, g.Label, "spectra"), Title: fmt.Sprintf("%s, %s, seed %d: singular values", g.Task, g.Label, m.Summary.Seed),
		Data: Table{Columns: []string{"bond", "step", "singular values before the sweep, falling"}},
		Caption: fmt.Sprintf("Singular values of the bonds of %s on %s (seed %d), as each sweep found them: a panel a bond, a line for the first, second … value, the largest the darkest.",
			g.Label, g.Task, m.Summary.Seed),
	}
	bonds := 0
	for b := range of {
		bonds = max(bonds, b+1)
	}
	for b := range bonds {
		if len(of[b]) == 0 {
			continue
		}
		p, err := spectrumPanel(of[b])
		if err != nil {
			return nil, err
		}
		p.Y.Label.Text = fmt.Sprintf("bond %d", b+1)
		f.panels = append(f.panels, panel{p, 1.5 * vg.Inch})
		for _, s := range of[b] {
			f.Data.Rows = append(f.Data.Rows, []string{fmt.Sprint(b + 1), fmt.Sprint(s.step), strings.Join(mappedNumbers(s.values, short), " ")})
		}
	}
	f.panels[len(f.panels)-1].X.Label.Text = "step of the sweep"
	return f, nil
}

func short(x float64) string { return fmt.Sprintf("%.3g", x) }

func spectrumPanel(sweeps []spectrum) (*plot.Plot, error) {
	p := newPlot("", "")
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.TickerFunc(decades)
	grid(p)
	largest, most := 0.0, 0
	for _, s := range sweeps {
		largest, most = max(largest, s.values[0]), max(most, len(s.values))
	}
	floor := largest * 1e-7 // below is rounding of the fp32 cores
	for k := range most {
		var points plotter.XYs
		for _, s := range sweeps {
			if k < len(s.values) {
				points = append(points, plotter.XY{X: float64(s.step), Y: max(s.values[k], floor)})
			}
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, err
		}
		tone := look{color: mixed(colors[0], k, most)}
		line.Color, line.Width = tone.color, 1.2
		dots.GlyphStyle = draw.GlyphStyle{Color: tone.color, Radius: 2, Shape: draw.CircleGlyph{}}
		p.Add(line, dots)
	}
	margin(&p.X)
	p.Y.Min, p.Y.Max = math.Max(p.Y.Min, floor)/1.4, p.Y.Max*1.4
	return p, nil
}

// mixed fades a color out from the first of n to the last.
func mixed(c color.NRGBA, k, n int) color.NRGBA {
	c.A = uint8(0xff - 0xa0*k/max(1, n-1))
	return c
}
