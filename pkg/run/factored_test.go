package run_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/place"
	"github.com/metatt/metatt/pkg/predict"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/task"
)

// Methods of shared and of tensor-train factors train on every matrix, stop and
// go on bit for bit, are judged from disk as in training, and start another run.
func TestFactoredMethods(t *testing.T) {
	dtype := map[bool]string{true: "bf16", false: "fp32"}
	for i, method := range []string{"cp4d", "cp5d", "lorta", "lotr", "fact-tt", "fact-tk", "loretta-rep", "tt-lora", "loretta-adp", "tenslora"} {
		t.Run(method, func(t *testing.T) {
			overrides := []string{"adapter.method=" + method, "adapter.targets=all", "adapter.rank=3", "train.epochs=2", "model.dtype=" + dtype[i%2 == 0]}
			switch method {
			case "loretta-rep":
				overrides = append(overrides, "adapter.tt_rank=1") // neither the default nor the largest
			case "loretta-adp":
				overrides = append(overrides, "adapter.tt_rank=1", "adapter.alpha=0.5")
			case "tenslora": // a rank of its own for each mode, the largest of which is adapter.rank
				overrides = append(overrides, "adapter.ranks=[2,3,3,2]")
			}
			whole, err := run.Train(t.Context(), tiny(t, overrides...))
			if err != nil {
				t.Fatal(err)
			}
			o := tiny(t, overrides...)
			interrupted(t, o, 5)
			resumed, err := run.Resume(t.Context(), o.Config.Run.Dir, o)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(metrics(t, whole.RunDir), metrics(t, resumed.RunDir)) {
				t.Error("the resumed run differs")
			}
			e, err := predict.Evaluate(t.Context(), predict.EvalOptions{Dir: whole.RunDir})
			if err != nil {
				t.Fatal(err)
			}
			if accuracy, _ := e.Splits[0].Metrics.Get(task.Accuracy); accuracy.Value != *whole.Best.Value {
				t.Errorf("judged at %v, training found %v", accuracy.Value, *whole.Best.Value)
			}

			from := tiny(t, "adapter.init_from="+filepath.Join(whole.RunDir, "adapter", "last"), "train.max_steps=1")
			started, err := run.Train(t.Context(), from)
			if err != nil {
				t.Fatal(err)
			}
			resolved, err := os.ReadFile(filepath.Join(started.RunDir, place.ConfigFile))
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range overrides {
				if key, value, _ := strings.Cut(strings.ReplaceAll(strings.TrimPrefix(o, "adapter."), ",", ", "), "="); strings.HasPrefix(o, "adapter.") && value != "all" &&
					!strings.Contains(string(resolved), "  "+key+": "+value+"\n") {
					t.Errorf("the run from a saved adapter does not record %s=%s:\n%s", key, value, resolved)
				}
			}
		})
	}
}

// A rank a mode is TensLoRA's: a budget chooses one for all, short modes have no more than they are long, and a run
// from a saved adapter has its ranks.
func TestModeRanks(t *testing.T) {
	plan, err := run.Describe(t.Context(), tiny(t, "adapter.method=tenslora", "adapter.rank=4"))
	if err != nil {
		t.Fatal(err)
	}
	const width, layers, matrices = 12, 3, 2
	if want := []int64{4, 4, matrices, layers}; !slices.Equal(plan.Ranks, want) || plan.Modes != nil {
		t.Errorf("ranks %v of modes %v, want %v of no tensor train", plan.Ranks, plan.Modes, want)
	}
	count := 2*width*4 + matrices*matrices + layers*layers + 4*4*matrices*layers
	if plan.AdapterParams != int64(count) {
		t.Errorf("%d parameters, want %d", plan.AdapterParams, count)
	}
	fitted, err := run.Train(t.Context(), tiny(t, "adapter.method=tenslora", fmt.Sprintf("adapter.budget=%d", count+1), "train.max_steps=2"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(fitted.Ranks, plan.Ranks) || fitted.Rank != 4 {
		t.Errorf("rank %d, ranks %v in %s", fitted.Rank, fitted.Ranks, fitted.RunDir)
	}
	dir := fitted.RunDir
	for _, c := range []struct{ override, want string }{
		{"adapter.rank=4", ""},
		{"adapter.ranks=[4,4,2,3]", ""},
		{"adapter.ranks=[4,4,2,2]", "command line: adapter.ranks: the adapter in " + dir + " has [4 4 2 3]: leave the key out"},
	} {
		_, err := run.Describe(t.Context(), tiny(t, "adapter.init_from="+dir, c.override))
		if err != nil && err.Error() != c.want || err == nil && c.want != "" {
			t.Errorf("%s: %v", c.override, err)
		}
	}
}
