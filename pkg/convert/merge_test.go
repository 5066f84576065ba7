package convert_test

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/convert"
	"github.com/metatt/metatt/pkg/predict"
	"github.com/metatt/metatt/pkg/run/runtest"
	"github.com/metatt/metatt/pkg/torch"
)

// The merged model, under an adapter that does nothing, predicts what adapter
// and model predict.
func TestMergedIsAdapted(t *testing.T) {
	const start, model = "testdata/start-all", "testdata/tiny-bert"
	merged := filepath.Join(t.TempDir(), "merged")
	if err := convert.Merge(t.Context(), convert.MergeOptions{Dir: start, Out: merged, Model: model}); err != nil {
		t.Fatal(err)
	}
	dev := runtest.MRPCDev(t)
	want := runtest.Logits(t, start, predict.Options{Model: model}, dev)
	none := withoutUpdates(t, start)
	got, unmerged := runtest.Logits(t, none, predict.Options{Model: merged}, dev), runtest.Logits(t, none, predict.Options{Model: model}, dev)
	scale := slices.Max(want) - slices.Min(want)
	var changed float64
	for i := range want {
		if d := math.Abs(float64(got[i] - want[i])); d > 1e-5*float64(scale) {
			t.Errorf("logit %d: merged %v, adapted %v", i, got[i], want[i])
		}
		changed = max(changed, math.Abs(float64(unmerged[i]-want[i])))
	}
	if changed < 1e-2*float64(scale) {
		t.Error("the adapter changes nothing: the test tells nothing")
	}
	if err := convert.Merge(t.Context(), convert.MergeOptions{Dir: start, Out: merged, Model: model}); err == nil || !strings.Contains(err.Error(), merged+" exists already") {
		t.Errorf("onto a folder that is there: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(merged), ".partial-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// withoutUpdates is a copy of an adapter whose first core is zero.
func withoutUpdates(t *testing.T, dir string) string {
	t.Helper()
	saved, err := adapter.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer saved.Close()
	a, err := saved.Open(saved.Config.Architecture(), torch.CPU)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Free()
	out := filepath.Join(t.TempDir(), "none")
	if err := os.CopyFS(out, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	parameters := a.Parameters()
	for _, name := range []string{"classifier.weight", "classifier.bias"} {
		shape := map[string][]int64{"classifier.weight": {2, 12}, "classifier.bias": {2}}[name]
		head, err := saved.Tensor(name, torch.CPU, shape...)
		if err != nil {
			t.Fatal(err)
		}
		defer head.Free()
		parameters = append(parameters, adapter.Parameter{Name: name, Tensor: head})
	}
	if err := torch.Do(func() error {
		torch.NoGrad(func() { parameters[0].Tensor.MulScalarInPlace(0) })
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := adapter.Save(out, saved.Config, parameters); err != nil {
		t.Fatal(err)
	}
	return out
}
