package run_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/inspect"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/train"
)

// sweeping is a run of every way to adapt ranks.
var sweeping = map[string]struct {
	keys  []string
	ranks []int64 // in the end; nil: what the loss decides
}{
	"canonical":                {[]string{"dmrg.mode=canonical", "dmrg.at=2,4", "dmrg.maxdim=3,2", "dmrg.cutoff=1e-12", "dmrg.moments=reset"}, []int64{2, 2, 2}},
	"canonical transport":      {[]string{"dmrg.mode=canonical", "dmrg.at=2,4", "dmrg.maxdim=3,2", "dmrg.moments=transport", "dmrg.balance=sqrt"}, []int64{2, 2, 2}},
	"paper":                    {[]string{"dmrg.mode=paper", "dmrg.at=2,4", "dmrg.maxdim=3,2", "dmrg.balance=scalar"}, []int64{2, 2, 2}},
	"budget":                   {[]string{"dmrg.mode=canonical", "dmrg.at=3", "dmrg.budget=70"}, nil},
	"probe":                    {[]string{"dmrg.mode=paper", "dmrg.at=3", "dmrg.maxdim=1", "dmrg.tol=1e-12", "train.seed=3", "dmrg.probe_batches=1"}, nil},
	"transport from the start": {[]string{"dmrg.mode=canonical", "dmrg.at=0,3", "dmrg.maxdim=3", "dmrg.moments=transport", "dmrg.tol=9"}, []int64{3, 3, 3}},
	"enrich from the start":    {[]string{"dmrg.mode=enrich", "dmrg.at=0,4", "dmrg.maxdim=4", "dmrg.moments=transport", "adapter.rank=2", "dmrg.balance=scalar"}, []int64{4, 4, 4}},
	"5d":                       {[]string{"adapter.method=metatt5d", "dmrg.mode=canonical", "dmrg.at=2,4", "dmrg.maxdim=3,2", "dmrg.moments=transport"}, []int64{2, 2, 2, 2}},
	"5d two-site":              {[]string{"adapter.method=metatt5d", "dmrg.mode=two-site", "dmrg.at=1", "dmrg.pair_steps=1", "dmrg.maxdim=2"}, nil},
	"task mode":                {[]string{"adapter.task_after=layer", "dmrg.mode=paper", "dmrg.at=3", "dmrg.maxdim=2"}, []int64{2, 2, 2, 2}},
	"task mode two-site":       {[]string{"adapter.task_after=matrix", "adapter.rank=2", "dmrg.mode=two-site", "dmrg.at=1", "dmrg.pair_steps=1", "dmrg.maxdim=2", "dmrg.budget=60"}, nil},
	"5d, a task mode, enrich":  {[]string{"adapter.method=metatt5d", "adapter.task_after=head", "adapter.rank=2", "dmrg.mode=enrich", "dmrg.at=1,4", "dmrg.grow=1", "dmrg.maxdim=2"}, []int64{2, 2, 2, 2, 2}},
	"restart":                  {[]string{"dmrg.mode=restart", "dmrg.at=2,5"}, []int64{4, 4, 4}},
	"enrich":                   {[]string{"dmrg.mode=enrich", "dmrg.at=2,4", "dmrg.maxdim=5", "dmrg.grow=2", "dmrg.moments=transport", "dmrg.gradient_batches=1"}, []int64{5, 5, 5}},
	"enrich from nothing":      {[]string{"dmrg.mode=enrich", "dmrg.at=0,4", "adapter.rank=1", "dmrg.maxdim=2", "dmrg.grow=1"}, []int64{2, 2, 2}},
	"tt-lora":                  {[]string{"adapter.method=tt-lora", "adapter.rank=3", "dmrg.mode=canonical", "dmrg.at=2,4", "dmrg.maxdim=2,1"}, []int64{1}},
	"loretta-rep":              {[]string{"adapter.method=loretta-rep", "adapter.tt_rank=2", "dmrg.mode=paper", "dmrg.at=3", "dmrg.maxdim=1", "dmrg.tol=10"}, []int64{1}},
	"loretta-rep restart":      {[]string{"adapter.method=loretta-rep", "adapter.tt_rank=2", "dmrg.mode=restart", "dmrg.at=3"}, []int64{2}},
	"two-site":                 {[]string{"dmrg.mode=two-site", "dmrg.at=1", "dmrg.pair_steps=2", "dmrg.maxdim=3", "dmrg.tol=1e-3", "dmrg.probe_batches=1"}, nil},
	"two-site there and back": {[]string{
		"dmrg.mode=two-site", "dmrg.at=0,4", "dmrg.pair_steps=1", "dmrg.maxdim=2,3", "adapter.init=no-no-or-ze", "dmrg.balance=sqrt"}, nil},
}

// A run whose ranks change ends, after any interruption, as one that was left
// alone; its adapter opens with the ranks that were asked for.
func TestRanksAdaptAndResume(t *testing.T) {
	for name, c := range sweeping {
		t.Run(name, func(t *testing.T) {
			keys := append([]string{"train.max_steps=8", "adapter.rank=4", "dmrg.unit=step", "train.checkpoint_every=never"}, c.keys...)
			summary, err := run.Train(t.Context(), tiny(t, keys...))
			if err != nil {
				t.Fatal(err)
			}
			if c.ranks != nil && !slices.Equal(summary.Ranks, c.ranks) {
				t.Errorf("ranks %v, want %v", summary.Ranks, c.ranks)
			}
			saved, err := adapter.Read(filepath.Join(summary.RunDir, "adapter", "best"))
			if err != nil {
				t.Fatal(err)
			}
			saved.Close()
			ranks := saved.Config.Ranks
			if saved.Config.TTRank > 0 {
				ranks = []int64{saved.Config.TTRank}
			}
			if !slices.Equal(ranks, summary.Ranks) {
				t.Errorf("the best adapter has ranks %v, the run ended with %v", ranks, summary.Ranks)
			}
			for stop := 1; stop < 8; stop++ {
				o := tiny(t, keys...)
				interrupted(t, o, stop)
				again, err := run.Resume(t.Context(), o.Config.Run.Dir, o)
				if err != nil {
					t.Fatal(err)
				}
				for _, file := range []string{train.MetricsFile, filepath.Join("adapter", "last", adapter.WeightsFile)} {
					want, err := os.ReadFile(filepath.Join(summary.RunDir, file))
					if err != nil {
						t.Fatal(err)
					}
					if got, err := os.ReadFile(filepath.Join(again.RunDir, file)); err != nil || !bytes.Equal(got, want) {
						t.Errorf("stopped after step %d: %s differs (%v)", stop, file, err)
					}
				}
			}
		})
	}
}

// sweeps are the sweep events of a run.
func sweeps(t *testing.T, dir string) []sweepEvent {
	t.Helper()
	var events []sweepEvent
	for line := range bytes.Lines(metrics(t, dir)) {
		var e sweepEvent
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		if e.Event == "sweep" {
			events = append(events, e)
		}
	}
	return events
}

type sweepEvent struct {
	Event      string
	Step       int
	Pair       *int
	Ranks      []int64
	Parameters int64
	Norm       float64
	Error      float64
	Probe      *struct {
		Before, After float64
		Undone        int
	}
	Bonds []struct {
		Spectrum      []float64
		Before, After int64
	}
}

func TestSweepsKeepTheirPromises(t *testing.T) {
	base := []string{"train.max_steps=6", "adapter.rank=4", "dmrg.unit=step"}
	train := func(keys ...string) []sweepEvent {
		t.Helper()
		s, err := run.Train(t.Context(), tiny(t, append(base, keys...)...))
		if err != nil {
			t.Fatal(err)
		}
		return sweeps(t, s.RunDir)
	}
	if e := train("dmrg.mode=canonical", "dmrg.at=3", "dmrg.budget=70")[0]; e.Parameters > 70 || e.Parameters < 40 {
		t.Errorf("%d parameters within a budget of 70", e.Parameters)
	}
	// No rise at all is allowed: every cut that shows in the loss is undone.
	if e := train("dmrg.mode=canonical", "dmrg.at=3", "dmrg.maxdim=1", "dmrg.tol=1e-12", "train.seed=3")[0]; e.Probe == nil || e.Probe.Undone == 0 || slices.Max(e.Ranks) == 1 || e.Probe.After > e.Probe.Before+1e-6 { // fp32 of the loss
		t.Errorf("a cut to rank 1 stands: %+v, ranks %v", e.Probe, e.Ranks)
	}
	// A full-rank sweep changes nothing that shows.
	e := train("dmrg.mode=paper", "dmrg.at=3", "dmrg.tol=1")[0]
	if d := e.Probe.After - e.Probe.Before; d > 1e-5 || d < -1e-5 || e.Error > 1e-5*e.Norm {
		t.Errorf("a sweep at full rank: probe loss %v to %v, error %v of %v", e.Probe.Before, e.Probe.After, e.Error, e.Norm)
	}
	// Growing leaves the loss as it is and the next steps use what grew.
	grown := train("dmrg.mode=enrich", "dmrg.at=1,4", "dmrg.grow=1", "adapter.rank=1", "dmrg.maxdim=2")
	if !slices.Equal(grown[0].Ranks, []int64{2, 2, 2}) {
		t.Errorf("grown to %v", grown[0].Ranks)
	}
	for b, bond := range grown[1].Bonds {
		if len(bond.Spectrum) != 2 || bond.Spectrum[1] < 1e-6*bond.Spectrum[0] {
			t.Errorf("bond %d: what grew was not learned: %v", b, bond.Spectrum)
		}
	}
	// Each pair once, to the right; then all cores.
	var pairs []int
	for _, e := range train("dmrg.mode=two-site", "dmrg.at=1", "dmrg.pair_steps=1", "dmrg.maxdim=3") {
		if e.Pair != nil {
			pairs = append(pairs, *e.Pair)
			if e.Step != 2+*e.Pair {
				t.Errorf("pair %d is split after step %d", *e.Pair, e.Step)
			}
		}
	}
	if !slices.Equal(pairs, []int{0, 1, 2}) {
		t.Errorf("pairs %v", pairs)
	}
}

// What was best before a sweep stays; what is said of a run that stops after it is
// of the ranks that it has then.
func TestBestBeforeASweep(t *testing.T) {
	plan, err := run.Describe(t.Context(), tiny(t))
	if err != nil {
		t.Fatal(err)
	}
	at := plan.StepsPerEpoch + 1
	o := tiny(t, "dmrg.mode=canonical", "dmrg.unit=step", fmt.Sprint("dmrg.at=", at), "dmrg.maxdim=1")
	dir := o.Config.Run.Dir
	ranks := func(want []int64, folder ...string) {
		t.Helper()
		i, err := inspect.Adapter(inspect.Options{Dir: filepath.Join(append([]string{dir}, folder...)...)})
		if err != nil || !slices.Equal(i.Config.Ranks, want) {
			t.Errorf("%v: ranks %v, want %v (%v)", folder, i.Config.Ranks, want, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	o.Observer = silent{step: func(s train.StepInfo) {
		if s.Step == at {
			cancel()
		}
	}}
	s, err := run.Train(ctx, o)
	if !errors.Is(err, train.ErrInterrupted) || s.Best != nil || s.Last != nil {
		t.Fatalf("best %v, last %v of a run whose ranks have not been judged (%v)", s.Best, s.Last, err)
	}
	ranks([]int64{4, 4, 4}, "adapter", "best-before-sweep-1")
	ranks([]int64{1, 1, 1}) // there is no best one of these ranks yet: the last
	if plan, err = run.Describe(t.Context(), tiny(t, "adapter.init_from="+dir)); err != nil || !slices.Equal(plan.Ranks, []int64{1, 1, 1}) {
		t.Errorf("goes on from a run's adapter: %+v (%v)", plan, err)
	}
	o.Observer = silent{}
	if _, err := run.Resume(t.Context(), dir, o); err != nil {
		t.Fatal(err)
	}
	ranks([]int64{1, 1, 1}, "adapter", "best")
	ranks([]int64{4, 4, 4}, "adapter", "best-before-sweep-1")
}

// A run that goes on from before a sweep, when its best is already of after it,
// leaves what was best before.
func TestBestBeforeASweepOutlivesACrash(t *testing.T) {
	plan, err := run.Describe(t.Context(), tiny(t))
	if err != nil {
		t.Fatal(err)
	}
	o := tiny(t, "dmrg.mode=canonical", "dmrg.unit=step", fmt.Sprint("dmrg.at=", plan.StepsPerEpoch+2), "dmrg.maxdim=1")
	dir := o.Config.Run.Dir
	interrupted(t, o, plan.StepsPerEpoch+1) // the best of the first epoch is known
	checkpoints, aside := filepath.Join(dir, "checkpoints"), filepath.Join(t.TempDir(), "checkpoints")
	if err := os.CopyFS(aside, os.DirFS(checkpoints)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := run.Resume(t.Context(), dir, o); err != nil {
			t.Fatal(err)
		}
		i, err := inspect.Adapter(inspect.Options{Dir: filepath.Join(dir, "adapter", "best-before-sweep-1")})
		if err != nil || !slices.Equal(i.Config.Ranks, []int64{4, 4, 4}) {
			t.Errorf("ranks %v, want those before the sweep (%v)", i.Config.Ranks, err)
		}
		if err := os.RemoveAll(checkpoints); err != nil { // and all is as it was when it crashed
			t.Fatal(err)
		}
		if err := os.CopyFS(checkpoints, os.DirFS(aside)); err != nil {
			t.Fatal(err)
		}
	}
}

// What is asked of sweeps and has no effect is said, and nothing else.
func TestIdleSweepKeysAreSaid(t *testing.T) {
	for _, c := range []struct {
		keys []string
		want string
	}{
		{[]string{"dmrg.at=2"}, "none of maxdim, cutoff and budget says what sweeps cut"},
		{[]string{"dmrg.at=2", "dmrg.maxdim=2", "dmrg.rewarm=99"}, "dmrg.rewarm 99 has no effect"},
		{[]string{"dmrg.at=2", "dmrg.maxdim=2", "dmrg.probe_batches=2"}, "dmrg.probe_batches 2 has no effect without dmrg.tol"},
		{[]string{"dmrg.maxdim=2", "train.max_steps=0", "train.epochs=2"}, "dmrg.unit step has no effect without dmrg.at"},
		{[]string{"dmrg.at=2", "dmrg.maxdim=2", "dmrg.rewarm=99", "dmrg.moments=reset", "dmrg.probe_batches=2", "dmrg.tol=1"}, ""},
	} {
		var said []string
		o := tiny(t, append([]string{"train.max_steps=8", "dmrg.mode=canonical", "dmrg.unit=step"}, c.keys...)...)
		o.Observer = notes{texts: &said}
		if _, err := run.Describe(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if text := strings.Join(said, "\n"); !strings.Contains(text, c.want) || c.want == "" && strings.Contains(text, "dmrg") {
			t.Errorf("%v: said is %s, want %q", c.keys, text, c.want)
		}
	}
}

func TestWrongPlansAreErrors(t *testing.T) {
	for want, keys := range map[string][]string{
		"lora has no tensor train whose ranks could be adapted":                  {"dmrg.mode=canonical", "adapter.method=lora", "dmrg.at=2"},
		"trains of tt-lora share one rank, which modes canonical":                {"dmrg.mode=enrich", "adapter.method=tt-lora", "adapter.rank=2", "dmrg.at=2"},
		"the sweep after step 6 would end after step 9; the run has 8":           {"dmrg.mode=two-site", "dmrg.at=6", "dmrg.pair_steps=1"},
		"a sweep after step 3 cannot follow one after step 2 that takes 3 steps": {"dmrg.mode=two-site", "dmrg.at=2,3", "dmrg.pair_steps=1"},
		"at: the only sweep is due before the first step":                        {"dmrg.mode=paper", "dmrg.at=0", "dmrg.maxdim=2"},
		"a component without weight has no root to share":                        {"dmrg.mode=enrich", "dmrg.at=2,3", "dmrg.balance=sqrt"},
		"the sweep after step 9 would end after step 9; the run has 8":           {"dmrg.mode=paper", "dmrg.at=9"},
		"needs two sweeps or more":                                               {"dmrg.mode=enrich", "dmrg.at=2"},
		"and there is nothing to truncate":                                       {"dmrg.mode=canonical", "adapter.method=tt-lora", "adapter.rank=2", "dmrg.at=0", "dmrg.maxdim=1"},
		"budget 60: with all ranks 2 there are":                                  {"dmrg.mode=canonical", "dmrg.at=2", "dmrg.mindim=2", "dmrg.cutoff=0.1", "dmrg.budget=60"},
		"budget 20: with all ranks 1 there are 29 parameters":                    {"dmrg.mode=canonical", "dmrg.at=2", "dmrg.budget=20"},
		"budget 20: with all ranks 1 there are ":                                 {"dmrg.mode=paper", "adapter.method=tt-lora", "adapter.rank=2", "dmrg.at=2", "dmrg.budget=20"},
		"dmrg.at: empty, and no epoch of ":                                       {"dmrg.mode=paper", "train.max_steps=1"},
		"dmrg.maxdim: 3 values for the sweeps that are due, 1":                   {"dmrg.mode=paper", "dmrg.at=2", "dmrg.maxdim=4,3,2"},
		"dmrg.mindim: 2 values for the sweeps that are due, 1":                   {"dmrg.mode=canonical", "train.max_steps=0", "train.epochs=2", "dmrg.mindim=4,3"},
		"hold out all 45 training examples of MRPC while a pair is trained":      {"dmrg.mode=two-site", "dmrg.at=1", "dmrg.pair_steps=1", "dmrg.tol=0.1", "dmrg.probe_batches=12"},
	} {
		o := tiny(t, append([]string{"train.max_steps=8", "dmrg.unit=step"}, keys...)...)
		if _, err := run.Train(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v, want %q", keys, err, want)
		}
		if _, err := os.Stat(o.Config.Run.Dir); err == nil {
			t.Errorf("%v: a run directory was made", keys)
		}
	}
}
