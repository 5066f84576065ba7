package metatt

import (
	"slices"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/torch/torchtest"
)

// Ranks that differ per bond: an identity next to a narrower bond leaves
// components that nothing ever reaches.
func TestUnreachableComponents(t *testing.T) {
	for _, c := range []struct {
		init  string
		ranks []int64
		ok    bool
	}{
		{"ze-id-id-id", []int64{8, 8, 8}, true},
		{"ze-id-id-id", []int64{4, 6, 8}, true},
		{"ze-id-id-id", []int64{8, 4, 4}, false},
		{"ze-id-id-id", []int64{4, 8, 4}, false},
		{"ze-no-no-id", []int64{8, 4, 4}, true},
		{"ze-no-id-id", []int64{8, 4, 4}, true},
		{"ze-id-no-id", []int64{8, 4, 4}, false},
		{"id-id-id-ze", []int64{8, 4, 4}, true},
		{"id-id-id-ze", []int64{4, 8, 8}, false},
		{"or-or-or-ze", []int64{4, 8, 8}, true},
		{"id-ze-id-id", []int64{4, 8, 6}, false},
		{"id-ze-id-id", []int64{8, 4, 6}, true},
	} {
		starts, err := parseInit(c.init, 4)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkReachable(starts, c.ranks); (err == nil) != c.ok {
			t.Errorf("%s, ranks %v: %v, want ok = %v", c.init, c.ranks, err, c.ok)
		}
	}
}

// checkReachable says of every start with a task mode what training shows: it is
// an error iff a component of a bond has no gradient after some steps.
func TestReachableIsTrained(t *testing.T) {
	model := adapter.Architecture{ModelType: "bert", Hidden: 6, Layers: 3, Heads: 2, Intermediate: 24}
	m, err := adapter.Lookup("metatt4d")
	if err != nil {
		t.Fatal(err)
	}
	modes, err := placeTask(m.Modes, true, modeLayer)
	if err != nil {
		t.Fatal(err)
	}
	fine, wrong := 0, 0
	for _, ranks := range [][]int64{{2, 3, 3, 4}, {4, 2, 3, 2}} {
		s, err := newShape(model, []adapter.Kind{adapter.Query, adapter.Value}, modes, []string{"a"}, ranks)
		if err != nil {
			t.Fatal(err)
		}
		for zeroAt := range modes {
			for bits := range 1 << (len(modes) - 1) {
				starts := make([]start, 0, len(modes))
				for i := range len(modes) - 1 {
					starts = append(starts, []start{identity, normal}[bits>>i&1])
				}
				starts = slices.Insert(starts, zeroAt, zero)
				reachable := checkReachable(starts, ranks) == nil
				if reachable {
					fine++
				} else {
					wrong++
				}
				torchtest.Compute(t, func() {
					if trained := trainsAll(&train{shape: s, method: m, alpha: 1}, starts); trained != reachable {
						t.Errorf("%s, ranks %v: all components are trained: %v, reachable: %v", joinStarts(starts), ranks, trained, reachable)
					}
				})
			}
		}
	}
	if fine == 0 || wrong == 0 {
		t.Errorf("%d starts are fine, %d wrong: the test tells nothing", fine, wrong)
	}
}

// trainsAll makes a train's cores and trains them for as many steps as a gradient
// needs from one end to the other: every component of every bond has one then.
func trainsAll(t *train, starts []start) bool {
	torch.Seed(4)
	for i, s := range starts {
		size := t.core(i)
		t.cores = append(t.cores, makeCore(s, size[0], size[1], size[2]).SetRequiresGrad(true))
	}
	gradients := func() []*torch.Tensor {
		torch.Seed(5)
		loss := torch.Zeros(torch.Float32, torch.CPU)
		for l := range t.model.Layers {
			for _, k := range t.targets {
				delta := t.Delta(t.model.Site(l, k))
				loss = loss.Add(delta.Sub(torch.Randn(torch.Float32, torch.CPU, delta.Shape()...)).Square().Mean())
			}
		}
		return torch.Gradients(loss, t.cores)
	}
	for range len(starts) + 1 {
		for i, g := range gradients() {
			torch.NoGrad(func() { t.cores[i].AddInPlace(g.MulScalar(-0.1)) })
		}
	}
	all := gradients()
	for i, g := range all[:len(all)-1] {
		r := g.Size(-1)
		for _, sums := range []*torch.Tensor{g.Reshape(-1, r).Square().SumDim(0), all[i+1].Reshape(r, -1).Square().SumDim(1)} {
			if slices.Contains(torchtest.Values(sums), 0) {
				return false
			}
		}
	}
	return true
}
