package train

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/data"
	"github.com/metatt/metatt/pkg/hf"
	_ "github.com/metatt/metatt/pkg/metatt" // the method
	"github.com/metatt/metatt/pkg/models"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/optim"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/tokenizer"
	"github.com/metatt/metatt/pkg/torch"
)

// unobserved is an observer that looks at nothing.
type unobserved struct{}

func (unobserved) Begin(BeginInfo)   {}
func (unobserved) Step(StepInfo)     {}
func (unobserved) Eval(EvalInfo)     {}
func (unobserved) Sweep(SweepInfo)   {}
func (unobserved) Checkpoint(string) {}
func (unobserved) Note(string)       {}

// likeMRPC is pairs of sentences of about MRPC's length, 53 tokens together.
func likeMRPC(b *testing.B, dir string) *data.Set {
	b.Helper()
	tokens, err := tokenizer.Load(dir)
	if err != nil {
		b.Fatal(err)
	}
	mrpc, err := task.Lookup("mrpc")
	if err != nil {
		b.Fatal(err)
	}
	words := strings.Fields(strings.Repeat("the old ship left the harbour before dawn and nobody on the shore saw where it went ", 4))
	var examples []task.Example
	for i := range 1600 {
		examples = append(examples, task.Example{Text: strings.Join(words[:18+i*7%15], " "), Pair: strings.Join(words[3:20+i*5%17], " "), Label: i % 2})
	}
	set, err := data.Encode(b.Context(), tokens, mrpc, examples, 128)
	if err != nil {
		b.Fatal(err)
	}
	return set
}

// BenchmarkOutsideForwardAndBackward is the share of a step's time that is neither: what
// a step of MetaTT-4D at rank 8 on MiniLM, batch 32, takes for its micro-batches, zeroing
// gradients, the update, the journal and hooks, where it evaluates and saves nothing. Of
// each the median counts. It must stay within 2 %. Run it with -benchtime 1x on a quiet
// machine.
func BenchmarkOutsideForwardAndBackward(b *testing.B) {
	dir, err := hf.Resolve("minilm")
	if err != nil {
		b.Skip("finetune fetch minilm brings the model: ", err)
	}
	dtype := torch.Float32
	if torch.CPU.ComputesBFloat16() {
		dtype = torch.BFloat16 // as model.dtype=auto has it
	}
	model, err := models.Load(dir, encoder.Options{Labels: 2, DType: dtype, Device: torch.CPU})
	if err != nil {
		b.Fatal(err)
	}
	defer model.Free()
	method, err := adapter.Lookup("metatt4d")
	if err != nil {
		b.Fatal(err)
	}
	a, err := method.New(adapter.Spec{
		Architecture: model.Architecture(), Targets: []adapter.Kind{adapter.Query, adapter.Value}, Rank: 8, Alpha: method.Alpha(), Seed: 1, Device: torch.CPU,
	})
	if err != nil {
		b.Fatal(err)
	}
	defer a.Free()
	set := likeMRPC(b, dir)
	schedule, err := optim.NewSchedule("linear", 1e-4, 0.1, 1e6)
	if err != nil {
		b.Fatal(err)
	}
	setup := Setup{
		Adapter: a, Tasks: []Task{{Name: "mrpc", Model: model, Train: set, Dev: set}}, Dir: b.TempDir(), DType: dtype, Device: torch.CPU,
		Dropout: model.Dropout(nil), Observer: unobserved{}, SaveAdapter: func(string) error { return nil },
		Options: Options{
			Steps: 1e6, BatchSize: 32, EvalBatchSize: 64, EvalEvery: 1e6, Shuffle: true, Schedule: schedule, Best: Criterion{Name: "f1", Of: []TaskMetric{{Metric: "f1"}}},
			AdamW: optim.AdamWConfig{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.01, ClipNorm: 1},
		},
	}
	if err := torch.Do(func() error {
		t, err := newTrainer(setup)
		if err != nil {
			return err
		}
		defer t.close()
		spent := map[string][]float64{}
		for b.Loop() {
			for range 40 {
				if err := t.timedStep(b, spent); err != nil {
					return err
				}
			}
		}
		report(b, spent)
		return nil
	}); err != nil {
		b.Fatal(err)
	}
}

// timedStep is what [Trainer.loop] does for a step, and how long each part of it takes.
func (t *Trainer) timedStep(b *testing.B, spent map[string][]float64) error {
	last := time.Now()
	lap := func(part string) {
		now := time.Now()
		spent[part] = append(spent[part], now.Sub(last).Seconds())
		last = now
	}
	if err := t.hooks.after(b.Context(), t); err != nil {
		return err
	}
	lap("journal and hooks")
	step, err := t.source.Step(t.state.Step)
	if err != nil {
		return err
	}
	lap("micro-batches")
	t.clock.start()
	torch.Scoped(func() {
		t.optimizer.ZeroGradients()
		lap("zeroing")
		for _, micro := range step.Micros {
			t.objective.Backward(micro)
		}
		lap(forwardAndBackward)
		t.update(step)
	})
	t.clock.stop(step.Examples)
	lap("update")
	return nil
}

const forwardAndBackward = "forward and backward"

func report(b *testing.B, spent map[string][]float64) {
	total, outside := 0.0, 0.0
	for part, seconds := range spent {
		slices.Sort(seconds)
		median := seconds[len(seconds)/2]
		fmt.Printf("%-22s %9.3f ms\n", part, 1e3*median)
		if total += median; part != forwardAndBackward {
			outside += median
		}
	}
	b.ReportMetric(1e3*total, "ms/step")
	b.ReportMetric(100*outside/total, "%outside")
}
