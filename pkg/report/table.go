package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Table is a part of a report: the first column names the row.
type Table struct {
	Title   string
	Columns []string
	Rows    [][]string
	Notes   []string // what is to be known of its numbers
}

// Tables are, for each task, the dev figures, what they cost and the differences from the
// reference.
func (r *Report) Tables() (tables []Table) {
	for _, task := range tasksOf(r.Groups) {
		tables = append(tables, r.taskTables(task)...)
	}
	return tables
}

func (r *Report) taskTables(task string) []Table {
	groups := r.of(task)
	tables := []Table{qualityTable(task, groups)}
	if t := metricsTable(task, groups); len(t.Rows) > 0 {
		tables = append(tables, t)
	}
	tables = append(tables, costTable(task, groups))
	if t := differenceTable(task, groups); len(t.Rows) > 0 {
		tables = append(tables, t)
	}
	return tables
}

func (r *Report) of(task string) (groups []*Group) {
	for _, g := range r.Groups {
		if g.Task == task {
			groups = append(groups, g)
		}
	}
	return groups
}

func qualityTable(name string, groups []*Group) Table {
	t := Table{
		Title:   fmt.Sprintf("%s · %s", name, groups[0].Main().Name),
		Columns: []string{"", "n", "best", "median", "last", "median"},
	}
	undefined := 0
	for _, g := range groups {
		main := g.Main()
		undefined += main.Best.Undefined
		t.Rows = append(t.Rows, []string{g.Label, fmt.Sprint(len(g.runs)), spread(main.Best), number(main.Best.Median()), spread(main.Last), number(main.Last.Median())})
	}
	t.Notes = append(t.Notes, "mean ±standard deviation over seeds")
	t.noteUndefined(undefined)
	return t
}

func (t *Table) noteUndefined(values int) {
	if values > 0 {
		t.Notes = append(t.Notes, fmt.Sprintf("%s left out: they are undefined", count(values, "value")))
	}
}

func metricsTable(name string, groups []*Group) Table {
	t := Table{Title: name + " · other metrics", Columns: []string{"", "metric", "at the best", "median", "last", "median"}}
	undefined := 0
	for _, g := range groups {
		for _, m := range g.Metrics[1:] {
			undefined += m.Best.Undefined
			t.Rows = append(t.Rows, []string{g.Label, m.Name, spread(m.Best), number(m.Best.Median()), spread(m.Last), number(m.Last.Median())})
		}
	}
	t.noteUndefined(undefined)
	return t
}

func costTable(name string, groups []*Group) Table {
	t := Table{Title: name + " · cost", Columns: []string{"", "adapter", "head", "time", "samples/s", "peak memory"}}
	differs := false
	for _, g := range groups {
		parameters := whole(g.Adapter.Mean())
		if g.Adapter.Std() > 0 {
			parameters, differs = "≈"+parameters, true
		}
		t.Rows = append(t.Rows, []string{g.Label, parameters, whole(g.Head.Mean()), duration(g.Seconds.Mean()), digits(g.Speed.Mean()), memory(g.Memory.Mean())})
	}
	t.Notes = append(t.Notes, "trained parameters at the end; means over seeds")
	if differs {
		t.Notes = append(t.Notes, "≈: seeds ended with different ranks")
	}
	return t
}

func differenceTable(name string, groups []*Group) Table {
	t := Table{Columns: []string{"", "pairs", "difference", "95 % interval", "only it : ref", "McNemar p"}}
	of := map[string][]string{} // the groups that a note is of
	few := false
	for _, g := range groups {
		c := g.Against
		if c == nil {
			continue
		}
		t.Title = fmt.Sprintf("%s · best %s, less that of %s", name, g.Main().Name, c.Reference.Label)
		ends, difference := none, none
		if len(c.Values) > 0 {
			difference = signed(c.Mean())
		}
		if c.Interval {
			ends = signed(c.Low) + " … " + signed(c.High)
			few = few || len(c.Values) < fewestOfBootstrap
		}
		row := []string{g.Label, fmt.Sprint(len(c.Values)), difference, ends, none, none}
		for i, test := range c.Tests {
			if i > 0 {
				t.Rows = append(t.Rows, row)
				row = []string{g.Label, "", "", "", "", ""}
			}
			row[4], row[5] = fmt.Sprintf("%s : %s", whole(float64(test.Ours)), whole(float64(test.Reference))), probability(test.P)
			if len(c.Tests) > 1 {
				row[0] = g.Label + ", " + test.Task
			}
		}
		t.Rows = append(t.Rows, row)
		for _, note := range c.notes() {
			of[note] = append(of[note], g.Label)
		}
	}
	for _, note := range slices.Sorted(maps.Keys(of)) {
		t.Notes = append(t.Notes, strings.Join(of[note], ", ")+": "+note)
	}
	if few {
		t.Notes = append(t.Notes, fmt.Sprintf("an interval of fewer than %d pairs is Student's", fewestOfBootstrap))
	}
	return t
}

// notes say what has no partner, no interval and no test.
func (c *Comparison) notes() (notes []string) {
	seeds := func(list []int) string {
		return strings.TrimPrefix(count(len(list), "seed"), fmt.Sprint(len(list), " ")) + " " + joined(list, ", ")
	}
	if len(c.Alone) > 0 {
		notes = append(notes, "the reference has no run of "+seeds(c.Alone))
	}
	if len(c.Missing) > 0 {
		notes = append(notes, "no run of "+seeds(c.Missing)+", which the reference has")
	}
	if !c.Interval {
		notes = append(notes, fmt.Sprintf("no interval of fewer than %d pairs", fewestPairs))
	}
	return append(notes, c.Notes...)
}

// Summary says what the report is made of, a sentence each.
func (r *Report) Summary() []string {
	counted := r.Runs - len(r.Left)
	lines := []string{fmt.Sprintf("%s of %s in %s, told apart by %s", count(counted, "run"), fmt.Sprint(r.Runs), count(len(r.Groups), "group"), strings.Join(r.By, ", "))}
	if len(r.Also) > 0 {
		lines = append(lines, "with these also differ "+strings.Join(r.Also, ", "))
	}
	return lines
}
