package metatt

import (
	"math"
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
					if trained := trainsAll(&metaTT{shape: s, method: m, alpha: 1}, starts); trained != reachable {
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

// trainsAll makes a tensor train's cores and trains them for as many steps as a gradient
// needs from one end to the other: every component of every bond has one then.
func trainsAll(t *metaTT, starts []start) bool {
	torch.Seed(4)
	for i, s := range starts {
		size := t.core(i)
		t.cores = append(t.cores, makeCore(s, size[0], size[1], size[2], i == 0 || i == len(starts)-1).SetRequiresGrad(true))
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

// Slices are what their words say at rank 1 too, where an inner core has the shape
// of an outer one.
func TestStartsOfRankOne(t *testing.T) {
	torchtest.Compute(t, func() {
		for _, size := range [][2]int64{{1, 1}, {1, 3}, {3, 1}, {2, 3}} {
			eye := torch.Eye(torch.Float32, torch.CPU, size[0], size[1])
			core := makeCore(identity, size[0], 5, size[1], false)
			random := makeCore(orthogonal, size[0], 5, size[1], false)
			for i := range int64(5) {
				if !core.Select(1, int64(i)).Equal(eye) {
					t.Errorf("%v: slice %d of id is no identity", size, i)
				}
				if n, want := random.Select(1, int64(i)).Norm().Item(), math.Sqrt(float64(min(size[0], size[1]))); math.Abs(n-want) > 1e-5 {
					t.Errorf("%v: slice %d of or has norm %v, want %v", size, i, n, want)
				}
			}
		}
		if first := makeCore(identity, 1, 5, 3, true); !first.Reshape(5, 3).Equal(torch.Eye(torch.Float32, torch.CPU, 5, 3)) {
			t.Error("the first core is no identity")
		}
		if last := makeCore(identity, 3, 5, 1, true); !last.Reshape(3, 5).Equal(torch.Eye(torch.Float32, torch.CPU, 3, 5)) {
			t.Error("the last core is no identity")
		}
	})
}

// The default start reaches every component, also where ranks fall or rise.
func TestDefaultInit(t *testing.T) {
	for _, modes := range [][]string{modes4D, modes5D, {modeIn, modeTask, modeLayer, modeMatrix, modeHead, modeOut}} {
		for _, ranks := range [][]int64{{8, 8, 8, 8, 8}, {8, 6, 4, 3, 2}, {4, 6, 8, 9, 10}, {3, 9, 3, 9, 3}, {7, 2, 5, 4, 5}} {
			ranks = ranks[:len(modes)-1]
			text := defaultInit(modes, ranks)
			starts, err := parseInit(text, len(modes))
			if err == nil {
				err = checkReachable(starts, ranks)
			}
			if err != nil {
				t.Errorf("ranks %v: %s: %v", ranks, text, err)
			}
		}
	}
	for _, c := range []struct {
		modes []string
		ranks []int64
		want  string
	}{
		{modes4D, nil, "ze-id-id-id"}, {modes5D, nil, "or-id-id-id-ze"},
		{modes4D, []int64{8, 6, 8}, "ze-or-id-id"}, {modes5D, []int64{8, 6, 8, 8}, "or-id-or-id-ze"},
	} {
		if got := defaultInit(c.modes, c.ranks); got != c.want {
			t.Errorf("ranks %v: %s, want %s", c.ranks, got, c.want)
		}
	}
}
