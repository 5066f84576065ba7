package run_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/glue"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/train"
)

// Every method trains from a configuration, on fp32 and bf16 backbones; a run
// that was stopped ends as one that was left alone, and what is saved predicts
// what training evaluated.
func TestEveryMethodResumesAndPredicts(t *testing.T) {
	for _, method := range adapter.Methods() {
		for _, dtype := range []string{"fp32", "bf16"} {
			t.Run(method.Name+"/"+dtype, func(t *testing.T) {
				keys := []string{"adapter.method=" + method.Name, "model.dtype=" + dtype, "train.max_steps=5", "adapter.rank=2", "adapter.targets=query,ffn_down"}
				if method.Dropout {
					keys = append(keys, "adapter.dropout=0.2")
				}
				whole, stopped := tiny(t, keys...), tiny(t, keys...)
				summary, err := run.Train(t.Context(), whole)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				stopped.Observer = silent{step: func(s train.StepInfo) {
					if s.Step == 3 {
						cancel()
					}
				}}
				if _, err := run.Train(ctx, stopped); !errors.Is(err, train.ErrInterrupted) {
					t.Fatal(err)
				}
				stopped.Observer = silent{}
				if _, err := run.Resume(t.Context(), stopped.Config.Run.Dir, stopped); err != nil {
					t.Fatal(err)
				}
				for _, file := range []string{train.MetricsFile, filepath.Join("adapter", "last", adapter.WeightsFile)} {
					want, err := os.ReadFile(filepath.Join(whole.Config.Run.Dir, file))
					if err != nil {
						t.Fatal(err)
					}
					if got, err := os.ReadFile(filepath.Join(stopped.Config.Run.Dir, file)); err != nil || !bytes.Equal(got, want) {
						t.Errorf("%s differs after resuming (%v)", file, err)
					}
				}

				p, err := run.OpenPredictor(filepath.Join(summary.RunDir, "adapter", "last"), run.PredictorOptions{DType: dtype})
				if err != nil {
					t.Fatal(err)
				}
				defer p.Close()
				task, _ := glue.Lookup("mrpc")
				examples, err := task.Read("testdata/glue", glue.Dev)
				if err != nil {
					t.Fatal(err)
				}
				rows, err := p.Logits(t.Context(), examples)
				if err != nil {
					t.Fatal(err)
				}
				got, err := task.Evaluate(slices.Concat(rows...), 2, examples)
				if err != nil || !slices.Equal(got, summary.Last) {
					t.Errorf("%v (%v), training evaluated %v", got, err, summary.Last)
				}
			})
		}
	}
}
