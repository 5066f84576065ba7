package optim_test

import (
	"slices"
	"testing"

	"github.com/metatt/metatt/pkg/optim"
	"github.com/metatt/metatt/pkg/torch"
)

// An update in two parts is the whole one, and a stage says whether the last one's
// ranges are still right.
func TestStageAndQueue(t *testing.T) {
	config := optim.AdamWConfig{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.01, ClipNorm: 1}
	err := torch.Do(func() error {
		values := []*torch.Tensor{torch.Randn(torch.Float32, torch.CPU, 7, 5), torch.Randn(torch.Float32, torch.CPU, 65)}
		make := func() *optim.AdamW {
			var parameters []optim.Parameter
			for i, v := range values {
				parameters = append(parameters, one([]string{"a", "b"}[i], v.Clone()))
			}
			return optim.NewAdamW(parameters, config)
		}
		whole, parts := make(), make()
		defer whole.Free()
		defer parts.Free()
		step := func(lr float64, idle func(int) bool, same bool) {
			t.Helper()
			torch.NoGrad(func() {
				for i, v := range values {
					g := v.Mul(v).MulScalar(lr)
					whole.Gradient(i).CopyFrom(g)
					parts.Gradient(i).CopyFrom(g)
				}
			})
			whole.Step(lr, nil, idle)
			if have := parts.Stage(lr, idle); have != same {
				t.Errorf("rate %v: the same ranges: %t", lr, have)
			}
			parts.Queue(nil)
			if !slices.Equal(everything(whole), everything(parts)) {
				t.Errorf("rate %v: two parts make another update than the whole", lr)
			}
		}
		first := func(i int) bool { return i == 1 }
		step(1e-2, nil, false)
		step(2e-2, nil, true)
		step(3e-2, first, false)
		step(3e-2, nil, false) // in two ranges, of other ages
		step(1e-2, nil, true)
		step(0, nil, false) // nothing decays
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
