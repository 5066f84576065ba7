package metatt_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/torch/torchtest"
)

// Other cores take the place of an adapter's: ranks of any size, above their bounds
// too; what does not fit changes nothing.
func TestSetCores(t *testing.T) {
	for _, method := range []string{"metatt4d", "metatt5d"} {
		a := fresh(t, method, adapter.Spec{Architecture: odd, Targets: []adapter.Kind{adapter.Query, adapter.FFNUp}, Rank: 2, Alpha: 1}).(adapter.TensorTrain)
		torchtest.Compute(t, func() {
			torch.Seed(3)
			old := a.Cores()
			wider := make([]*torch.Tensor, len(old))
			var ranks []int64
			for k, core := range old {
				left, right := int64(9+k), int64(10+k)
				if k == 0 {
					left = 1
				}
				if k == len(old)-1 {
					right = 1
				} else {
					ranks = append(ranks, right)
				}
				wider[k] = torch.Randn(torch.Float64, torch.CPU, right, core.Size(1), left).Permute(2, 1, 0) // any dtype, any layout
			}
			for what, wrong := range map[string][]*torch.Tensor{
				"cores, the tensor train has": wider[1:],
				"core 1 has shape":            append(slices.Clone(wider[:1]), old[1:]...),
				"core 0 has shape":            append([]*torch.Tensor{wider[0].Reshape(-1, 1, 1)}, wider[1:]...),
				"has shape [1 ":               append([]*torch.Tensor{wider[0].Select(0, 0)}, wider[1:]...),
			} {
				if err := a.SetCores(wrong); err == nil || (!strings.Contains(err.Error(), what) && what != "has shape [1 ") {
					t.Errorf("%s: %v, want %q", method, err, what)
				}
			}
			if !slices.Equal(adapter.TrainRanks(a), slices.Repeat([]int64{2}, len(ranks))) {
				t.Errorf("%s: ranks %v after cores that did not fit", method, adapter.TrainRanks(a))
			}
			if err := a.SetCores(wider); err != nil {
				t.Fatal(err)
			}
			if got := a.Config().Ranks; !slices.Equal(got, ranks) || !slices.Equal(adapter.TrainRanks(a), ranks) {
				t.Errorf("%s: ranks %v, want %v", method, got, ranks)
			}
			for k, core := range a.Cores() {
				torchtest.Close(t, method, torchtest.Values(core), torchtest.Values(wider[k]), torchtest.Default)
				if !core.RequiresGrad() {
					t.Errorf("%s: core %d is not trained", method, k)
				}
			}
			if err := torch.Do(func() error { old[0].Add(old[0]); return nil }); err == nil {
				t.Errorf("%s: the former cores are not freed", method)
			}
		})
	}
}
