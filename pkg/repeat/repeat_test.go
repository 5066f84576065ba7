package repeat_test

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/record"
	"github.com/metatt/metatt/pkg/repeat"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/run/runtest"
	"github.com/metatt/metatt/pkg/train"
)

// short are runs with evaluations and checkpoints between the epochs.
var short = []string{"train.max_steps=9", "train.eval_every=3", "train.checkpoint_every=4"}

func trained(t *testing.T, keys ...string) string {
	t.Helper()
	s, err := run.Train(t.Context(), runtest.Tiny(t, slices.Concat(short, keys)...))
	if err != nil {
		t.Fatal(err)
	}
	return s.RunDir
}

func prepare(t *testing.T, dir string) *repeat.Plan {
	t.Helper()
	p, err := repeat.Prepare(t.Context(), dir, "", run.Options{Version: "test"}, func(text string) { t.Log(text) })
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func repeated(t *testing.T, dir string) (*repeat.Plan, *repeat.Comparison) {
	t.Helper()
	p := prepare(t, dir)
	c, err := p.Train(t.Context(), runtest.Silent{}, run.Train)
	if err != nil {
		t.Fatal(err)
	}
	return p, c
}

// change edits a file.
func change(t *testing.T, path, old, with string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("%s has no %s", path, old)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), old, with, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A run that is made again comes out the same, number by number, whatever stands in it.
func TestSame(t *testing.T) {
	first := trained(t)
	for name, c := range map[string]struct {
		keys           []string
		sweeps, tensor int
		adapters       []string
	}{
		"one task": {nil, 0, 6, []string{"best", "last"}},
		"sweeps":   {[]string{"dmrg.mode=canonical", "dmrg.unit=step", "dmrg.at=4", "dmrg.maxdim=2"}, 1, 6, []string{"best", "last", "best-before-sweep-1"}},
		"penalty":  {[]string{"adapter.method=adalora", "adapter.rank=2"}, 0, 8, []string{"best", "last", "best-before-pruning"}},
		"goes on":  {[]string{"adapter.init_from=" + first}, 0, 6, []string{"best", "last"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := trained(t, c.keys...)
			p, got := repeated(t, dir)
			if len(p.Differences) > 0 || !got.Same() || got.Short != "" || got.Steps != 9 || p.Dir != dir+"-repeat" || got.Dir != p.Dir {
				t.Errorf("%v, %+v", p.Differences, got)
			}
			if got.Losses.Same != 9 || got.Rates.Same != 9 || got.Evaluations.Same != 3 || got.Sweeps.Compared != c.sweeps || len(got.NotKept) > 0 {
				t.Errorf("%+v", got)
			}
			var adapters []string
			for _, a := range got.Adapters {
				adapters = append(adapters, a.Name)
				if a.Tensors < c.tensor || a.Same != a.Tensors {
					t.Errorf("%+v", a)
				}
			}
			if !slices.Equal(adapters, c.adapters) {
				t.Errorf("adapters %q, want %q", adapters, c.adapters)
			}
			// A second one has a folder of its own.
			if again := prepare(t, dir); again.Dir != dir+"-repeat-2" {
				t.Errorf("again in %s", again.Dir)
			}
		})
	}
}

// stopper stops a run after a step, or after that step's evaluation.
type stopper struct {
	runtest.Silent
	step, eval int
	stop       func()
}

func (s stopper) Step(i train.StepInfo) {
	if i.Step == s.step {
		s.stop()
	}
}

func (s stopper) Eval(i train.EvalInfo) {
	if i.Step == s.eval {
		s.stop()
	}
}

// stopped is a run that was interrupted.
func stopped(t *testing.T, s stopper, keys ...string) string {
	t.Helper()
	o := runtest.Tiny(t, slices.Concat(short, keys)...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.stop = cancel
	o.Observer = s
	if _, err := run.Train(ctx, o); !errors.Is(err, train.ErrInterrupted) {
		t.Fatal(err)
	}
	return o.Config.Run.Dir
}

// A run that was interrupted is repeated to the step, and with the events, that its record ends with.
func TestInterrupted(t *testing.T) {
	for name, c := range map[string]struct {
		at          stopper
		keys        []string
		steps       int
		evaluations int
		sweeps      int
	}{
		"between evaluations":   {stopper{step: 5}, nil, 5, 1, 0},
		"before an evaluation":  {stopper{step: 6}, nil, 6, 1, 0},
		"behind an evaluation":  {stopper{eval: 6}, nil, 6, 2, 0},
		"behind a sweep":        {stopper{step: 4}, []string{"dmrg.mode=canonical", "dmrg.unit=step", "dmrg.at=4", "dmrg.maxdim=2"}, 4, 1, 1},
		"behind the first step": {stopper{step: 1}, nil, 1, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := stopped(t, c.at, c.keys...)
			p, got := repeated(t, dir)
			if p.Record.State != record.Interrupted || !got.Same() || got.Short != "as far as the record goes: the run is interrupted" {
				t.Errorf("%s, %+v", p.Record.State, got)
			}
			if got.Steps != c.steps || got.Losses.Same != c.steps || got.Evaluations.Compared != c.evaluations || got.Sweeps.Compared != c.sweeps {
				t.Errorf("%+v", got)
			}
			again, err := record.Read(p.Dir)
			if err != nil || again.Last() != c.steps || again.State != record.Interrupted || len(again.Evals) != c.evaluations || len(again.Sweeps) != c.sweeps {
				t.Errorf("%+v (%v)", again, err)
			}
			if !slices.ContainsFunc(got.Adapters, func(a repeat.Adapter) bool { return a.Name == "last" && a.Same == a.Tensors && a.Tensors > 0 }) {
				t.Errorf("%+v", got.Adapters)
			}
		})
	}
}

// A run that was killed has no adapter of its last step; of what its record lost, nothing is expected.
func TestUnfinished(t *testing.T) {
	dir := stopped(t, stopper{step: 7})
	if err := os.Remove(filepath.Join(dir, run.SummaryFile)); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(filepath.Join(dir, train.MetricsFile), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(`{"event":"st`); err != nil {
		t.Fatal(err)
	}
	file.Close()
	_, got := repeated(t, dir)
	if !got.Same() || got.Steps != 7 || got.Short != "as far as the record goes: the run is unfinished" || !slices.Contains(got.NotKept, "adapter/last: the run was not saved where its record ends") {
		t.Errorf("%+v", got)
	}
	// Without weights it is still a record.
	if err := os.RemoveAll(filepath.Join(dir, "adapter")); err != nil {
		t.Fatal(err)
	}
	if _, got := repeated(t, dir); !got.Same() || got.Steps != 7 || len(got.Adapters) > 0 || len(got.NotKept) != 2 {
		t.Errorf("%+v", got)
	}
}

// What came out otherwise is found: each number, its step and its size.
func TestNumbersThatDiffer(t *testing.T) {
	dir := trained(t)
	p := prepare(t, dir)
	metrics := filepath.Join(dir, train.MetricsFile)
	text, err := os.ReadFile(metrics)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	change(t, metrics, lines[1], strings.Replace(lines[1], `"loss":0.`, `"loss":1.`, 1))
	change(t, metrics, `"accuracy":`, `"accuracy":1`)
	c, err := p.Train(t.Context(), runtest.Silent{}, run.Train)
	if err != nil {
		t.Fatal(err)
	}
	if !c.Same() {
		t.Errorf("what was read before is compared: %+v", c)
	}
	p, c = repeated(t, dir)
	if len(p.Differences) > 0 || c.Same() || c.Losses.Same != 8 || c.Losses.First != 2 || c.Losses.At != 2 ||
		math.Abs(c.Losses.Largest-1) > 1.0/(1<<22) { // fp32 has one bit less for what the change made of the loss
		t.Errorf("%v, %+v", p.Differences, c.Losses)
	}
	if c.Evaluations.Same != 2 || len(c.Figures) != 1 || c.Figures[0].Name != "accuracy" || c.Figures[0].Step != 3 {
		t.Errorf("%+v, %+v", c.Evaluations, c.Figures)
	}
}

// An adapter whose tensors are others says which differs the most.
func TestTensorsThatDiffer(t *testing.T) {
	dir, other := trained(t), trained(t, "train.lr=2e-2")
	for _, name := range []string{"best", "last"} {
		if err := os.CopyFS(filepath.Join(dir, "aside", name), os.DirFS(filepath.Join(dir, "adapter", name))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.RemoveAll(filepath.Join(dir, "adapter")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "adapter"), os.DirFS(filepath.Join(other, "adapter"))); err != nil {
		t.Fatal(err)
	}
	_, c := repeated(t, dir)
	last := c.Adapters[len(c.Adapters)-1]
	if c.Same() || c.Losses.Same != 9 || last.Name != "last" || last.Same == last.Tensors || last.Largest <= 1e-5 || last.Largest > 1 || last.In == "" {
		t.Errorf("%+v", c)
	}
	// Tensors of other shapes.
	wide := trained(t, "adapter.rank=5")
	if err := os.RemoveAll(filepath.Join(dir, "adapter")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "adapter"), os.DirFS(filepath.Join(wide, "adapter"))); err != nil {
		t.Fatal(err)
	}
	if _, c := repeated(t, dir); c.Same() {
		t.Errorf("%+v", c)
	}
}

// Data and weights that are no longer those of the record are named, and so is what an older program did not record.
func TestDifferences(t *testing.T) {
	model, glue := filepath.Join(t.TempDir(), "model"), filepath.Join(t.TempDir(), "glue")
	for to, from := range map[string]string{model: "testdata/tiny-bert", glue: "testdata/glue"} {
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	dir := trained(t, "model.path="+model, "data.glue="+glue)
	change(t, filepath.Join(glue, "MRPC/dev.tsv"), "king", "cat")
	if err := os.WriteFile(filepath.Join(model, "special_tokens_map.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, c := repeated(t, dir)
	var what []string
	for _, d := range p.Differences {
		what = append(what, d.What)
	}
	if want := []string{"model special_tokens_map.json", "data MRPC/dev.tsv"}; !slices.Equal(what, want) || p.Differences[0].Then != "not recorded" {
		t.Errorf("%q, want %q", p.Differences, want)
	}
	if c.Losses.Same != 9 || c.Evaluations.Same == 3 {
		t.Errorf("%+v", c)
	}
	change(t, filepath.Join(dir, run.EnvironmentFile), `"inputs"`, `"former"`)
	change(t, filepath.Join(dir, run.EnvironmentFile), `"executable_sha256"`, `"former"`)
	p = prepare(t, dir)
	if p.Differences[0].What != "program" || len(p.Differences) < 6 || len(p.Record.Notes) == 0 {
		t.Errorf("%q, notes %q", p.Differences, p.Record.Notes)
	}
}

// A repetition that is stopped is compared as far as it went.
func TestStoppedRepetition(t *testing.T) {
	dir := trained(t)
	p := prepare(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c, err := p.Train(ctx, stopper{step: 5, stop: cancel}, run.Train)
	if !errors.Is(err, train.ErrInterrupted) || c == nil || !c.Same() || c.Steps != 5 || c.Short != "the repetition was stopped; the run's record has 9" {
		t.Errorf("%+v, %v", c, err)
	}
	failing := func(context.Context, run.Options) (*run.Summary, error) { return nil, errors.New("no space left") }
	if c, err := prepare(t, dir).Train(t.Context(), runtest.Silent{}, failing); err == nil || c != nil {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestRefused(t *testing.T) {
	note := func(string) {}
	if _, err := repeat.Prepare(t.Context(), t.TempDir(), "", run.Options{}, note); err == nil || !strings.Contains(err.Error(), "is not a run directory") {
		t.Errorf("no run: %v", err)
	}
	dir := trained(t)
	if err := os.Truncate(filepath.Join(dir, train.MetricsFile), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := repeat.Prepare(t.Context(), dir, "", run.Options{}, note); err == nil || err.Error() != dir+": the run has recorded no step: there is nothing to compare with" {
		t.Errorf("no steps: %v", err)
	}
	other := trained(t)
	p, err := repeat.Prepare(t.Context(), other, dir, run.Options{}, note)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Train(t.Context(), runtest.Silent{}, run.Train); err == nil || !strings.Contains(err.Error(), "holds a run already") {
		t.Errorf("in another's folder: %v", err)
	}
}
