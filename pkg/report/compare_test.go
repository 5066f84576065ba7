package report_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/report"
)

// Differences are over the seeds that both have. The interval is scipy.stats.t.interval's of
// 0.04, -0.01, 0.05, 0.02, 0.
func TestDifferences(t *testing.T) {
	r := reportOf(t, report.Options{},
		lora(1, 0.70), lora(2, 0.72), lora(3, 0.71), lora(4, 0.75), lora(5, 0.70), lora(8, 0.1),
		metatt(1, 0.74), metatt(2, 0.71), metatt(3, 0.76), metatt(4, 0.77), metatt(5, 0.70), metatt(6, 0.9), metatt(7, 0.9))
	if groupOf(t, r, "lora r2").Against != nil {
		t.Error("the reference is compared with itself")
	}
	c := groupOf(t, r, "metatt4d r4").Against
	if c.Reference.Label != "lora r2" || !slices.Equal(c.Seeds, []int{1, 2, 3, 4, 5}) || !slices.Equal(c.Alone, []int{6, 7}) || !slices.Equal(c.Missing, []int{8}) {
		t.Errorf("against %s: pairs %v, without a partner %v, %v", c.Reference.Label, c.Seeds, c.Alone, c.Missing)
	}
	near := func(got, want float64) bool { return got-want < 1e-9 && want-got < 1e-9 }
	if !near(c.Mean(), 0.02) || !c.Interval || !near(c.Low, -0.01165634478083315) || !near(c.High, 0.051656344780833155) {
		t.Errorf("%v in %v … %v (%v), want 0.02 in -0.0117 … 0.0517", c.Mean(), c.Low, c.High, c.Interval)
	}
	if len(c.Notes) != 5 || !strings.Contains(c.Notes[0], "seed 1: no McNemar's test, for predictions were not kept") {
		t.Errorf("notes %q", c.Notes)
	}
	table := r.Tables()[3]
	if row := table.Rows[0]; !slices.Equal(row, []string{"metatt4d r4", "5", "+0.0200", "−0.0117 … +0.0517", "–", "–"}) {
		t.Errorf("%q", row)
	}
	notes := strings.Join(table.Notes, "\n")
	for _, want := range []string{"metatt4d r4: the reference has no run of seeds 6, 7", "metatt4d r4: no run of seed 8, which the reference has"} {
		if !strings.Contains(notes, want) {
			t.Errorf("%q lacks %q", notes, want)
		}
	}
}

// Of one pair there is no interval, and of none no difference: both are said.
func TestFewPairs(t *testing.T) {
	r := reportOf(t, report.Options{}, lora(1, 0.7), lora(2, 0.7), metatt(2, 0.8), made{keys: []string{"adapter.method=head"}, seed: 7, accuracies: []float64{0.6}})
	if c := groupOf(t, r, "metatt4d r4").Against; c.Interval || len(c.Seeds) != 1 {
		t.Errorf("%+v", c)
	}
	table := r.Tables()[3]
	if row := table.Rows[0]; !slices.Equal(row, []string{"head", "0", "–", "–", "–", "–"}) || !strings.Contains(strings.Join(table.Notes, "\n"), "head, metatt4d r4: no interval of fewer than 2 pairs") {
		t.Errorf("%q, %q", row, table.Notes)
	}
}

// scipy.stats.binomtest(23, 36).pvalue, of two seeds in one table.
func TestMcNemar(t *testing.T) {
	pair := func(seed, both, ours, theirs, neither int) (made, made) {
		one, other := metatt(seed, 0.7), lora(seed, 0.7)
		one.right = strings.Repeat("1", both+ours) + strings.Repeat("0", theirs+neither)
		other.right = strings.Repeat("1", both) + strings.Repeat("0", ours) + strings.Repeat("1", theirs) + strings.Repeat("0", neither)
		return one, other
	}
	a, b := pair(1, 40, 20, 4, 3)
	c, d := pair(2, 50, 3, 9, 5)
	e, f := pair(3, 5, 1, 1, 1)
	f.right += "1" // judged by other examples
	g, h := pair(4, 5, 1, 1, 1)
	h.right = ""
	r := reportOf(t, report.Options{Against: "method=lora,rank=2"}, a, b, c, d, e, f, g, h)
	compared := groupOf(t, r, "metatt4d r4").Against
	if len(compared.Tests) != 1 {
		t.Fatalf("%+v", compared.Tests)
	}
	test := compared.Tests[0]
	if test.Task != "MRPC" || test.Pairs != 2 || test.Examples != 134 || test.Ours != 23 || test.Reference != 13 || !almost(test.P, 0.13249816396273675) {
		t.Errorf("%+v", test)
	}
	if notes := strings.Join(compared.Notes, "\n"); !strings.Contains(notes, "seed 3: no McNemar's test, for the runs were judged by different examples") || !strings.Contains(notes, "seed 4: no McNemar's test, for predictions were not kept") {
		t.Errorf("%q", compared.Notes)
	}
	if row := r.Tables()[3].Rows[0]; row[4] != "23 : 13" || row[5] != "0.1325" {
		t.Errorf("%q", row)
	}
}

// Several runs of a seed are one pair, of their mean, and have no examples to compare.
func TestSeveralRunsOfASeed(t *testing.T) {
	r := reportOf(t, report.Options{}, lora(1, 0.7), metatt(1, 0.7), metatt(1, 0.9))
	c := groupOf(t, r, "metatt4d r4").Against
	if !slices.Equal(c.Seeds, []int{1}) || !(c.Mean() > 0.0999 && c.Mean() < 0.1001) || !slices.Equal(c.Notes, []string{"seed 1: several runs, whose mean is compared, without McNemar's test"}) {
		t.Errorf("%+v, %q", c.Values, c.Notes)
	}
}
