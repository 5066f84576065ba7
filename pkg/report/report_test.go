package report_test

import (
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/report"
)

// lora and metatt are runs whose figures NumPy and SciPy have worked out: see the tests.
func lora(seed int, accuracies ...float64) made {
	return made{keys: []string{"adapter.method=lora", "adapter.rank=2"}, seed: seed, accuracies: accuracies, parameters: 18432}
}

func metatt(seed int, accuracies ...float64) made {
	return made{keys: []string{"adapter.rank=4", "train.lr=2e-3"}, seed: seed, accuracies: accuracies, parameters: 3200}
}

func almost(got, want float64) bool { return math.Abs(got-want) <= 1e-12*math.Abs(want) }

// numpy.mean, numpy.std(ddof=1) and numpy.median of the values.
func TestFiguresOverSeeds(t *testing.T) {
	r := reportOf(t, report.Options{},
		lora(3, 0.71, 0.69), lora(1, 0.70, 0.70), lora(2, 0.6, 0.72), lora(4, 0.75, 0.66),
		metatt(1, 0.74), metatt(2, 0.71), metatt(3, 0.76), metatt(5, 0.77), metatt(9, 0.73))
	if len(r.Groups) != 2 || !slices.Equal(r.By, []string{"task", "metric", "method", "rank"}) || len(r.Left)+len(r.Notes) > 0 {
		t.Fatalf("%d groups by %v, left %v, notes %q", len(r.Groups), r.By, r.Left, r.Notes)
	}
	g := groupOf(t, r, "lora r2")
	main := g.Main()
	if !slices.Equal(g.Seeds, []int{1, 2, 3, 4}) || !almost(main.Best.Mean(), 0.72) || !almost(main.Best.Std(), 0.021602468994692887) || !almost(main.Best.Median(), 0.715) {
		t.Errorf("seeds %v, best %v ± %v, median %v", g.Seeds, main.Best.Mean(), main.Best.Std(), main.Best.Median())
	}
	if !almost(main.Last.Mean(), (0.69+0.70+0.72+0.66)/4) || !almost(main.Last.Median(), 0.695) {
		t.Errorf("last %v, median %v", main.Last.Mean(), main.Last.Median())
	}
	if g.Adapter.Mean() != 18432 || g.Head.Mean() != 770 || g.Parameters() != 19202 || !almost(g.Seconds.Mean(), 12.5) || g.Speed.Mean() != 100 || g.Memory.Mean() != 1<<30 {
		t.Errorf("cost %v", g)
	}
	main = groupOf(t, r, "metatt4d r4").Main()
	if !almost(main.Best.Mean(), 0.742) || !almost(main.Best.Std(), 0.023874672772626667) || main.Best.Median() != 0.74 {
		t.Errorf("best %v ± %v, median %v", main.Best.Mean(), main.Best.Std(), main.Best.Median())
	}
}

// Other metrics are those of the evaluation that the main one has chosen, not their own best.
func TestOtherMetricsAreOfTheBestEvaluation(t *testing.T) {
	m := lora(1, 0.7, 0.8, 0.6)
	m.f1 = []float64{0.9, 0.5, 0.4}
	g := reportOf(t, report.Options{}, m).Groups[0]
	if f1 := g.Metrics[1]; len(g.Metrics) != 2 || f1.Name != "f1" || f1.Best.Mean() != 0.5 || f1.Last.Mean() != 0.4 {
		t.Errorf("%+v", g.Metrics)
	}
}

// What tells runs apart is what differs between them beyond method and rank; what differs
// with these, and what says nothing of the numbers, does not.
func TestWhatTellsRunsApart(t *testing.T) {
	with := func(m made, keys ...string) made {
		m.keys = append(slices.Clone(m.keys), keys...)
		return m
	}
	r := reportOf(t, report.Options{}, metatt(1, 0.7), with(metatt(2, 0.7), "threads=2", "run.log_every=3"), lora(1, 0.6),
		with(lora(1, 0.7), "train.warmup=0.2"), with(metatt(1, 0.5), "dmrg.mode=paper", "dmrg.maxdim=3"),
		with(made{seed: 1, accuracies: []float64{0.4}}, "adapter.method=head"))
	if !slices.Equal(r.By, []string{"task", "metric", "method", "rank", "dmrg.mode", "train.warmup"}) || !slices.Equal(r.Also, []string{"train.lr"}) {
		t.Errorf("by %q, also %q", r.By, r.Also)
	}
	var labels []string
	for _, g := range r.Groups {
		labels = append(labels, g.Label)
	}
	want := []string{"head train.warmup=0.06", "lora r2 train.warmup=0.06", "lora r2 train.warmup=0.2", "metatt4d r4 train.warmup=0.06", "metatt4d r4 dmrg.mode=paper train.warmup=0.06"}
	if !slices.Equal(labels, want) {
		t.Errorf("%q, want %q", labels, want)
	}
	if len(r.Notes) != 1 || r.Notes[0] != "runs are not told apart by threads, which differ" {
		t.Errorf("notes %q", r.Notes)
	}

	r = reportOf(t, report.Options{By: []string{"method"}}, metatt(1, 0.7), with(metatt(1, 0.9), "train.warmup=0.2"), lora(1, 0.6))
	if g := groupOf(t, r, "metatt4d"); len(r.Groups) != 2 || !almost(g.Main().Best.Mean(), 0.8) || !slices.Equal(g.Pooled, []string{"train.warmup"}) {
		t.Errorf("%d groups, %+v", len(r.Groups), g)
	}
	if len(r.Notes) != 1 || r.Notes[0] != "MRPC metatt4d: its runs differ in train.warmup" {
		t.Errorf("notes %q", r.Notes)
	}
}

// A budget stands in the place of the rank that it chose, and ranks of bonds in that of one.
func TestRankOrBudget(t *testing.T) {
	budget, ranks := metatt(1, 0.7), metatt(1, 0.7)
	budget.keys = []string{"adapter.budget=20000", "adapter.rank=37"}
	ranks.keys = []string{"adapter.ranks=8,6,4"}
	r := reportOf(t, report.Options{}, budget, ranks, metatt(1, 0.7))
	for _, label := range []string{"metatt4d ≤20000", "metatt4d r8-6-4", "metatt4d r4"} {
		groupOf(t, r, label)
	}
}

// Runs that cannot be counted are said, each with its reason.
func TestLeftOut(t *testing.T) {
	dir := t.TempDir()
	lora(1, 0.7).write(t, dir, "whole")
	unended := lora(2, 0.7)
	unended.unended = true
	unended.write(t, dir, "unended")
	damaged := lora(3, 0.7).write(t, dir, "damaged")
	if err := os.WriteFile(filepath.Join(damaged, "metrics.jsonl"), []byte("nothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	wrong := lora(4, 0.7).write(t, dir, "wrong")
	if err := os.WriteFile(filepath.Join(wrong, "config.yaml"), []byte("tsk: 1\nlr: 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	newer := lora(5, 0.7).write(t, dir, "newer")
	if err := os.WriteFile(filepath.Join(newer, "environment.json"), []byte(`{"moon":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := report.Make(report.Options{Runs: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Runs != 5 || len(r.Groups) != 1 || !slices.Equal(r.Groups[0].Seeds, []int{1, 5}) || len(r.Left) != 3 {
		t.Fatalf("%d runs, %d groups, left %v", r.Runs, len(r.Groups), r.Left)
	}
	for i, want := range []struct{ dir, why string }{{"damaged", "cannot be read: "}, {"unended", "has not ended: at step 10 it is running, was killed, or failed"}, {"wrong", "cannot be read: "}} {
		if l := r.Left[i]; filepath.Base(l.Dir) != want.dir || !strings.HasPrefix(l.Why, want.why) || strings.Contains(l.Why, "\n") {
			t.Errorf("%+v, want %v", l, want)
		}
	}
	if len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "newer: environment.json has entries that this build does not know") {
		t.Errorf("notes %q", r.Notes)
	}
}

func TestRefusals(t *testing.T) {
	empty, only := t.TempDir(), t.TempDir()
	unended := lora(2, 0.7)
	unended.unended = true
	unended.write(t, only, "unended")
	two := t.TempDir()
	lora(1, 0.7).write(t, two, "a")
	metatt(1, 0.7).write(t, two, "b")
	metattOf := metatt(1, 0.7)
	metattOf.keys = []string{"adapter.rank=9"}
	metattOf.write(t, two, "c")
	for want, o := range map[string]report.Options{
		"no run directory is there":                                                       {Runs: []string{empty}},
		"no run to report on, of 1 that were found: the first, " + only:                   {Runs: []string{only}},
		`--by "adapter.rnk": unknown key; did you mean adapter.rank?`:                     {Runs: []string{two}, By: []string{"method", "adapter.rnk"}},
		`--by "metod": did you mean method?`:                                              {Runs: []string{two}, By: []string{"metod"}},
		`--against dora: no group is that; there are "lora r2", "metatt4d r4", "metatt4d`: {Runs: []string{two}, Against: "dora"},
		`--against metatt4d: several groups of MRPC are that: "metatt4d r4`:               {Runs: []string{two}, Against: "metatt4d"},
	} {
		if _, err := report.Make(o); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// Groups of a task that were judged by other metrics, or on other dev sets, are not compared.
func TestJudgedOtherwise(t *testing.T) {
	with := func(keys ...string) func(made) made {
		return func(m made) made { m.keys = slices.Concat(m.keys, keys); return m }
	}
	custom := func(dev string) func(made) made { return with("task=custom", "data.train=train.tsv", "data.dev="+dev) }
	for name, c := range map[string]struct {
		one, other func(made) made
		want       []string
	}{
		"metric":  {with(), with("train.best_metric=f1"), []string{"MRPC, by accuracy", "MRPC, by f1"}},
		"dev set": {custom("/a.tsv"), custom("/b.tsv"), []string{"custom, data.dev=/a.tsv", "custom, data.dev=/b.tsv"}},
		"limit":   {with(), with("data.limit=100"), []string{"MRPC, without data.limit", "MRPC, data.limit=100"}},
		"seed":    {with("data.limit=100", "data.limit_seed=1"), with("data.limit=100", "data.limit_seed=2"), []string{"MRPC, data.limit_seed=1", "MRPC, data.limit_seed=2"}},
	} {
		r := reportOf(t, report.Options{}, c.one(lora(1, 0.7)), c.one(metatt(1, 0.8)), c.other(lora(1, 0.4)), c.other(metatt(1, 0.45)))
		if len(r.Groups) != 4 {
			t.Fatalf("%s: %d groups", name, len(r.Groups))
		}
		compared := map[string]string{}
		for _, g := range r.Groups {
			if !slices.Contains(c.want, g.Task) {
				t.Errorf("%s: a group of %q, want %q", name, g.Task, c.want)
			}
			if g.Against != nil {
				compared[g.Task] = fmt.Sprintf("%.2f", g.Against.Mean())
			}
		}
		if want := map[string]string{c.want[0]: "0.10", c.want[1]: "0.05"}; !maps.Equal(compared, want) {
			t.Errorf("%s: differences %v, want %v", name, compared, want)
		}
		if tables := r.Tables(); len(tables) != 8 {
			t.Errorf("%s: %d tables", name, len(tables))
		}
	}
}
