package train_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/dmrg"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/optim"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/train"
	"github.com/metatt/metatt/pkg/train/ranks"
	"github.com/metatt/metatt/pkg/train/traintest"
)

// hook calls its functions.
type hook struct{ begin, after func(*train.Trainer) error }

func (h hook) Begin(t *train.Trainer) error {
	if h.begin == nil {
		return nil
	}
	return h.begin(t)
}

func (h hook) After(_ context.Context, t *train.Trainer) error {
	if h.after == nil {
		return nil
	}
	return h.after(t)
}

// bits are those of the parameters that which chooses, with their moments and progress, by name.
func bits(t *train.Trainer) map[string]string {
	all := map[string]string{}
	torch.Scoped(func() {
		progress := t.Optimizer().Progress()
		for i, p := range t.Optimizer().Parameters() {
			m, v := t.Optimizer().Moments(i)
			text := fmt.Sprint(progress[i])
			for _, tensor := range []*torch.Tensor{p.Value.Detach(), m, v} {
				for _, x := range torch.ToSlice[float32](tensor) {
					text += fmt.Sprintf(" %08x", math.Float32bits(x))
				}
			}
			all[p.Name] = text
		}
	})
	return all
}

// Gradients of micro-batches add up to that of their union, without dropout.
func TestGradientsOfMicroBatchesAddUp(t *testing.T) {
	for _, name := range []string{"cola", "mnli", "sts-b"} {
		s := traintest.Setup(t, map[string]int{name: 29})
		s.Tasks[0].Weight = 0.75
		s.Dropout, s.Options.Steps, s.Options.BatchSize, s.Options.Accumulate = encoder.Dropout{}, 1, 8, 4 // 8, 8, 8 and 5
		s.Hooks = []train.Hook{hook{begin: func(t0 *train.Trainer) error {
			torch.Seed(2)
			torch.NoGrad(func() {
				for _, p := range s.Adapter.Parameters() { // ΔW is zero at the start, and so are most gradients
					p.Tensor.Detach().CopyFrom(torch.Randn(torch.Float32, torch.CPU, p.Tensor.Shape()...).MulScalar(0.3))
				}
			})
			step, err := t0.Source().Step(0)
			if err != nil {
				return err
			}
			gradients := func(micros []train.Micro) [][]float32 {
				t0.Optimizer().ZeroGradients()
				for _, m := range micros {
					t0.Objective().Backward(m)
				}
				var all [][]float32
				for i := range t0.Optimizer().Parameters() {
					all = append(all, torch.ToSlice[float32](t0.Optimizer().Gradient(i)))
				}
				return all
			}
			parts := gradients(step.Micros)
			var union []int
			for _, m := range step.Micros {
				union = append(union, m.Batch.Indices...)
			}
			whole := gradients([]train.Micro{{Batch: s.Tasks[0].Train.Batch(union), Share: 1, First: true}})
			if len(step.Micros) != 4 || len(union) != 29 {
				t.Errorf("%s: %d micro-batches of %d examples", name, len(step.Micros), len(union))
			}
			for i, p := range t0.Optimizer().Parameters() {
				var off, size float64
				for k := range whole[i] {
					off += math.Pow(float64(parts[i][k]-whole[i][k]), 2)
					size += math.Pow(float64(whole[i][k]), 2)
				}
				if size == 0 || math.Sqrt(off) > 1e-6*math.Sqrt(size) {
					t.Errorf("%s: the gradient of %s is off by %v of %v", name, p.Name, math.Sqrt(off), math.Sqrt(size))
				}
			}
			loss, all := t0.Objective().Loss(step.Micros), t0.Objective().Loss([]train.Micro{{Batch: s.Tasks[0].Train.Batch(union), Share: 1}})
			if math.Abs(loss-all) > 1e-6*all {
				t.Errorf("%s: a loss of %v in parts, of %v in one", name, loss, all)
			}
			return nil
		}}}
		traintest.Train(t, s)
	}
}

// The head of a task that has no examples in a step stays as it is: value, moments and
// updates; all else moves.
func TestHeadsWithoutExamples(t *testing.T) {
	s := traintest.Setup(t, map[string]int{"cola": 23, "mnli": 3, "sts-b": 9})
	s.Options.Steps, s.Options.Accumulate = 15, 2
	var before map[string]string
	absent, present := 0, 0
	s.Hooks = []train.Hook{hook{after: func(t0 *train.Trainer) error {
		now := bits(t0)
		if t0.Step() > 0 {
			step, err := t0.Source().Step(t0.Step() - 1)
			if err != nil {
				return err
			}
			for name, was := range before {
				trained := true
				for k, task := range s.Tasks {
					if strings.HasPrefix(name, adapter.HeadPrefix(task.Name)) {
						trained = slices.ContainsFunc(step.Micros, func(m train.Micro) bool { return m.Task == k })
						if trained {
							present++
						} else {
							absent++
						}
					}
				}
				if moved := now[name] != was; moved != trained {
					t.Errorf("step %d: %s moved: %v, has examples: %v", t0.Step(), name, moved, trained)
				}
			}
		}
		before = now
		return nil
	}}}
	traintest.Train(t, s)
	if absent < 6 || present < 6 || len(before) != 3*2+4 {
		t.Errorf("%d parameters; heads had examples %d times, and none %d times: the test tells little", len(before), present, absent)
	}
}

// events are those of a kind in metrics.jsonl, as one struct.
func events(t *testing.T, dir, kind string) (list []struct {
	Event       string
	Step, Epoch int
	Loss        float64
	Losses      map[string]float64
	Best        bool
}) {
	t.Helper()
	for line := range strings.Lines(traintest.Metrics(t, dir)) {
		list = append(list, struct {
			Event       string
			Step, Epoch int
			Loss        float64
			Losses      map[string]float64
			Best        bool
		}{})
		last := &list[len(list)-1]
		if err := json.Unmarshal([]byte(line), last); err != nil {
			t.Fatal(err)
		}
		if last.Event != kind {
			list = list[:len(list)-1]
		}
	}
	return list
}

// A step's loss is the mean over its examples, whatever task they are of; beside it
// stands that of each task that had some.
func TestLossesOfTasks(t *testing.T) {
	s := traintest.Setup(t, map[string]int{"cola": 13, "mnli": 7})
	s.Dropout, s.Options.Accumulate, s.Options.Schedule = encoder.Dropout{}, 3, optim.Schedule{} // nothing moves
	var want []map[string]float64
	s.Hooks = []train.Hook{hook{begin: func(t0 *train.Trainer) error {
		for k := range s.Options.Steps {
			step, err := t0.Source().Step(k)
			if err != nil {
				return err
			}
			of, examples := map[string]float64{}, map[string]float64{}
			for _, m := range step.Micros {
				n, name := float64(len(m.Batch.Indices)), s.Tasks[m.Task].Name
				m.Share = 1
				of[name] += n * t0.Objective().Loss([]train.Micro{m})
				examples[name] += n
			}
			sum := 0.0
			for name := range of {
				sum += of[name]
				of[name] /= examples[name]
			}
			of["all"] = sum / float64(step.Examples)
			want = append(want, of)
		}
		return nil
	}}}
	traintest.Train(t, s)
	steps := events(t, s.Dir, "step")
	if len(steps) != s.Options.Steps {
		t.Fatalf("%d steps", len(steps))
	}
	near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-5*math.Abs(b) }
	for k, e := range steps {
		if len(e.Losses)+1 != len(want[k]) || !near(e.Loss, want[k]["all"]) {
			t.Errorf("step %d: %+v, want %v", k+1, e, want[k])
		}
		for name, loss := range e.Losses {
			if !near(loss, want[k][name]) {
				t.Errorf("step %d: %s has %v, want %v", k+1, name, loss, want[k][name])
			}
		}
	}
}

// Evaluations come every so many steps, or each epoch, and in the end.
func TestEvaluationsAreDue(t *testing.T) {
	for _, c := range []struct {
		every, steps int
		want         []int
	}{{0, 11, []int{5, 10, 11}}, {3, 11, []int{3, 6, 9, 11}}, {1, 2, []int{1, 2}}, {100, 4, []int{4}}, {4, 8, []int{4, 8}}} {
		s := traintest.Setup(t, map[string]int{"cola": 23}) // 5 batches
		s.Options.EvalEvery, s.Options.Steps = c.every, c.steps
		result := traintest.Train(t, s)
		var at []int
		for _, e := range events(t, s.Dir, "eval") {
			at = append(at, e.Step)
			if epoch := (e.Step + 4) / 5; e.Epoch != epoch {
				t.Errorf("%+v: step %d is of epoch %d, want %d", c, e.Step, e.Epoch, epoch)
			}
		}
		if !slices.Equal(at, c.want) || result.Last == nil || result.Steps != c.steps {
			t.Errorf("%+v: after %v", c, at)
		}
		text, err := os.ReadFile(filepath.Join(s.Dir, train.TimingsFile))
		if err != nil || strings.Count(string(text), `{"event":"eval","step":`) != len(c.want) {
			t.Errorf("%+v: timings (%v)\n%s", c, err, text)
		}
	}
}

// Patience ends a run after so many evaluations in a row without a new best, counted over
// resumptions; what was recorded and saved is what it is without them.
func TestPatience(t *testing.T) {
	setup := func(patience int) train.Setup {
		s := traintest.Setup(t, map[string]int{"cola": 23})
		s.Options.Steps, s.Options.EvalEvery, s.Options.Patience, s.Options.CheckpointEvery = 50, 2, patience, 3
		s.Options.Schedule = optim.Schedule{} // no evaluation is better than the first
		return s
	}
	for patience, want := range map[int]int{0: 50, 1: 4, 3: 8} {
		whole := setup(patience)
		result := traintest.Train(t, whole)
		if result.Steps != want || result.Stopped != (patience > 0) || result.Best.Step != 2 {
			t.Errorf("patience %d: %d steps, stopped %v, best %+v", patience, result.Steps, result.Stopped, result.Best)
		}
		if patience == 0 {
			continue
		}
		for stop := 1; stop < want; stop++ {
			s := setup(patience)
			ctx, cancel := context.WithCancel(t.Context())
			s.Observer = traintest.Silent{OnStep: func(info train.StepInfo) {
				if info.Step == stop {
					cancel()
				}
			}}
			if _, err := train.Run(ctx, s); !errors.Is(err, train.ErrInterrupted) {
				t.Fatalf("patience %d, stopped after step %d: %v", patience, stop, err)
			}
			again := resumed(t, s)
			if again.Steps != want || !again.Stopped || again.Best.Step != 2 || traintest.Metrics(t, s.Dir) != traintest.Metrics(t, whole.Dir) {
				t.Errorf("patience %d, stopped after step %d: %d steps, stopped %v, best %+v", patience, stop, again.Steps, again.Stopped, again.Best)
			}
		}
		// One that has ended stays so.
		if again := resumed(t, whole); again.Steps != want || !again.Stopped {
			t.Errorf("patience %d: gone on to step %d", patience, again.Steps)
		}
	}
}

// A run whose patience is at its end with the last step was not stopped.
func TestPatienceEndsWithTheRun(t *testing.T) {
	s := traintest.Setup(t, map[string]int{"cola": 23})
	s.Options.Steps, s.Options.EvalEvery, s.Options.Patience = 8, 2, 3
	s.Options.Schedule = optim.Schedule{} // no evaluation is better than the first
	if result := traintest.Train(t, s); result.Steps != 8 || result.Stopped {
		t.Errorf("%d steps, stopped %v", result.Steps, result.Stopped)
	}
}

// resumed goes on with a run from its newest checkpoint; adapter and heads are as they were.
func resumed(t *testing.T, s train.Setup) train.Result {
	t.Helper()
	latest, err := train.LatestCheckpoint(s.Dir)
	if err != nil || latest == nil {
		t.Fatal("no checkpoint: ", err)
	}
	s.Resume, s.Observer = latest, traintest.Silent{}
	return traintest.Train(t, s)
}

// sweep is a hook that cuts all ranks to 2 after a step.
func sweep(after int) train.Hook {
	return ranks.New(ranks.Plan{Plan: dmrg.Plan{
		Mode: dmrg.Canonical, At: []int{after}, Schedule: dmrg.Schedule{MaxDim: []int64{2}}, Balance: dmrg.None, Moments: dmrg.Transport,
	}})
}

// A journal that reads figures late writes what one does that reads them at once, with
// sweeps, evaluations, checkpoints and an end between the steps.
func TestJournalsThatLag(t *testing.T) {
	run := func(lag, stop int) (metrics string, last map[string]string) {
		s := traintest.Setup(t, map[string]int{"cola": 23, "mnli": 11})
		s.Options.Steps, s.Options.EvalEvery, s.Options.CheckpointEvery, s.Options.Accumulate = 13, 5, 3, 2
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s.Hooks = []train.Hook{
			hook{begin: func(t0 *train.Trainer) error { t0.Lag(lag); return nil }},
			sweep(7),
			hook{after: func(t0 *train.Trainer) error {
				if stop > 0 && t0.Step() == stop {
					cancel()
				}
				last = bits(t0)
				if t0.Step() == 6 {
					return t0.Record(map[string]string{"event": "of a hook"})
				}
				return nil
			}},
		}
		if _, err := train.Run(ctx, s); stop > 0 {
			if !errors.Is(err, train.ErrInterrupted) {
				t.Fatal(err)
			}
			s.Hooks[1], stop = sweep(7), 0 // a hook is of one run
			resumed(t, s)
		} else if err != nil {
			t.Fatal(err)
		}
		return traintest.Metrics(t, s.Dir), last
	}
	want, state := run(0, 0)
	if n := strings.Count(want, "\n"); n != 13+3+1+1 {
		t.Fatalf("%d events:\n%s", n, want)
	}
	for _, c := range [][2]int{{1, 0}, {3, 0}, {1, 4}, {0, 8}, {1, 8}, {1, 13}} {
		metrics, last := run(c[0], c[1])
		if metrics != want {
			t.Errorf("%d steps late, stopped after step %d:\n%s\nwant\n%s", c[0], c[1], metrics, want)
		}
		for name := range state {
			if last[name] != state[name] {
				t.Errorf("%d steps late, stopped after step %d: %s differs", c[0], c[1], name)
			}
		}
	}
}

// A step that cannot be made is the same error whenever that is found, and after it
// nothing is recorded and nothing has changed.
func TestStepsThatCannotBeMadeAreFoundLate(t *testing.T) {
	poison := func(value float64) func(*train.Trainer) error {
		return func(t0 *train.Trainer) error {
			if t0.Step() == 3 {
				o := t0.Optimizer()
				torch.NoGrad(func() { o.Parameters()[len(o.Parameters())-1].Value.Detach().AddScalarInPlace(value) })
			}
			return nil
		}
	}
	for name, c := range map[string]struct {
		change func(*train.Setup)
		after  func(*train.Trainer) error
		made   int // steps before
		want   string
	}{
		"too large a rate": {change: func(s *train.Setup) { s.Options.Schedule = optim.Schedule{Peak: 1e20, Warmup: 1} }, made: 1, want: "step 2: cores.0 would not be finite after the update"},
		// So little too large that a later update, which counts one more, would be made.
		"the first step":  {change: func(s *train.Setup) { s.Options.Schedule = optim.Schedule{Peak: 2.1e19} }, made: 0, want: "would not be finite after the update"},
		"no loss":         {after: poison(math.NaN()), made: 3, want: "step 4: the loss is NaN"},
		"a loss's weight": {change: func(s *train.Setup) { s.Tasks[0].Weight = 1e38 }, made: 0, want: "step 1: the gradient of cores."},
	} {
		t.Run(name, func(t *testing.T) {
			type end struct{ message, metrics string }
			var ends []end
			for lag := range 3 {
				s := traintest.Setup(t, map[string]int{"cola": 23})
				s.Options.Steps = 9
				if c.change != nil {
					c.change(&s)
				}
				states := map[int]map[string]string{}
				s.Hooks = []train.Hook{hook{
					begin: func(t0 *train.Trainer) error { t0.Lag(lag); return nil },
					after: func(t0 *train.Trainer) error {
						if c.after != nil {
							if err := c.after(t0); err != nil {
								return err
							}
						}
						states[t0.Step()] = bits(t0)
						return nil
					},
				}}
				_, err := train.Run(t.Context(), s)
				if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), ":  would") {
					t.Fatalf("%d steps late: %v, want %q", lag, err, c.want)
				}
				ends = append(ends, end{err.Error(), traintest.Metrics(t, s.Dir)})
				if ends[lag] != ends[0] || strings.Count(ends[lag].metrics, "\n") != c.made {
					t.Errorf("%d steps late: %+v, at once %+v", lag, ends[lag], ends[0])
				}
				if n := len(states); n < 1+c.made || n > 1+c.made+lag {
					t.Errorf("%d steps late: %d states were seen", lag, n)
				}
				for step := c.made + 1; step < len(states); step++ {
					for name, was := range states[c.made] {
						value := func(s string) string { return s[strings.Index(s, "}"):] } // updates are counted
						if value(states[step][name]) != value(was) {
							t.Errorf("%d steps late: after step %d %s is not what it was", lag, step, name)
						}
					}
				}
				if _, err := os.Stat(s.Dir + "/adapter/last"); err == nil {
					t.Error("something is saved")
				}
			}
		})
	}
}
