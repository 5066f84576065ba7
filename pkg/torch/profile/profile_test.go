package profile_test

import (
	"slices"
	"testing"

	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/torch/profile"
	"github.com/metatt/metatt/pkg/torch/torchtest"
)

// Operations are told apart by name and phase, each call counts once, and the time of
// what an operation calls is not its own.
func TestProfile(t *testing.T) {
	var p profile.Profile
	torchtest.Compute(t, func() {
		x := torch.FromSlice([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
		w := torch.FromSlice([]float32{1, 2, 3, 4, 5, 6}, 2, 3).SetRequiresGrad(true)
		x.Mul(x) // before
		profile.Start()
		for range 5 {
			x.Linear(w, nil).Sum().Backward()
		}
		torch.NoGrad(func() { x.AddInPlace(x) })
		p = profile.Stop()
		x.Mul(x) // after
	})
	calls := func(name string, phase profile.Phase) int64 {
		i := slices.IndexFunc(p.Operations, func(o profile.Operation) bool { return o.Name == name && o.Phase == phase })
		if i < 0 {
			return 0
		}
		return p.Operations[i].Calls
	}
	for _, want := range []struct {
		name  string
		phase profile.Phase
		calls int64
	}{
		{"aten::linear", profile.Forward, 5}, {"SumBackward0", profile.Backward, 5},
		{"aten::add_", profile.NoGrad, 1}, {"aten::mul", profile.Forward, 0}, {"aten::linear", profile.Backward, 0},
	} {
		if got := calls(want.name, want.phase); got != want.calls {
			t.Errorf("%d calls of %s %s, want %d", got, want.name, want.phase, want.calls)
		}
	}
	for _, o := range p.Operations {
		if o.Self < 0 {
			t.Errorf("%s took %v without what it called", o.Name, o.Self)
		}
	}
	if out := p.Outside(); out <= 0 || out >= p.Wall {
		t.Errorf("%v of %v was outside operations", out, p.Wall)
	}
}
