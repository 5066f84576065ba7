package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/train"
)

// Comparison is a group beside the reference group of its task, over the seeds that both
// have: the differences of the best value of the main metric, the group's less the
// reference's.
type Comparison struct {
	Reference *Group
	Seeds     []int // that both have
	Alone     []int // of the group, without a partner
	Missing   []int // of the reference, without a partner
	Sample          // of the differences, by seed
	Low, High float64
	Interval  bool // Low and High are known: there are enough pairs
	Tests     []McNemar
	Notes     []string // what could not be compared
}

// McNemar is the exact test on the dev examples of a task that is judged by its accuracy,
// as the best adapters of the pairs of runs of the same seeds predict them, all pairs in one
// table.
type McNemar struct {
	Task      string
	Pairs     int // of runs
	Examples  int // over all pairs
	Ours      int // that the group alone has right
	Reference int // that the reference alone has right
	P         float64
}

// compare sets a group beside the reference.
func compare(g, reference *Group) (*Comparison, error) {
	c := &Comparison{Reference: reference}
	ours, theirs := g.bySeed(), reference.bySeed()
	for _, seed := range slices.Compact(slices.Sorted(slices.Values(slices.Concat(g.Seeds, reference.Seeds)))) {
		one, here := ours[seed]
		other, there := theirs[seed]
		switch {
		case here && there:
			c.Seeds = append(c.Seeds, seed)
			c.Values = append(c.Values, one-other)
		case slices.Contains(g.Seeds, seed) && slices.Contains(reference.Seeds, seed):
			c.Notes = append(c.Notes, fmt.Sprintf("seed %d: the metric is undefined", seed))
		case here:
			c.Alone = append(c.Alone, seed)
		case there:
			c.Missing = append(c.Missing, seed)
		}
	}
	c.Low, c.High, c.Interval = interval(c.Values)
	return c, c.test(g)
}

// test adds McNemar's test for each task that is judged by its accuracy.
func (c *Comparison) test(g *Group) error {
	tables := map[string]*McNemar{}
	for _, seed := range c.Seeds {
		one, other := g.of(seed), c.Reference.of(seed)
		if len(one) > 1 || len(other) > 1 {
			c.Notes = append(c.Notes, fmt.Sprintf("seed %d: several runs, whose mean is compared, without McNemar's test", seed))
			continue
		}
		if err := c.testPair(tables, one[0], other[0]); err != nil {
			return err
		}
	}
	for _, t := range tables {
		t.P = mcnemar(t.Ours, t.Reference)
		c.Tests = append(c.Tests, *t)
	}
	slices.SortFunc(c.Tests, func(a, b McNemar) int { return strings.Compare(a.Task, b.Task) })
	return nil
}

// testPair adds two runs of a seed to the tables of their tasks.
func (c *Comparison) testPair(tables map[string]*McNemar, one, other member) error {
	judged := accurate(one)
	if len(judged) == 0 {
		return nil
	}
	ours, err := one.Predictions()
	if err != nil {
		return err
	}
	theirs, err := other.Predictions()
	if err != nil {
		return err
	}
	seed := one.Summary.Seed
	if ours == nil || theirs == nil {
		c.Notes = append(c.Notes, fmt.Sprintf("seed %d: no McNemar's test, for predictions were not kept (run.predictions)", seed))
		return nil
	}
	same := func(a, b train.Prediction) bool { return a.Task == b.Task && a.ID == b.ID && a.Label == b.Label }
	if !slices.EqualFunc(ours, theirs, same) {
		c.Notes = append(c.Notes, fmt.Sprintf("seed %d: no McNemar's test, for the runs were judged by different examples", seed))
		return nil
	}
	for _, name := range judged {
		if tables[name] == nil {
			tables[name] = &McNemar{Task: name}
		}
		tables[name].Pairs++
	}
	for i, p := range ours {
		if t := tables[p.Task]; t != nil {
			t.add(p.Right(), theirs[i].Right())
		}
	}
	return nil
}

func (t *McNemar) add(ours, reference bool) {
	t.Examples++
	switch {
	case ours && !reference:
		t.Ours++
	case reference && !ours:
		t.Reference++
	}
}

// accurate are the tasks of a run that are judged by their accuracy.
func accurate(m member) (tasks []string) {
	for _, of := range names(m) {
		if of.Metric == task.Accuracy {
			tasks = append(tasks, cmp.Or(of.Task, m.Summary.Task))
		}
	}
	return tasks
}

// of are the runs of a seed.
func (g *Group) of(seed int) (runs []member) {
	for _, m := range g.runs {
		if m.Summary.Seed == seed {
			runs = append(runs, m)
		}
	}
	return runs
}

// references are what the groups of each task are compared with: the one group that
// against describes, else the LoRA with the most seeds, else the first.
func references(groups []*Group, fields []field, against string) (map[string]*Group, []string, error) {
	found := map[string]*Group{}
	var notes []string
	for _, name := range tasksOf(groups) {
		of := slices.DeleteFunc(slices.Clone(groups), func(g *Group) bool { return g.Task != name })
		if against == "" {
			found[name] = byDefault(of, fields)
			continue
		}
		fit := slices.DeleteFunc(of, func(g *Group) bool { return !g.is(against, fields) })
		switch len(fit) {
		case 1:
			found[name] = fit[0]
		case 0:
			notes = append(notes, fmt.Sprintf("%s: no group is %s: its groups are compared with none", name, against))
		default:
			return nil, nil, wrongOption("--against %s: several groups of %s are that: %s", against, name, labels(fit))
		}
	}
	if against != "" && len(found) == 0 {
		return nil, nil, wrongOption("--against %s: no group is that; there are %s", against, labels(groups))
	}
	return found, notes, nil
}

func byDefault(groups []*Group, fields []field) *Group {
	chosen := groups[0]
	lora := false
	for _, g := range groups {
		if isLoRA := g.is("method=lora", fields); isLoRA && (!lora || len(g.Seeds) > len(chosen.Seeds)) {
			chosen, lora = g, true
		}
	}
	return chosen
}

// is: the group's label is that, or each part of it, as in lora,8 or method=lora,rank=8, is
// one of its values.
func (g *Group) is(described string, fields []field) bool {
	if g.Label == described {
		return true
	}
	for part := range strings.SplitSeq(described, ",") {
		name, value, named := strings.Cut(part, "=")
		if !named {
			value = part
		}
		has := false
		for i, f := range fields {
			has = has || (!named || f.name == name) && g.Values[i] == strings.TrimSpace(value)
		}
		if !has {
			return false
		}
	}
	return true
}

func labels(groups []*Group) string {
	names := make([]string, len(groups))
	for i, g := range groups {
		names[i] = fmt.Sprintf("%q", g.Label)
	}
	return strings.Join(slices.Compact(names), ", ")
}

// tasksOf are the tasks of the groups, in their order.
func tasksOf(groups []*Group) (tasks []string) {
	for _, g := range groups {
		if !slices.Contains(tasks, g.Task) {
			tasks = append(tasks, g.Task)
		}
	}
	return tasks
}
