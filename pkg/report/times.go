package report

import (
	"fmt"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// stepTime is the mean of a run's steps in milliseconds, without evaluation; false where it
// is not recorded.
func stepTime(m member) (float64, bool) {
	var seconds float64
	for _, t := range m.Timings {
		seconds += t.Seconds
	}
	if len(m.Timings) == 0 || seconds <= 0 {
		return 0, false
	}
	return 1000 * seconds / float64(m.Timings[len(m.Timings)-1].Step), true
}

// timeFigure plots the time of a step: a row a group, a mark a run.
func timeFigure(groups []*Group, looks map[*Group]look) (*Figure, error) {
	task := groups[0].Task
	p := newPlot("milliseconds a step", "")
	p.HideY()
	grid(p)
	data := Table{Columns: []string{"", "runs", "mean, ms", "std", "by seed"}}
	labels := plotter.XYLabels{}
	for i, g := range groups {
		row := float64(len(groups) - 1 - i)
		labels.XYs, labels.Labels = append(labels.XYs, plotter.XY{X: 0, Y: row + 0.28}), append(labels.Labels, g.Label)
		var times Sample
		var runs plotter.XYs
		for _, m := range g.runs {
			if ms, ok := stepTime(m); ok {
				times.add(&ms)
				runs = append(runs, plotter.XY{X: ms, Y: row})
			}
		}
		data.Rows = append(data.Rows, []string{g.Label, fmt.Sprint(len(times.Values)), digits(times.Mean()), digits(times.Std()), joined(mappedNumbers(times.Values, digits), " ")})
		if len(runs) == 0 {
			continue
		}
		if err := addTimes(p, looks[g], runs, times.Mean(), row); err != nil {
			return nil, err
		}
	}
	if p.X.Max <= 0 || p.X.Max < p.X.Min {
		return nil, nil
	}
	texts, err := plotter.NewLabels(labels)
	if err != nil {
		return nil, err
	}
	for i := range texts.TextStyle {
		texts.TextStyle[i] = p.X.Tick.Label
		texts.TextStyle[i].XAlign, texts.TextStyle[i].YAlign = draw.XLeft, draw.YCenter
	}
	texts.Offset = vg.Point{X: 3}
	p.Add(texts)
	p.X.Min, p.X.Max = 0, p.X.Max*1.05
	p.Y.Min, p.Y.Max = -0.4, float64(len(groups))-0.4
	return &Figure{
		Name: fileName(task, "time"), Title: task + ": time per step", Data: data,
		Caption: fmt.Sprintf("Time of a training step on %s, evaluation not counted: a small mark is the mean of a run's steps, a bar ends at the mean of the runs. "+
			"Runs on different machines, or beside others, do not compare.", task),
		panels: []panel{{p, vg.Length(len(groups))*28 + 50}},
	}, nil
}

func addTimes(p *plot.Plot, l look, runs plotter.XYs, mean, row float64) error {
	line, err := plotter.NewLine(plotter.XYs{{X: 0, Y: row}, {X: mean, Y: row}})
	if err != nil {
		return err
	}
	line.Color, line.Width = l.faint(0x80), 4
	dots, err := plotter.NewScatter(runs)
	if err != nil {
		return err
	}
	dots.GlyphStyle = draw.GlyphStyle{Color: l.color, Radius: 2.5, Shape: draw.CircleGlyph{}}
	p.Add(line, dots)
	return nil
}
