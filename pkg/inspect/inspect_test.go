package inspect_test

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/inspect"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/run/runtest"
)

// The spectra and the sizes of the updates are two views of one norm.
func TestInspect(t *testing.T) {
	i, err := inspect.Adapter(inspect.Options{Dir: "testdata/start-all"})
	if err != nil {
		t.Fatal(err)
	}
	var updates float64
	for _, layer := range i.Deltas {
		for _, norm := range layer {
			updates += norm * norm
		}
	}
	if len(i.Deltas) != 3 || len(i.Deltas[0]) != 6 || len(i.Spectra) != 3 {
		t.Fatalf("%d layers, %d bonds", len(i.Deltas), len(i.Spectra))
	}
	for b, s := range i.Spectra {
		var sum float64
		for _, value := range s {
			sum += value * value
		}
		if math.Abs(sum-updates) > 1e-5*updates || len(s) != int(i.Config.Ranks[b]) {
			t.Errorf("bond %d: Σ s² = %v of %d values, Σ ‖ΔW‖² = %v", b, sum, len(s), updates)
		}
	}
	if want := []adapter.Mode{{Name: "in", Size: 12}, {Name: "layer", Size: 3}, {Name: "matrix", Size: 8}, {Name: "out", Size: 12}}; !slices.Equal(i.Modes, want) || i.Run != "" || i.Count != 12*3+3*3*5+5*8*4+4*12 {
		t.Errorf("modes %v, run %q, %d parameters", i.Modes, i.Run, i.Count)
	}
}

// Updates are called a task's only where tasks have different ones.
func TestInspectNamesTheTask(t *testing.T) {
	for taskAfter, want := range map[string]string{"": "", "layer": "sample"} {
		summary, err := run.Train(t.Context(), runtest.Tiny(t, "task=mrpc,sample", "data.limit=8", "train.max_steps=2", "adapter.task_after="+taskAfter))
		if err != nil {
			t.Fatal(err)
		}
		if i, err := inspect.Adapter(inspect.Options{Dir: summary.RunDir}); err != nil || i.Task != want {
			t.Errorf("task_after %q: task %q (%v), want %q", taskAfter, i.Task, err, want)
		}
	}
}

func TestInspectFindsTheRun(t *testing.T) {
	summary, err := run.Train(t.Context(), runtest.Tiny(t, "train.max_steps=2"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{summary.RunDir, filepath.Join(summary.RunDir, "adapter", "last")} {
		i, err := inspect.Adapter(inspect.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if i.Run != summary.RunDir || i.Seed == nil {
			t.Errorf("%s: run %q, seed %v", dir, i.Run, i.Seed)
		}
	}
}

// What has no update of weights says so, in the picture too.
func TestInspectWithoutUpdates(t *testing.T) {
	for method, want := range map[string]string{"head": "", "full": "holds weights of the model itself", "bitfit": "holds weights of the model itself"} {
		summary, err := run.Train(t.Context(), runtest.Tiny(t, "train.max_steps=2", "adapter.method="+method))
		if err != nil {
			t.Fatal(err)
		}
		i, err := inspect.Adapter(inspect.Options{Dir: summary.RunDir})
		if want != "" {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", method, err)
			}
			continue
		}
		if err != nil || i.Deltas != nil || i.Count != 0 {
			t.Errorf("%s: %d parameters, updates %v (%v)", method, i.Count, i.Deltas, err)
		}
	}
}
