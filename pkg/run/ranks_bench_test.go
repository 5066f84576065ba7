package run_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/dmrg"
	"github.com/metatt/metatt/pkg/metatt"
	"github.com/metatt/metatt/pkg/optim"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/train"
	"github.com/metatt/metatt/pkg/train/ranks"
)

// BenchmarkSweepShare is what one sweep an epoch takes of a run's time: MetaTT-4D
// on all six matrices of MiniLM from rank 64 to 48, an epoch being the 115 steps
// of MRPC at batch 32. Run it with -benchtime 1x on a quiet machine.
func BenchmarkSweepShare(b *testing.B) {
	model, set := benchmarked(b)
	few := *set
	few.Examples = few.Examples[:1]
	method, err := adapter.Lookup("metatt4d")
	if err != nil {
		b.Fatal(err)
	}
	const steps, epoch, allowed = 6, 115, 0.01
	schedule, err := optim.NewSchedule("constant", 1e-3, 0, steps)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		for _, mode := range []dmrg.Mode{dmrg.Canonical, dmrg.Paper} {
			for _, moments := range []dmrg.Moments{dmrg.Reset, dmrg.Transport} {
				a, err := method.New(adapter.Spec{
					Architecture: model.Architecture(), Targets: adapter.Kinds(), Rank: 64, Alpha: 1, Settings: metatt.Settings{Init: "ze-or-or-or"}, Device: torch.CPU,
				})
				if err != nil {
					b.Fatal(err)
				}
				run := b.TempDir()
				timer := stepTimer{fastest: 1e9}
				_, err = train.Run(b.Context(), train.Setup{
					Adapter: a, Tasks: []train.Task{{Name: set.Task.Name, Model: model, Train: set, Dev: &few}}, Dir: run, DType: stepDType(), Device: torch.CPU, Dropout: model.Dropout(nil), Observer: &timer,
					SaveAdapter: func(string) error { return nil },
					Hooks: []train.Hook{ranks.New(ranks.Plan{ProbeBatches: 1, GradientBatches: 1, Plan: dmrg.Plan{
						Mode: mode, At: []int{2, 3, 4}, Schedule: dmrg.Schedule{MaxDim: []int64{56, 52, 48}}, Moments: moments,
					}})},
					Options: train.Options{
						Steps: steps, BatchSize: 32, EvalBatchSize: 64, Shuffle: true, Schedule: schedule,
						Best:  train.Criterion{Name: set.Task.Best, Of: []train.TaskMetric{{Metric: set.Task.Best}}},
						AdamW: optim.AdamWConfig{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, ClipNorm: 1},
					},
				})
				a.Free()
				if err != nil {
					b.Fatal(err)
				}
				sweep := fastestSweep(b, run)
				share := sweep / (epoch * timer.fastest)
				fmt.Printf("%-9s %-9s  sweep %6.1f ms, step %7.1f ms: %.3f %% of an epoch of %d steps (allowed %g %%)\n",
					mode, moments, 1e3*sweep, 1e3*timer.fastest, 100*share, epoch, 100*allowed)
			}
		}
	}
}

// fastestSweep is the seconds of the fastest sweep of a run.
func fastestSweep(b *testing.B, dir string) float64 {
	b.Helper()
	text, err := os.ReadFile(filepath.Join(dir, train.TimingsFile))
	if err != nil {
		b.Fatal(err)
	}
	fastest := 0.0
	for line := range bytes.Lines(text) {
		var e struct {
			Event   string
			Seconds float64
		}
		if err := json.Unmarshal(line, &e); err != nil {
			b.Fatal(err)
		}
		if e.Event == "sweep" && (fastest == 0 || e.Seconds < fastest) {
			fastest = e.Seconds
		}
	}
	return fastest
}
