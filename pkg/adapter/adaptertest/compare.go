package adaptertest

import (
	"encoding/json"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/torch/torchtest"
)

func sites(model Model) []adapter.Site {
	var all []adapter.Site
	for layer := range model.Architecture().Layers {
		for _, kind := range adapter.Kinds() {
			all = append(all, model.Architecture().Site(layer, kind))
		}
	}
	return all
}

// disturb adds noise to every parameter, so that nothing is zero any more.
func disturb(a adapter.Adapter) {
	torch.Seed(77)
	torch.NoGrad(func() {
		for _, p := range a.Parameters() {
			p.Tensor.AddInPlace(torch.Randn(torch.Float32, torch.CPU, p.Tensor.Shape()...).MulScalar(0.2))
		}
	})
	if b, ok := a.(adapter.BackboneTrainer); ok {
		b.Publish()
	}
}

// near is equality within 1e-5 of the largest element, the default for fp32.
func near(t *testing.T, what string, got, want *torch.Tensor) {
	t.Helper()
	torchtest.Close(t, what, torchtest.Values(got), torchtest.Values(want), torchtest.Default)
}

// nearGradient is near for sums over tokens and columns whose terms cancel: the
// largest element may be a tenth of the largest term. It is the bound that parity
// with other implementations has.
func nearGradient(t *testing.T, what string, got, want *torch.Tensor) {
	t.Helper()
	torchtest.Close(t, what, torchtest.Values(got), torchtest.Values(want), 1e-4)
}

func equalState(t *testing.T, got, want []adapter.Parameter) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d tensors, want %d", len(got), len(want))
	}
	torchtest.Compute(t, func() {
		for i, p := range want {
			if got[i].Name != p.Name || !got[i].Tensor.Detach().Equal(p.Tensor.Detach()) {
				t.Errorf("tensor %s differs from %s", got[i].Name, p.Name)
			}
		}
	})
}

func read(t *testing.T, dir string) *adapter.Saved {
	t.Helper()
	saved, err := adapter.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { saved.Close() })
	return saved
}

func text(t *testing.T, c adapter.Config) string {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
