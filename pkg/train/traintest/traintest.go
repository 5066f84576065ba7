// Package traintest makes small runs for tests of training: a tiny BERT, MetaTT-4D and
// tasks of any number of examples.
package traintest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/data"
	_ "github.com/metatt/metatt/pkg/metatt" // the method
	"github.com/metatt/metatt/pkg/models/bert"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/optim"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/tokenizer"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/train"
)

// Silent is an observer that calls OnStep, if there is one, after each step.
type Silent struct{ OnStep func(train.StepInfo) }

func (Silent) Begin(train.BeginInfo) {}
func (Silent) Eval(train.EvalInfo)   {}
func (Silent) Sweep(train.SweepInfo) {}
func (Silent) Checkpoint(string)     {}
func (Silent) Note(string)           {}

// Step implements [train.Observer].
func (s Silent) Step(info train.StepInfo) {
	if s.OnStep != nil {
		s.OnStep(info)
	}
}

// fixture is the folder of the tiny BERT, seen from a package of pkg/train.
func fixture(t testing.TB) string {
	t.Helper()
	for _, up := range []string{"..", "../.."} {
		dir := filepath.Join(up, "run", "testdata", "tiny-bert")
		if _, err := os.Stat(dir); err == nil {
			return dir
		}
	}
	t.Fatal("no tiny-bert")
	return ""
}

// Set is n examples of a task, of 3 to 24 tokens or so; those of another seed are others.
func Set(t testing.TB, name string, n, seed int) *data.Set {
	t.Helper()
	named, err := task.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := tokenizer.Load(fixture(t))
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields("the a red blue small old ship cat river stone bell king sees finds sells holds likes never often")
	var examples []task.Example
	for i := range n {
		k := i*i + 7*i + 13*seed
		var text []string
		for j := range 1 + k%17 {
			text = append(text, words[(k*(j+3)+j*j)%len(words)])
		}
		examples = append(examples, task.Example{
			ID: fmt.Sprint(i), Text: strings.Join(text, " "), Pair: words[k%len(words)], Label: k % 5 % max(1, len(named.Labels)), Score: float64(k % 6),
		})
	}
	set, err := data.Encode(t.Context(), tokens, named, examples, 24)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// Setup is a run of those tasks, in a folder of its own, with a training set of so many
// examples each, dev sets of 9, one adapter and a head each, and dropout.
func Setup(t testing.TB, examples map[string]int) train.Setup {
	t.Helper()
	names := []string{}
	for name := range examples {
		names = append(names, name)
	}
	slices.Sort(names)
	var models []*encoder.Model
	var tasks []train.Task
	for i, name := range names {
		set := Set(t, name, examples[name], 1)
		var model *encoder.Model
		var err error
		if i == 0 {
			model, err = bert.Load(fixture(t), encoder.Options{Labels: set.Outputs(), DType: torch.Float32, Device: torch.CPU, Seed: 3})
		} else {
			model, err = models[0].Beside(encoder.HeadOptions{Labels: set.Outputs(), Seed: uint64(3 + i)})
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(model.Free) // the last first
		models = append(models, model)
		tasks = append(tasks, train.Task{Name: name, Model: model, Train: set, Dev: Set(t, name, 9, 2)})
	}
	method, err := adapter.Lookup("metatt4d")
	if err != nil {
		t.Fatal(err)
	}
	a, err := method.New(adapter.Spec{Architecture: models[0].Architecture(), Targets: adapter.Kinds(), Rank: 3, Alpha: 1, Seed: 1, Device: torch.CPU})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Free)
	schedule, err := optim.NewSchedule("constant", 1e-2, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	best, err := train.NewCriterion("", tasks)
	if err != nil {
		t.Fatal(err)
	}
	s := train.Setup{
		Adapter: a, Tasks: tasks, Dir: t.TempDir(), DType: torch.Float32, Device: torch.CPU, Dropout: models[0].Dropout(nil), Observer: Silent{},
		Options: train.Options{
			Steps: 7, BatchSize: 5, EvalBatchSize: 64, Shuffle: true, Seed: 11, Schedule: schedule, KeepCheckpoints: 2, Best: best,
			AdamW: optim.AdamWConfig{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.01, ClipNorm: 1},
		},
	}
	s.SaveAdapter = func(dir string) error {
		var all []adapter.Parameter
		if err := torch.Do(func() error { all = slices.Clone(adapter.State(a)); return nil }); err != nil {
			return err
		}
		for _, task := range tasks {
			for _, p := range task.Model.Head() {
				p.Name = adapter.HeadPrefix(task.Name) + p.Name
				all = append(all, p)
			}
		}
		return adapter.Save(dir, a.Config(), all)
	}
	return s
}

// Train is [train.Run]; it fails the test on another error than that of an interruption.
func Train(t testing.TB, s train.Setup) train.Result {
	t.Helper()
	result, err := train.Run(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// Metrics is what the run has recorded.
func Metrics(t testing.TB, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, train.MetricsFile))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Interrupted trains until that step is made, and is the setup to go on with from there.
// Hooks are of one run: those of the next are the caller's to set.
func Interrupted(t testing.TB, s train.Setup, step int) train.Setup {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.Observer = Silent{OnStep: func(info train.StepInfo) {
		if info.Step == step {
			cancel()
		}
	}}
	if _, err := train.Run(ctx, s); !errors.Is(err, train.ErrInterrupted) {
		t.Fatalf("stop after step %d: %v", step, err)
	}
	return Resumed(t, s)
}

// Resumed is the setup of a run that goes on from its newest checkpoint; adapter and heads
// are as they were.
func Resumed(t testing.TB, s train.Setup) train.Setup {
	t.Helper()
	latest, err := train.LatestCheckpoint(s.Dir)
	if err != nil || latest == nil {
		t.Fatal("no checkpoint: ", err)
	}
	s.Resume, s.Observer = latest, Silent{}
	return s
}
