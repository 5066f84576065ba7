package lora_test

import (
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/lora"
	"github.com/metatt/metatt/pkg/torch"
)

// Ranks fall along the schedule and then for good: values, memory, parameters
// and what is saved. A site may lose all of its rank.
func TestAdaLoRAShrinks(t *testing.T) {
	model := adapter.Architecture{ModelType: "bert", Hidden: 8, Layers: 3, Heads: 2, Intermediate: 11}
	method, err := adapter.Lookup("adalora")
	if err != nil {
		t.Fatal(err)
	}
	a, err := method.New(adapter.Spec{
		Architecture: model, Targets: []adapter.Kind{adapter.FFNDown, adapter.Key}, Rank: 1, Alpha: 4, Seed: 1, Device: torch.CPU,
		Settings: lora.AdaSettings{Schedule: lora.Schedule{InitialRank: 4, Hold: 0.2, Settle: 0.2, Every: 2}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Free()
	adaptive := a.(adapter.RankAdapter)
	const total, last = 20, 16
	// zero counts the singular values that are zero.
	zero := func() (n int) {
		for i, p := range a.Parameters() {
			if i%3 == 2 {
				for _, v := range torch.ToSlice[float32](p.Tensor.Detach()) {
					if v == 0 {
						n++
					}
				}
			}
		}
		return n
	}
	// The cubic fall from 24 to 6 over steps 4 to 16, worked out by hand:
	// 6 + ⌊18 (1 - (step-4)/12)³⌋.
	dead := map[int]int{6: 24 - 16, 8: 24 - 11, 10: 24 - 8, 12: 24 - 6, 14: 24 - 6}
	err = torch.Do(func() error {
		for step := 1; step <= total; step++ {
			parameters := a.Parameters()
			gradients := make([]*torch.Tensor, len(parameters))
			torch.NoGrad(func() {
				torch.Seed(uint64(step))
				for i, p := range parameters {
					// The first site matters least: its gradients are small.
					size := 1.0
					if i < 3 {
						size = 1e-4
					}
					gradients[i] = torch.Randn(torch.Float32, torch.CPU, p.Tensor.Shape()...).MulScalar(size)
					p.Tensor.AddInPlace(gradients[i].MulScalar(-0.1))
				}
			})
			shrunk := adaptive.AfterUpdate(step, total, gradients)
			if (shrunk != nil) != (step == last) {
				t.Fatalf("step %d: shrunk %v", step, shrunk)
			}
			if want, due := dead[step]; due && zero() != want {
				t.Errorf("step %d: %d values are zero, want %d", step, zero(), want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// 6 components are left, none in the first site; In + Out + 1 each.
	var want, left int64
	for i, p := range a.Parameters() {
		if i%3 != 2 {
			continue
		}
		rank := p.Tensor.Size(0)
		left += rank
		sides := int64(8 + 8)
		if i/3%2 == 0 {
			sides = 11 + 8
		}
		want += rank * (sides + 1)
		if i == 2 && rank != 0 {
			t.Errorf("the least important site has rank %d left", rank)
		}
	}
	if got := adapter.Count(a.Parameters()); left != 6 || got != want {
		t.Errorf("rank %d in all with %d parameters; want 6 with %d", left, got, want)
	}
	if len(adaptive.Progress()) != 0 {
		t.Error("importance is still kept")
	}

	dir := t.TempDir()
	if err := adapter.Save(dir, a.Config(), adapter.State(a)); err != nil {
		t.Fatal(err)
	}
	saved, err := adapter.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer saved.Close()
	b, err := saved.Open(model, torch.CPU)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Free()
	err = torch.Do(func() error {
		for layer := range model.Layers {
			for _, kind := range []adapter.Kind{adapter.FFNDown, adapter.Key} {
				site := model.Site(layer, kind)
				if !a.Delta(site).Equal(b.Delta(site)) {
					t.Errorf("%s differs after reloading", site)
				}
			}
		}
		if got, want := b.(adapter.Regularized).Penalty().Item(), a.(adapter.Regularized).Penalty().Item(); got != want || want == 0 {
			t.Errorf("the penalty is %v after reloading, %v before", got, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
