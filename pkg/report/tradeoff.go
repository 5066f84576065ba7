package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// point is a group in the plane of parameters and metric.
type point struct {
	group *Group
	x, y  float64 // trained parameters, mean of the best metric
	front bool    // no group is better with as few parameters, or as good with fewer
}

// pareto makes points of the groups that have both figures, by rising parameters.
func pareto(groups []*Group) (points []point) {
	for _, g := range groups {
		if x, y := g.Parameters(), g.Main().Best.Mean(); x > 0 && !math.IsNaN(y) {
			points = append(points, point{g, x, y, true})
		}
	}
	slices.SortStableFunc(points, func(a, b point) int { return cmp.Or(cmp.Compare(a.x, b.x), cmp.Compare(b.y, a.y)) })
	for i := range points {
		for _, other := range points {
			p := &points[i]
			if other.x <= p.x && other.y >= p.y && (other.x < p.x || other.y > p.y) {
				p.front = false
			}
		}
	}
	return points
}

// tradeoff plots the metric against the parameters.
func tradeoff(groups []*Group, looks map[*Group]look) (*Figure, error) {
	points := pareto(groups)
	if len(points) == 0 {
		return nil, nil
	}
	task, metric := groups[0].Task, groups[0].Main().Name
	p := newPlot("trained parameters, adapter and head (log)", "best dev "+metric)
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.TickerFunc(parameterTicks)
	grid(p)
	if err := frontLine(p, points); err != nil {
		return nil, err
	}
	data := Table{Columns: []string{"", "parameters", "runs", "mean", "std", "values by seed", "front"}}
	for _, at := range points {
		if err := addPoint(p, at, looks[at.group]); err != nil {
			return nil, err
		}
		best := at.group.Main().Best
		front := ""
		if at.front {
			front = "yes"
		}
		data.Rows = append(data.Rows, []string{at.group.Label, whole(at.x), fmt.Sprint(len(best.Values)), number(at.y), number(best.Std()), values(best), front})
	}
	p.X.Min, p.X.Max = p.X.Min/1.5, p.X.Max*1.5
	margin(&p.Y)
	caption := fmt.Sprintf("Best dev %s on %s against what was trained. Large marks are means over seeds, with ± one standard deviation; small ones are single runs. "+
		"The grey line and the rings mark the Pareto front: no other group is better with as few parameters.", metric, task)
	if missing := len(groups) - len(points); missing > 0 {
		caption += fmt.Sprintf(" %s without a defined metric cannot be shown.", count(missing, "group"))
	}
	var shown []*Group
	for _, g := range groups {
		if slices.ContainsFunc(points, func(p point) bool { return p.group == g }) {
			shown = append(shown, g)
		}
	}
	legend := legendOf(shown, looks)
	for i := range legend {
		legend[i].dashes = []vg.Length{0, 1000} // a mark alone
	}
	return &Figure{
		Name: fileName(task, "parameters"), Title: fmt.Sprintf("%s: %s against parameters", task, metric), Caption: caption,
		Data: data, panels: []panel{{p, 3 * vg.Inch}}, legend: legend,
	}, nil
}

// frontLine joins the front by steps: what so many parameters reach at most.
func frontLine(p *plot.Plot, points []point) error {
	var front plotter.XYs
	for _, at := range points {
		if at.front {
			front = append(front, plotter.XY{X: at.x, Y: at.y})
		}
	}
	line, err := plotter.NewLine(front)
	if err != nil {
		return err
	}
	line.StepStyle, line.Color, line.Width = plotter.PostStep, grey(0xa0), 1
	rings, err := plotter.NewScatter(front)
	if err != nil {
		return err
	}
	rings.GlyphStyle = draw.GlyphStyle{Color: ink, Radius: 6, Shape: draw.RingGlyph{}}
	p.Add(line, rings)
	return nil
}

func addPoint(p *plot.Plot, at point, l look) error {
	best := at.group.Main().Best
	var runs plotter.XYs
	for _, value := range best.Values {
		runs = append(runs, plotter.XY{X: at.x, Y: value})
	}
	small, err := plotter.NewScatter(runs)
	if err != nil {
		return err
	}
	small.GlyphStyle = draw.GlyphStyle{Color: l.faint(0x90), Radius: 1.8, Shape: draw.CircleGlyph{}}
	mean, err := plotter.NewScatter(plotter.XYs{{X: at.x, Y: at.y}})
	if err != nil {
		return err
	}
	mean.GlyphStyle = draw.GlyphStyle{Color: l.color, Radius: 3.5, Shape: l.glyph}
	p.Add(small, mean)
	if std := best.Std(); std > 0 {
		bar, err := plotter.NewYErrorBars(errorBar{plotter.XYs{{X: at.x, Y: at.y}}, plotter.YErrors{{Low: std, High: std}}})
		if err != nil {
			return err
		}
		bar.Color, bar.Width, bar.CapWidth = l.color, 1.2, 6
		p.Add(bar)
	}
	return nil
}

// errorBar is a point and its spread.
type errorBar struct {
	plotter.XYs
	plotter.YErrors
}

func values(s Sample) string { return joined(mappedNumbers(s.Values, number), " ") }

func mappedNumbers(xs []float64, f func(float64) string) []string {
	out := make([]string, len(xs))
	for i, x := range xs {
		out[i] = f(x)
	}
	return out
}
