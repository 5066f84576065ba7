package run_test

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/data"
	"github.com/metatt/metatt/pkg/glue"
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/models"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/optim"
	"github.com/metatt/metatt/pkg/tokenizer"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/train"
)

// stepTimer remembers the fastest step after the first of a run.
type stepTimer struct {
	last    time.Time
	fastest float64 // seconds
}

func (*stepTimer) Begin(train.BeginInfo) {}
func (*stepTimer) Eval(train.EvalInfo)   {}
func (*stepTimer) Checkpoint(string)     {}
func (*stepTimer) Sweep(train.SweepInfo) {}
func (s *stepTimer) Step(info train.StepInfo) {
	now := time.Now()
	if info.Step > 1 {
		s.fastest = min(s.fastest, now.Sub(s.last).Seconds())
	}
	s.last = now
}

// BenchmarkMethods compares a training step of every method on MiniLM, batch 32
// of about 60 tokens, bf16, query and value: at the parameters of LoRA of rank 8,
// and LoRA and MetaTT at rank 8. The methods take turns, so that what else the
// machine does meets all of them; the fastest step counts. x is the time over
// LoRA's of rank 8. Run it with -benchtime 1x on a quiet machine.
func BenchmarkMethods(b *testing.B) {
	dir, err := hf.Resolve("minilm")
	if err != nil {
		b.Skip("finetune fetch minilm brings the model: ", err)
	}
	model, err := models.Load(dir, encoder.Options{Labels: 2, DType: torch.BFloat16, Device: torch.CPU})
	if err != nil {
		b.Fatal(err)
	}
	defer model.Free()
	set := longSet(b, dir)
	spec := adapter.Spec{
		Architecture: model.Architecture(), Targets: []adapter.Kind{adapter.Query, adapter.Value}, Rank: 8, Seed: 1, Device: torch.CPU,
	}
	const budget = 2 * 6 * 8 * 2 * 384 // LoRA's of rank 8
	type contestant struct {
		name   string
		method adapter.Method
		spec   adapter.Spec
		timer  stepTimer
		count  int64
	}
	var all []*contestant
	enter := func(name string, m adapter.Method, s adapter.Spec) {
		s.Alpha = m.Alpha()
		all = append(all, &contestant{name: name, method: m, spec: s, timer: stepTimer{fastest: math.Inf(1)}})
	}
	for _, name := range []string{"lora", "metatt4d", "metatt5d"} {
		m, err := adapter.Lookup(name)
		if err != nil {
			b.Fatal(err)
		}
		enter(name+" r8", m, spec)
	}
	for _, m := range adapter.Methods() {
		// What has no rank is left out: the head alone, and what would change the
		// model under the others.
		if fit, err := adapter.FitBudget(m, spec, budget); err == nil && m.Name != "lora" {
			enter(fmt.Sprintf("%s %d", m.Name, fit.Size), m, fit.Spec)
		}
	}
	for b.Loop() {
		for range 6 {
			for _, c := range all {
				a, err := c.method.New(c.spec)
				if err != nil {
					b.Fatal(c.name, err)
				}
				if err := adapter.Bind(a, model); err != nil {
					b.Fatal(c.name, err)
				}
				c.count = adapter.Count(a.Parameters())
				err = trainSteps(b, model, a, set, 4, &c.timer)
				a.Free()
				if err != nil {
					b.Fatal(c.name, err)
				}
			}
		}
	}
	reference := all[0].timer.fastest
	var table strings.Builder
	for _, c := range all {
		fmt.Fprintf(&table, "\n%-18s %8d parameters  %7.1f ms a step  %.3f x", c.name, c.count, 1e3*c.timer.fastest, c.timer.fastest/reference)
	}
	fmt.Println(table.String()) // testing would cut a log after ten lines
}

// longSet is examples of about 60 tokens.
func longSet(b *testing.B, model string) *data.Set {
	b.Helper()
	tokens, err := tokenizer.Load(model)
	if err != nil {
		b.Fatal(err)
	}
	task, err := glue.Lookup("cola")
	if err != nil {
		b.Fatal(err)
	}
	var examples []glue.Example
	for i := range 128 {
		examples = append(examples, glue.Example{Text: strings.Repeat("the old ship left the harbour before dawn ", 5+i%5), Label: i % 2})
	}
	set, err := data.Encode(b.Context(), tokens, task, examples, 128)
	if err != nil {
		b.Fatal(err)
	}
	return set
}

func trainSteps(b *testing.B, model *encoder.Model, a adapter.Adapter, set *data.Set, steps int, observer train.Observer) error {
	b.Helper()
	schedule, err := optim.NewSchedule("constant", 1e-4, 0, steps)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(b.TempDir(), "run")
	if err != nil {
		return err
	}
	few := *set
	few.Examples = few.Examples[:1] // of the evaluation at the end
	_, err = train.Run(b.Context(), train.Setup{
		Model: model, Adapter: a, Train: set, Dev: &few, Dir: dir, DType: torch.BFloat16, Device: torch.CPU, Observer: observer,
		SaveAdapter: func(string) error { return nil },
		Options: train.Options{
			Steps: steps, BatchSize: 32, EvalBatchSize: 64, Shuffle: true, Schedule: schedule, ClipNorm: 1, BestMetric: set.Task.Best,
			AdamW: optim.AdamWConfig{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8},
		},
	})
	return err
}
