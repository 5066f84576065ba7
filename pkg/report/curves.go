package report

import (
	"fmt"
	"image/color"
	"maps"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// curve is a figure over steps, of the runs of a group.
type curve map[int]*Sample

func (c curve) add(step int, value float64) {
	if c[step] == nil {
		c[step] = &Sample{}
	}
	c[step].add(&value)
}

func (c curve) steps() []int { return slices.Sorted(maps.Keys(c)) }

// mostPoints is how many points a curve of losses has: what is between them is their mean.
const mostPoints = 40

// lossFigure plots the training loss, smoothed over stretches of steps.
func lossFigure(groups []*Group, looks map[*Group]look, part part) (*Figure, error) {
	last := 0
	for _, g := range groups {
		for _, m := range g.runs {
			last = max(last, m.Last())
		}
	}
	if last == 0 {
		return nil, nil
	}
	stretch := (last + mostPoints - 1) / mostPoints
	curves := make([]curve, len(groups))
	for i, g := range groups {
		curves[i] = curve{}
		for _, m := range g.runs {
			for at, mean := range stretches(m, stretch) {
				curves[i].add(at, mean)
			}
		}
	}
	task := groups[0].Task
	smoothed := "each step"
	if stretch > 1 {
		smoothed = fmt.Sprintf("smoothed: a point is the mean of up to %d steps, and stands at the last of them", stretch)
	}
	return curveFigure(groups, looks, curves, Figure{
		Name: fileName(task, "loss", part.name()), Title: fmt.Sprintf("%s: training loss%s", task, part.title()),
		Caption: fmt.Sprintf("Training loss on %s%s, %s. Lines are means over the runs that got so far, bands ± one standard deviation.", task, part.title(), smoothed),
	}, "training loss", false)
}

// stretches are the mean losses of so many steps each, by the last step of each.
func stretches(m member, length int) map[int]float64 {
	sums, counts := map[int]float64{}, map[int]int{}
	for _, s := range m.Steps {
		at := (s.Step + length - 1) / length * length
		sums[at] += float64(s.Loss)
		counts[at]++
	}
	end := (m.Last() + length - 1) / length * length
	means := map[int]float64{}
	for at, sum := range sums {
		step := at
		if at == end {
			step = m.Last()
		}
		means[step] = sum / float64(counts[at])
	}
	return means
}

// devFigure plots the main metric at the evaluations.
func devFigure(groups []*Group, looks map[*Group]look, part part) (*Figure, error) {
	curves := make([]curve, len(groups))
	undefined, points := 0, 0
	for i, g := range groups {
		curves[i] = curve{}
		for _, m := range g.runs {
			for _, e := range m.Evals {
				if value := criterion(e, m.metric()); value != nil {
					curves[i].add(e.Step, *value)
					points++
				} else {
					undefined++
				}
			}
		}
	}
	if points == 0 {
		return nil, nil
	}
	task, metric := groups[0].Task, groups[0].Main().Name
	caption := fmt.Sprintf("Dev %s on %s%s at each evaluation. Lines are means over the runs that got so far, bands ± one standard deviation.", metric, task, part.title())
	if undefined > 0 {
		caption += fmt.Sprintf(" %s with an undefined %s left out.", count(undefined, "evaluation"), metric)
	}
	return curveFigure(groups, looks, curves, Figure{
		Name: fileName(task, "dev", part.name()), Title: fmt.Sprintf("%s: dev %s over steps%s", task, metric, part.title()), Caption: caption,
	}, "dev "+metric, true)
}

// curveFigure draws a line for each group, with its band.
func curveFigure(groups []*Group, looks map[*Group]look, curves []curve, f Figure, y string, marks bool) (*Figure, error) {
	p := newPlot("step", y)
	grid(p)
	for i, g := range groups {
		if err := addBand(p, curves[i], looks[g]); err != nil {
			return nil, err
		}
	}
	for i, g := range groups {
		if err := addLine(p, curves[i], looks[g], marks); err != nil {
			return nil, err
		}
	}
	p.X.Min = 0
	margin(&p.X)
	p.X.Min = 0
	margin(&p.Y)
	f.legend = legendOf(groups, looks)
	if !marks {
		for i := range f.legend {
			f.legend[i].glyph = nil
		}
	}
	f.Data = curveTable(groups, curves)
	f.panels = []panel{{p, 2.7 * vg.Inch}}
	return &f, nil
}

func addLine(p *plot.Plot, c curve, l look, marks bool) error {
	var points plotter.XYs
	for _, step := range c.steps() {
		points = append(points, plotter.XY{X: float64(step), Y: c[step].Mean()})
	}
	if len(points) == 0 {
		return nil
	}
	line, dots, err := plotter.NewLinePoints(points)
	if err != nil {
		return err
	}
	line.Color, line.Width, line.Dashes = l.color, 1.4, l.dashes
	p.Add(line)
	if marks || len(points) == 1 {
		dots.GlyphStyle = draw.GlyphStyle{Color: l.color, Radius: 2.5, Shape: l.glyph}
		p.Add(dots)
	}
	return nil
}

func addBand(p *plot.Plot, c curve, l look) error {
	var upper, lower plotter.XYs
	for _, step := range c.steps() {
		mean, std := c[step].Mean(), c[step].Std()
		if math.IsNaN(std) {
			std = 0
		}
		upper = append(upper, plotter.XY{X: float64(step), Y: mean + std})
		lower = append(lower, plotter.XY{X: float64(step), Y: mean - std})
	}
	if len(upper) < 2 {
		return nil
	}
	slices.Reverse(lower)
	band, err := plotter.NewPolygon(append(upper, lower...))
	if err != nil {
		return err
	}
	band.Color, band.LineStyle.Width = l.faint(0x28), 0
	p.Add(band)
	return nil
}

func curveTable(groups []*Group, curves []curve) Table {
	t := Table{Columns: []string{"step"}}
	steps := map[int]bool{}
	for i, g := range groups {
		t.Columns = append(t.Columns, g.Label)
		for step := range curves[i] {
			steps[step] = true
		}
	}
	for _, step := range slices.Sorted(maps.Keys(steps)) {
		row := []string{fmt.Sprint(step)}
		for _, c := range curves {
			cell := ""
			if c[step] != nil {
				cell = spread(*c[step])
			}
			row = append(row, cell)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// grey is one of a lightness that shows on white and on black.
func grey(alpha uint8) color.NRGBA { return color.NRGBA{0x80, 0x80, 0x80, alpha} }

func grid(p *plot.Plot) {
	g := plotter.NewGrid()
	for _, style := range []*draw.LineStyle{&g.Vertical, &g.Horizontal} {
		style.Color, style.Width, style.Dashes = grey(0x50), 0.4, nil
	}
	p.Add(g)
}

// margin leaves room around what an axis shows.
func margin(a *plot.Axis) {
	room := 0.05 * (a.Max - a.Min)
	if room <= 1e-6*math.Abs(a.Max) { // all values are the same, but for rounding
		room = max(0.05, 0.1*math.Abs(a.Max))
	}
	a.Min, a.Max = a.Min-room, a.Max+room
}
