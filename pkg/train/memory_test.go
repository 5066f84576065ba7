package train_test

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/data"
	_ "github.com/metatt/metatt/pkg/metatt"
	"github.com/metatt/metatt/pkg/models/bert"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/optim"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/tokenizer"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/train"
)

// resident is this process's resident memory in bytes, with what Go's collector
// holds back given to the kernel first: its sawtooth is up to 4 MiB and would
// hide a leak as well as look like one.
func resident(b *testing.B) float64 {
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Fatal(err)
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		b.Fatal(err)
	}
	return float64(pages * int64(os.Getpagesize()))
}

// gauge reads resident memory at two steps.
type gauge struct {
	b            *testing.B
	from, to     int
	atFrom, atTo float64
}

func (*gauge) Begin(train.BeginInfo) {}
func (*gauge) Eval(train.EvalInfo)   {}
func (*gauge) Checkpoint(string)     {}
func (*gauge) Note(string)           {}
func (*gauge) Sweep(train.SweepInfo) {}
func (g *gauge) Step(s train.StepInfo) {
	switch s.Step {
	case g.from:
		g.atFrom = resident(g.b)
	case g.to:
		g.atTo = resident(g.b)
	}
}

// BenchmarkResidentMemory trains a small model on examples of 3 to 40 tokens
// and reports how much resident memory grows from step 500 to step 10,000: it
// must stay within 1 %. Run it with -benchtime 1x.
func BenchmarkResidentMemory(b *testing.B) {
	const dir, steps = "../run/testdata/tiny-bert", 10_000
	named, err := task.Lookup("cola")
	if err != nil {
		b.Fatal(err)
	}
	tokens, err := tokenizer.Load(dir)
	if err != nil {
		b.Fatal(err)
	}
	var examples []task.Example
	for i := range 997 {
		examples = append(examples, task.Example{Text: strings.Repeat("king ", 1+i*i%38), Label: i % 2})
	}
	set, err := data.Encode(b.Context(), tokens, named, examples, 40)
	if err != nil {
		b.Fatal(err)
	}
	model, err := bert.Load(dir, encoder.Options{Labels: 2, DType: torch.Float32, Device: torch.CPU})
	if err != nil {
		b.Fatal(err)
	}
	defer model.Free()
	method, err := adapter.Lookup("metatt4d")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		a, err := method.New(adapter.Spec{Architecture: model.Architecture(), Targets: adapter.Kinds(), Rank: 4, Alpha: 1, Device: torch.CPU})
		if err != nil {
			b.Fatal(err)
		}
		schedule, err := optim.NewSchedule("linear", 1e-3, 0.1, steps)
		if err != nil {
			b.Fatal(err)
		}
		g := &gauge{b: b, from: 500, to: steps}
		_, err = train.Run(b.Context(), train.Setup{
			Adapter: a, Tasks: []train.Task{{Name: "cola", Model: model, Train: set, Dev: set}}, Dir: b.TempDir(), DType: torch.Float32, Device: torch.CPU, Dropout: model.Dropout(nil), Observer: g,
			SaveAdapter: func(string) error { return nil },
			Options: train.Options{
				Steps: steps, BatchSize: 8, EvalBatchSize: 64, Shuffle: true, Schedule: schedule,
				Best:  train.Criterion{Name: named.Best, Of: []train.TaskMetric{{Metric: named.Best}}},
				AdamW: optim.AdamWConfig{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, ClipNorm: 1},
			},
		})
		a.Free()
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(g.atFrom/(1<<20), "MiB@500")
		b.ReportMetric(g.atTo/(1<<20), "MiB@10000")
		b.ReportMetric(100*(g.atTo/g.atFrom-1), "%growth")
	}
}
