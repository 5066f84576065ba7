package train

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/internal/allocbound"
	"github.com/metatt/metatt/pkg/optim"
	"github.com/metatt/metatt/pkg/torch"
)

// trainedPair is an optimizer of two parameters after an update.
func trainedPair(tb testing.TB) (o *optim.AdamW) {
	tb.Helper()
	if err := torch.Do(func() error {
		var parameters []optim.Parameter
		for name, shape := range map[string][]int64{"cores.0": {1, 2, 3}, "classifier.bias": {4}} {
			p := torch.Ones(torch.Float32, torch.CPU, shape...).Keep()
			parameters = append(parameters, optim.Parameter{Name: name, Value: p, Leaf: p, Scale: 1})
		}
		o = optim.NewAdamW(parameters, optim.AdamWConfig{Beta1: 0.9, Beta2: 0.99, Eps: 1e-8}, nil)
		torch.NoGrad(func() {
			for _, g := range o.Gradients() {
				g.AddScalarInPlace(1)
			}
		})
		o.Step(0.1, nil, nil)
		return nil
	}); err != nil {
		tb.Fatal(err)
	}
	return o
}

// An optimizer file of any content, beside a state of any content, is one to go on
// from with what is finite, or what is wrong with it.
func FuzzOptimizerFile(f *testing.F) {
	dir := f.TempDir()
	o := trainedPair(f)
	path := filepath.Join(dir, optimizerFile)
	if err := torch.Do(func() error { return saveOptimizer(path, o, nil) }); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole, `[{"steps":1},{"steps":1}]`)
	f.Add(whole[:len(whole)-3], `[{"steps":1}]`)
	f.Add([]byte{}, `[{"steps":-1,"rewarm":9}]`)
	f.Fuzz(func(t *testing.T, file []byte, progress string) {
		if err := os.WriteFile(path, file, 0o644); err != nil {
			t.Fatal(err)
		}
		c := &Checkpoint{Dir: dir}
		if json.Unmarshal([]byte(progress), &c.state.Optimizer) != nil {
			return
		}
		var err error
		allocbound.Check(t, len(file)+len(progress), func() {
			err = torch.Do(func() error { return loadOptimizer(c, o, nil) })
		})
		if err != nil && strings.ContainsAny(err.Error(), "\n\r") {
			t.Errorf("an error of several lines: %q", err)
		}
		if err := torch.Do(func() error {
			for i, p := range o.Parameters() {
				if m, v := o.Moments(i); optim.FirstNotFinite([]*torch.Tensor{m, v}) >= 0 {
					t.Errorf("moments of %s are not finite", p.Name)
				}
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
}
