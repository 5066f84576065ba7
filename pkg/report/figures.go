package report

import (
	"fmt"
	"slices"
	"strings"
)

// perFigure is how many series a figure of curves has: more cannot be told apart.
const perFigure = 6

// Figures are the report's plots: of each task the metric against the parameters, the loss,
// the dev metric and the time of a step; of each group whose ranks were adapted these and
// the spectra.
func (r *Report) Figures() ([]Figure, error) {
	var figures []Figure
	looks := r.looks()
	add := func(task string, f *Figure, err error) error {
		if f != nil && err == nil {
			f.task = task
			figures = append(figures, *f)
		}
		return err
	}
	for _, task := range tasksOf(r.Groups) {
		groups := r.of(task)
		f, err := tradeoff(groups, looks)
		if err = add(task, f, err); err != nil {
			return nil, err
		}
		parts := slices.Collect(slices.Chunk(groups, perFigure))
		for _, curves := range []func([]*Group, map[*Group]look, part) (*Figure, error){lossFigure, devFigure} {
			for i, groups := range parts {
				f, err := curves(groups, looks, which(i, len(parts)))
				if err = add(task, f, err); err != nil {
					return nil, err
				}
			}
		}
		f, err = timeFigure(groups, looks)
		if err = add(task, f, err); err != nil {
			return nil, err
		}
		for _, g := range groups {
			for _, of := range []func(*Group) (*Figure, error){rankFigure, spectrumFigure} {
				f, err := of(g)
				if err = add(task, f, err); err != nil {
					return nil, err
				}
			}
		}
	}
	unique(figures)
	return figures, nil
}

// part is one of several figures of the same; empty where there is one.
type part string

func which(i, n int) part {
	if n == 1 {
		return ""
	}
	return part(fmt.Sprintf("%d of %d", i+1, n))
}

func (p part) title() string {
	if p == "" {
		return ""
	}
	return " (" + string(p) + ")"
}

func (p part) name() string { return strings.ReplaceAll(string(p), " of ", "-of-") }

// unique numbers names that texts from outside have made the same.
func unique(figures []Figure) {
	seen := map[string]int{}
	for i := range figures {
		name := figures[i].Name
		if seen[name]++; seen[name] > 1 {
			figures[i].Name = fmt.Sprintf("%s-%d", name, seen[name])
		}
	}
}

// legendOf lists the groups.
func legendOf(groups []*Group, looks map[*Group]look) (legend []entry) {
	for _, g := range groups {
		legend = append(legend, entry{g.Label, looks[g]})
	}
	return legend
}
