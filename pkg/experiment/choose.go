package experiment

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/metatt/metatt/pkg/config"
)

// choose settles what a group has, once every run that judges has ended or failed: the
// combination with the best mean of the main metric, of equal ones the first.
func (p *Plan) choose(g *group) {
	if g.chosen != nil || g.failed != "" {
		return
	}
	best, value, metric := -1, 0.0, ""
	var judged []string
	for i, judges := range g.judges {
		if k := slices.IndexFunc(judges, func(r *Run) bool { return r.damaged }); k >= 0 {
			g.failed = fmt.Sprintf("nothing is chosen without %s: %s", judges[k].Name, judges[k].Failure)
			return
		}
		for _, r := range judges {
			if r.State != Ended || r.Summary.Best == nil || r.Summary.Best.Metric == metric {
				continue
			}
			if metric != "" {
				g.failed = fmt.Sprintf("nothing can be chosen: runs are judged by %s and by %s", metric, r.Summary.Best.Metric)
				return
			}
			metric = r.Summary.Best.Metric
		}
		mean, known, settled := meanOf(judges)
		if !settled || slices.ContainsFunc(judges, p.again) {
			return
		}
		text := "undefined"
		if slices.ContainsFunc(judges, func(r *Run) bool { return r.State == Failed }) {
			text = "failed"
		}
		if known {
			text = fmt.Sprintf("%.4f", mean)
			if best < 0 || mean > value {
				best, value = i, mean
			}
		}
		judged = append(judged, describe(g.choices[i])+": "+text)
	}
	if best < 0 {
		g.failed = "nothing could be chosen: every run that was to judge has failed, or its metric is undefined"
		return
	}
	g.chosen = g.choices[best]
	p.note("%s: chosen %s (%s)", orAll(g.label), describe(g.chosen), strings.Join(judged, ", "))
	if edge := g.edge(best); edge != "" {
		p.note("%s: %s is the smallest or largest that was tried: better may lie beyond it", orAll(g.label), edge)
	}
}

// meanOf is the mean of the runs' best; not settled while some of them go on, not known
// where one has failed or its metric is undefined.
func meanOf(runs []*Run) (mean float64, known, settled bool) {
	known = true
	for _, r := range runs {
		switch {
		case r.State == Failed:
			known = false
		case r.State != Ended:
			return 0, false, false
		case r.Summary.Best == nil || r.Summary.Best.Value == nil:
			known = false
		default:
			mean += *r.Summary.Best.Value / float64(len(runs))
		}
	}
	return mean, known, true
}

// edge names what was chosen at an end of three or more numbers in order.
func (g *group) edge(best int) string {
	for k, s := range g.choices[best] {
		var tried []float64
		for _, choice := range g.choices {
			x, err := strconv.ParseFloat(choice[k].Text, 64)
			if err != nil {
				break
			}
			tried = append(tried, x)
		}
		slices.Sort(tried)
		tried = slices.Compact(tried)
		x, err := strconv.ParseFloat(s.Text, 64)
		if err == nil && len(tried) > 2 && (x == tried[0] || x == tried[len(tried)-1]) {
			return describe([]config.Setting{s})
		}
	}
	return ""
}

func describe(settings []config.Setting) string {
	words := make([]string, len(settings))
	for i, s := range settings {
		words[i] = s.Key + "=" + s.Text
	}
	return strings.Join(words, " ")
}

func orAll(label string) string {
	if label == "" {
		return "all runs"
	}
	return label
}
