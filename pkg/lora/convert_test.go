package lora_test

import (
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/lora"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/torch/torchtest"
)

// Factors of any rank become the update that they are the product of, 0 and more
// than the matrix has among them.
func TestConvert(t *testing.T) {
	model := adapter.Architecture{ModelType: "bert", Hidden: 5, Layers: 1, Heads: 1, Intermediate: 7}
	targets := []adapter.Kind{adapter.FFNUp, adapter.FFNDown, adapter.Key}
	for rank, want := range map[int64]int64{0: 1, 1: 1, 3: 3, 5: 5, 6: 5, 9: 5} {
		torchtest.Compute(t, func() {
			torch.Seed(7)
			deltas := map[adapter.Site]*torch.Tensor{}
			a, err := lora.Convert(model, targets, func(site adapter.Site) (in, out *torch.Tensor) {
				in, out = torch.Randn(torch.Float32, torch.CPU, site.In, rank), torch.Randn(torch.Float32, torch.CPU, site.Out, rank).T()
				deltas[site] = in.MatMul(out).Keep()
				return in, out
			})
			if err != nil {
				t.Fatal(err)
			}
			defer a.Free()
			if p := a.Parameters()[0]; p.Tensor.Size(0) != want || !p.Tensor.RequiresGrad() {
				t.Errorf("rank %d became %s of shape %v", rank, p.Name, p.Tensor.Shape())
			}
			for site, delta := range deltas {
				if got := a.Delta(site).Detach(); rank == 0 && !got.Equal(delta) {
					t.Errorf("%s: nothing became something", site)
				} else if rank > 0 {
					torchtest.Close(t, site.String(), torchtest.Values(got), torchtest.Values(delta), torchtest.Default)
				}
				delta.Free()
			}
		})
	}
	nothing := func(adapter.Site) (in, out *torch.Tensor) { return nil, nil }
	if _, err := lora.Convert(model, targets, nothing); err == nil || !strings.Contains(err.Error(), "no site has an update") {
		t.Error(err)
	}
	if _, err := lora.Convert(model, nil, nothing); err == nil || !strings.Contains(err.Error(), "no targets") {
		t.Error(err)
	}
}
