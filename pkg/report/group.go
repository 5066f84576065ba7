package report

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/train"
)

// Group is the runs that are alike in all but the seed, and what they came to.
type Group struct {
	Task   string // with what else it was judged by, where the report has the task by several metrics or on several dev sets
	Label  string // what tells it apart from the other groups of the task
	Values []string
	Seeds  []int // of the runs, rising
	// Metrics are the main one, by which the best evaluation was chosen, and those of the
	// tasks.
	Metrics []Metric
	Adapter Sample // trained parameters of the adapter, as the runs ended
	Head    Sample // parameters of the heads
	Seconds Sample // of training and evaluation
	Speed   Sample // training examples a second, of training alone
	Memory  Sample // peak, in bytes
	Against *Comparison
	Pooled  []string // keys in which the runs differ besides the seed

	runs []member // by seed
}

// Metric is a figure of dev sets: its values at the best evaluation and at the last one.
type Metric struct {
	Name       string
	Best, Last Sample
}

// group makes groups of runs, those of a task together, in the order of their values.
func group(runs []member, fields []field) []*Group {
	var groups []*Group
	for _, members := range divide(runs, fields) {
		slices.SortStableFunc(members, func(a, b member) int {
			return cmp.Or(a.Summary.Seed-b.Summary.Seed, strings.Compare(a.Dir, b.Dir))
		})
		groups = append(groups, newGroup(members, fields))
	}
	slices.SortFunc(groups, func(a, b *Group) int { return slices.CompareFunc(a.Values, b.Values, naturally) })
	return groups
}

// naturally orders numbers by their size, and behind them texts.
func naturally(a, b string) int {
	x, err := strconv.ParseFloat(strings.TrimPrefix(a, "≤"), 64)
	y, err2 := strconv.ParseFloat(strings.TrimPrefix(b, "≤"), 64)
	switch {
	case err == nil && err2 == nil:
		return cmp.Or(cmp.Compare(x, y), strings.Compare(a, b))
	case err == nil:
		return -1
	case err2 == nil:
		return 1
	}
	return strings.Compare(a, b)
}

func newGroup(members []member, fields []field) *Group {
	g := &Group{Task: members[0].Summary.Task, Values: valuesOf(members[0], fields), runs: members}
	g.Label = label(fields, g.Values)
	for _, key := range differing(members) {
		if quiet, _ := silent(key); !quiet {
			g.Pooled = append(g.Pooled, key)
		}
	}
	for _, m := range members {
		s := m.Summary
		g.Seeds = append(g.Seeds, s.Seed)
		g.addMetrics(m)
		for _, part := range []struct {
			to    *Sample
			value float64
			known bool
		}{
			{&g.Adapter, float64(s.AdapterParams), true}, {&g.Head, float64(s.HeadParams), true}, {&g.Seconds, s.Seconds, s.Seconds > 0},
			{&g.Speed, s.SamplesPerSecond, s.SamplesPerSecond > 0}, {&g.Memory, float64(s.PeakBytes), s.PeakBytes > 0},
		} {
			if part.known {
				part.to.add(&part.value)
			} else {
				part.to.add(nil)
			}
		}
	}
	return g
}

// label is the values that tell groups of one task apart: method, rN of a rank, key=value.
func label(fields []field, values []string) string {
	var words []string
	for i, f := range fields {
		switch value := values[i]; {
		case slices.Contains(always, f.name), value == "":
		case f.name == "method":
			words = append(words, value)
		case f.name == "rank" && strings.HasPrefix(value, "≤"):
			words = append(words, value)
		case f.name == "rank":
			words = append(words, "r"+value)
		case f.name == "dmrg.mode" && value == "none":
		default:
			words = append(words, f.name+"="+value)
		}
	}
	if len(words) == 0 {
		return "all runs"
	}
	return strings.Join(words, " ")
}

// addMetrics takes a run's dev figures: the main metric, then each of the tasks.
func (g *Group) addMetrics(m member) {
	best, last := evaluations(m)
	main := m.Summary.Best
	var bestValue, lastValue *float64
	if main != nil {
		bestValue = main.Value
	}
	if last != nil {
		lastValue = criterion(*last, m.metric())
	}
	g.metric(m.metric()).take(bestValue, lastValue)
	for _, of := range names(m) {
		if of.Task == "" && of.Metric == m.metric() {
			continue
		}
		name := of.Metric
		if of.Task != "" {
			name = of.Task + " " + of.Metric
		}
		g.metric(name).take(of.in(best), of.in(last))
	}
}

// metric is the group's of that name, which is added where it is new.
func (g *Group) metric(name string) *Metric {
	i := slices.IndexFunc(g.Metrics, func(m Metric) bool { return m.Name == name })
	if i < 0 {
		i = len(g.Metrics)
		g.Metrics = append(g.Metrics, Metric{Name: name})
	}
	return &g.Metrics[i]
}

func (m *Metric) take(best, last *float64) {
	m.Best.add(best)
	m.Last.add(last)
}

// evaluations are the best and the last of a run; nil: it is not recorded.
func evaluations(m member) (best, last *train.EvalEvent) {
	for i := range m.Evals {
		last = &m.Evals[i]
		if m.Summary.Best != nil && last.Step == m.Summary.Best.Step {
			best = last
		}
	}
	return best, last
}

// criterion is what an evaluation is compared by, under that name; nil: it is undefined.
func criterion(e train.EvalEvent, name string) *float64 {
	if e.Tasks != nil {
		return e.Criterion
	}
	return defined(e.Metrics, name)
}

func defined(metrics task.Metrics, name string) *float64 {
	if metric, ok := metrics.Get(name); ok && !metric.Undefined {
		return &metric.Value
	}
	return nil
}

// metricOf is a metric of a task; of a run of one, without its name.
type metricOf struct{ Task, Metric string }

// names lists the metrics of a run's tasks.
func names(m member) (list []metricOf) {
	_, last := evaluations(m)
	if last == nil {
		return nil
	}
	for _, metric := range last.Metrics {
		list = append(list, metricOf{"", metric.Name})
	}
	for _, t := range last.Tasks {
		for _, metric := range t.Metrics {
			list = append(list, metricOf{t.Task, metric.Name})
		}
	}
	return list
}

// in is the metric's value in an evaluation; nil: it is undefined there.
func (of metricOf) in(e *train.EvalEvent) *float64 {
	if e == nil {
		return nil
	}
	if of.Task == "" {
		return defined(e.Metrics, of.Metric)
	}
	for _, t := range e.Tasks {
		if t.Task == of.Task {
			return defined(t.Metrics, of.Metric)
		}
	}
	return nil
}

// bySeed is the main metric's best value of each seed, the mean of several runs of one.
func (g *Group) bySeed() map[int]float64 {
	sums, counts := map[int]float64{}, map[int]float64{}
	for _, m := range g.runs {
		if best := m.Summary.Best; best != nil && best.Value != nil {
			sums[m.Summary.Seed] += *best.Value
			counts[m.Summary.Seed]++
		}
	}
	for seed := range maps.Keys(sums) {
		sums[seed] /= counts[seed]
	}
	return sums
}

// Main is the metric that the best evaluation was chosen by.
func (g *Group) Main() Metric { return g.Metrics[0] }

// Parameters are all that is trained: the adapter's and the heads'.
func (g *Group) Parameters() float64 { return g.Adapter.Mean() + g.Head.Mean() }
