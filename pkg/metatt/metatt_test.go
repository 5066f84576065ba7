package metatt_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/metatt"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/torch/torchtest"
)

// odd is a model with sizes that no transpose can hide behind: width 6, 3
// layers, feed-forward of 4 blocks.
var odd = adapter.Architecture{ModelType: "bert", Hidden: 6, Layers: 3, Heads: 2, Intermediate: 24}

func fresh(t *testing.T, method string, spec adapter.Spec) adapter.Adapter {
	t.Helper()
	spec.Device = torch.CPU
	m, err := adapter.Lookup(method)
	if err != nil {
		t.Fatal(err)
	}
	a, err := m.New(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Free)
	return a
}

// randomize gives every core values, so that no product vanishes.
func randomize(a adapter.Adapter) {
	torch.NoGrad(func() {
		for _, p := range a.Parameters() {
			p.Tensor.CopyFrom(torch.Randn(torch.Float32, torch.CPU, p.Tensor.Shape()...).MulScalar(0.5))
		}
	})
}

// The counts that the paper reports, D 768, L 12 and D 1024, L 24, query and
// value.
func TestParameterCounts(t *testing.T) {
	base := adapter.Architecture{ModelType: "roberta", Hidden: 768, Layers: 12, Heads: 12, Intermediate: 3072}
	large := adapter.Architecture{ModelType: "roberta", Hidden: 1024, Layers: 24, Heads: 16, Intermediate: 4096}
	for _, c := range []struct {
		method string
		model  adapter.Architecture
		rank   int
		want   int64
	}{
		{"metatt4d", base, 8, 13184}, {"metatt4d", base, 24, 44928}, {"metatt4d", base, 64, 155648},
		{"metatt4d", large, 16, 39424}, {"metatt4d", large, 32, 92160},
		{"metatt5d", base, 16, 19968}, {"metatt5d", base, 64, 159744},
		{"metatt5d", large, 32, 77824}, {"metatt5d", large, 64, 241664},
	} {
		a := fresh(t, c.method, adapter.Spec{Architecture: c.model, Targets: []adapter.Kind{adapter.Query, adapter.Value}, Rank: c.rank, Alpha: 1})
		if got := adapter.Count(a.Parameters()); got != c.want {
			t.Errorf("%s, width %d, rank %d: %d parameters, want %d", c.method, c.model.Hidden, c.rank, got, c.want)
		}
	}
}

// every subset of the six matrices
func targetSets() [][]adapter.Kind {
	var sets [][]adapter.Kind
	for bits := 1; bits < 64; bits++ {
		var set []adapter.Kind
		for i, k := range adapter.Kinds() {
			if bits>>i&1 == 1 {
				set = append(set, k)
			}
		}
		sets = append(sets, set)
	}
	return sets
}

// Apply must be x·Delta added to the frozen output, for values and for the
// gradients of x and of every core; Delta must be the equation, summed by hand.
func TestApplyDeltaAndEquationAgree(t *testing.T) {
	type place struct{ method, taskAfter string }
	places := []place{
		{"metatt4d", ""}, {"metatt5d", ""},
		{"metatt4d", "in"}, {"metatt4d", "layer"}, {"metatt4d", "matrix"},
		{"metatt5d", "in"}, {"metatt5d", "layer"}, {"metatt5d", "matrix"}, {"metatt5d", "head"},
	}
	for n, p := range places {
		for i, targets := range targetSets() {
			if p.taskAfter != "" && i%7 != n%7 {
				continue // some sets for each place of the task mode
			}
			// One token goes through the cores, many through their product.
			tokens := []int64{1, 90}[i%2]
			t.Run(fmt.Sprint(p, targets, tokens), func(t *testing.T) {
				spec := adapter.Spec{Architecture: odd, Targets: targets, Rank: 3, Alpha: 0.7}
				if p.taskAfter != "" {
					spec.Tasks, spec.Settings = []string{"a", "b", "c"}, metatt.Settings{TaskAfter: p.taskAfter}
				}
				if i%3 == 0 && p == places[0] {
					spec.Settings = metatt.Settings{Ranks: []int{2, 5, 4}, Init: "ze-no-no-no"}
				}
				a := fresh(t, p.method, spec)
				torchtest.Compute(t, func() {
					torch.Seed(11)
					randomize(a)
					for task := range max(1, len(spec.Tasks)) {
						for layer := range odd.Layers {
							checkGroup(t, a, targets, layer, task, tokens, adapter.Query, adapter.Key, adapter.Value)
							for _, k := range []adapter.Kind{adapter.Output, adapter.FFNUp, adapter.FFNDown} {
								checkGroup(t, a, targets, layer, task, tokens, k)
							}
						}
					}
				})
			})
		}
	}
}

func checkGroup(t *testing.T, a adapter.Adapter, targets []adapter.Kind, layer, task int, tokens int64, kinds ...adapter.Kind) {
	t.Helper()
	sites := make([]adapter.Site, len(kinds))
	for i, k := range kinds {
		sites[i] = odd.Site(layer, k)
	}
	x := torch.Randn(torch.Float32, torch.CPU, tokens, sites[0].In).SetRequiresGrad(true)
	var applied, explicit []*torch.Tensor
	frozen := make([]*torch.Tensor, len(sites))
	for i, s := range sites {
		w := torch.Randn(torch.Float32, torch.CPU, s.Out, s.In)
		frozen[i] = x.Linear(w, nil)
		// The reference sums in fp64: its rounding is not taken for the adapter's.
		exact := x.ToDType(torch.Float64)
		want := exact.Linear(w.ToDType(torch.Float64), nil)
		if delta := a.(adapter.TaskAware).TaskDelta(s, task); delta != nil {
			want = want.Add(exact.MatMul(delta.ToDType(torch.Float64)))
			checkFactors(t, a, s)
			torchtest.Close(t, fmt.Sprintf("delta of %s", s), torchtest.Values(delta), equation(a, targets, s, task), torchtest.Default)
		}
		explicit = append(explicit, want)
	}
	applied = a.Begin(adapter.Step{DType: torch.Float32, Tokens: tokens, Task: task}).Apply(sites, x, frozen)
	leaves := []*torch.Tensor{x}
	for _, p := range a.Parameters() {
		leaves = append(leaves, p.Tensor)
	}
	objective := func(outputs []*torch.Tensor) *torch.Tensor {
		total := torch.Zeros(torch.Float64, torch.CPU)
		for i, y := range outputs {
			total = total.Add(y.Square().Sum().MulScalar(float64(i + 1)))
		}
		return total
	}
	for i := range sites {
		torchtest.Close(t, sites[i].String(), torchtest.Values(applied[i]), torchtest.Values(explicit[i]), torchtest.Default)
	}
	got, want := torch.Gradients(objective(applied), leaves), torch.Gradients(objective(explicit), leaves)
	for i := range leaves {
		torchtest.Close(t, fmt.Sprintf("gradient %d of %v", i, sites), torchtest.Values(got[i]), torchtest.Values(want[i]), torchtest.Default)
	}
}

// checkFactors holds the factors to ΔW of the first task and to the rank that a
// LoRA of it needs.
func checkFactors(t *testing.T, a adapter.Adapter, s adapter.Site) {
	t.Helper()
	in, out := a.(adapter.Factored).Factors(s)
	torchtest.Close(t, fmt.Sprintf("factors of %s", s), torchtest.Values(in.MatMul(out)), torchtest.Values(a.Delta(s)), torchtest.Default)
	c := a.Config()
	if len(c.Tasks) > 0 {
		return // the slice may have moved a bond
	}
	r := c.Ranks
	want := min(r[0], r[1], r[2])
	switch s.Kind {
	case adapter.FFNUp:
		want = min(r[0], r[1])
	case adapter.FFNDown:
		want = r[2]
	}
	if in.Size(1) != want {
		t.Errorf("%s: a LoRA of rank %d, want %d", s, in.Size(1), want)
	}
}

// equation is ΔW of a site in plain sums over the cores' entries.
func equation(a adapter.Adapter, targets []adapter.Kind, s adapter.Site, task int) []float64 {
	type core struct {
		v       []float64
		l, n, r int
	}
	var cores []core
	for _, p := range a.Parameters() {
		shape := p.Tensor.Shape()
		cores = append(cores, core{torchtest.Values(p.Tensor), int(shape[0]), int(shape[1]), int(shape[2])})
	}
	entry := func(c core, i, n, j int) float64 { return c.v[(i*c.n+n)*c.r+j] }
	d := int(odd.Hidden)
	first := 0 // matrix index of the site's first block
	for _, k := range targets {
		if k == s.Kind {
			break
		}
		first++
		if k == adapter.FFNUp || k == adapter.FFNDown {
			first += int(odd.Intermediate)/d - 1
		}
	}
	delta := make([]float64, s.In*s.Out)
	for row := range int(s.In) {
		for column := range int(s.Out) {
			m := first + row/d + column/d // one of the two is 0 for every kind
			last := cores[len(cores)-1].n // D, or D/H
			at := map[string]int{"in": row % d, "layer": s.Layer, "matrix": m, "head": column % d / last, "task": task, "out": column % last}
			var indices []int
			for _, mode := range a.Config().Modes {
				indices = append(indices, at[mode])
			}
			left := []float64{1}
			for k, c := range cores {
				right := make([]float64, c.r)
				for i := range left {
					for j := range right {
						right[j] += left[i] * entry(c, i, indices[k], j)
					}
				}
				left = right
			}
			delta[row*int(s.Out)+column] = 0.7 * left[0]
		}
	}
	return delta
}

// Whatever the start, ΔW is zero, and after some steps every component of every
// bond has a gradient: in 4D and 5D, with a task mode at any place, for every
// start of each core.
func TestStarts(t *testing.T) {
	for _, p := range append([]place{{"metatt4d", ""}, {"metatt5d", ""}}, places...) {
		cores := int(p.method[len("metatt")] - '0')
		if p.after != "" {
			cores++
		}
		for zero := range cores {
			for _, other := range []string{"id", "no", "or", "mixed"} {
				parts := slices.Repeat([]string{other}, cores)
				for i := range parts {
					if other == "mixed" {
						parts[i] = []string{"or", "id", "no"}[i%3]
					}
				}
				parts[zero] = "ze"
				init := strings.Join(parts, "-")
				t.Run(fmt.Sprint(p, init), func(t *testing.T) { checkTrainable(t, p, init) })
			}
		}
	}
}

func checkTrainable(t *testing.T, p place, init string) {
	targets := []adapter.Kind{adapter.Query, adapter.Value}
	spec := adapter.Spec{Architecture: odd, Targets: targets, Rank: 3, Alpha: 1, Settings: metatt.Settings{Init: init, TaskAfter: p.after}, Seed: 5}
	if p.after != "" {
		spec.Tasks = []string{"a"}
	}
	a := fresh(t, p.method, spec)
	torchtest.Compute(t, func() {
		if delta := a.Delta(odd.Site(1, adapter.Value)); delta.Norm().Item() != 0 {
			t.Error("ΔW is not zero at the start")
		}
		var leaves []*torch.Tensor
		for _, p := range a.Parameters() {
			leaves = append(leaves, p.Tensor)
		}
		goal := map[adapter.Site]*torch.Tensor{}
		for l := range odd.Layers {
			for _, k := range targets {
				goal[odd.Site(l, k)] = torch.Randn(torch.Float32, torch.CPU, odd.Hidden, odd.Hidden)
			}
		}
		gradients := func() []*torch.Tensor {
			loss := torch.Zeros(torch.Float32, torch.CPU)
			for l := range odd.Layers {
				for _, k := range targets {
					s := odd.Site(l, k)
					loss = loss.Add(a.Delta(s).Sub(goal[s]).Square().Mean())
				}
			}
			return torch.Gradients(loss, leaves)
		}
		for range 20 {
			g := gradients()
			torch.NoGrad(func() {
				for i, p := range leaves {
					p.AddInPlace(g[i].MulScalar(-0.1))
				}
			})
		}
		all := gradients()
		for i, g := range all[:len(all)-1] { // bond i+1 is the last index of core i and the first of the next
			r := g.Size(-1)
			right := torchtest.Values(all[i+1].Reshape(r, -1).Square().SumDim(1))
			for component, size := range torchtest.Values(g.Reshape(-1, r).Square().SumDim(0)) {
				if size == 0 || right[component] == 0 {
					t.Errorf("component %d of bond %d has the gradients %v from the left, %v from the right", component, i+1, size, right[component])
				}
			}
		}
	})
}

// The core that starts at zero is told by the start, of a fresh adapter and of one
// with a task mode.
func TestZeroCore(t *testing.T) {
	spec := adapter.Spec{Architecture: odd, Targets: adapter.Kinds(), Rank: 3, Alpha: 1}
	for init, want := range map[string]int{"": 0, "no-ze-no-no": 1, "or-or-or-ZE": 3} {
		spec.Settings = metatt.Settings{Init: init}
		if got := fresh(t, "metatt4d", spec).(adapter.TensorTrain).ZeroCore(); got != want {
			t.Errorf("%q: core %d, want %d", init, got, want)
		}
	}
	spec.Tasks, spec.Settings = []string{"a"}, metatt.Settings{Init: "no-no-no-ze-no", TaskAfter: "layer"}
	if got := fresh(t, "metatt4d", spec).(adapter.TensorTrain).ZeroCore(); got != 3 {
		t.Errorf("with a task mode: core %d", got)
	}
	spec.Settings = "ze-no-no-no"
	m, err := adapter.Lookup("metatt4d")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.New(spec); err == nil || !strings.Contains(err.Error(), "settings are string, the method's are metatt.Settings") || m.Count(spec) != 0 {
		t.Errorf("settings of nobody: %v", err)
	}
}

func TestBadSpecs(t *testing.T) {
	good := adapter.Spec{Architecture: odd, Targets: []adapter.Kind{adapter.Query}, Rank: 2, Alpha: 1, Device: torch.CPU}
	for name, c := range map[string]struct {
		method string
		change func(*adapter.Spec)
		want   string
	}{
		"rank above the bond":           {"metatt4d", func(s *adapter.Spec) { s.Rank = 7 }, "rank 7 of bond 1 (in|layer) is not between 1 and 6"},
		"rank above D/H":                {"metatt5d", func(s *adapter.Spec) { s.Rank = 4 }, "rank 4 of bond 4 (head|out) is not between 1 and 3"},
		"heads that do not divide":      {"metatt5d", func(s *adapter.Spec) { s.Architecture.Heads = 4 }, "4 heads do not divide the width 6"},
		"too few parts for 5D":          {"metatt5d", func(s *adapter.Spec) { s.Settings = metatt.Settings{Init: "ze-id-id-id"} }, `init "ze-id-id-id" is for 4 cores; the tensor train has 5`},
		"task mode at an end":           {"metatt4d", func(s *adapter.Spec) { s.Tasks, s.Settings = []string{"a"}, metatt.Settings{TaskAfter: "out"} }, "behind one of in, layer, matrix, not behind"},
		"too few ranks":                 {"metatt5d", func(s *adapter.Spec) { s.Settings = metatt.Settings{Ranks: []int{2, 2, 2}} }, "3 ranks, the tensor train of in, layer, matrix, head, out has 4 bonds"},
		"start that reaches too little": {"metatt4d", func(s *adapter.Spec) { s.Settings = metatt.Settings{Ranks: []int{4, 2, 2}, Init: "ze-id-id-id"} }, "only 2 of the 4 components of bond 1"},
		"no zero core":                  {"metatt4d", func(s *adapter.Spec) { s.Settings = metatt.Settings{Init: "id-id-id-id"} }, "has 0 cores at ze"},
		"two zero cores":                {"metatt4d", func(s *adapter.Spec) { s.Settings = metatt.Settings{Init: "ze-id-id-ze"} }, "has 2 cores at ze"},
		"too few parts":                 {"metatt4d", func(s *adapter.Spec) { s.Settings = metatt.Settings{Init: "ze-id"} }, "is for 2 cores"},
		"unknown start":                 {"metatt4d", func(s *adapter.Spec) { s.Settings = metatt.Settings{Init: "ze-id-xx-id"} }, `"xx" is no start of a core`},
		"no targets":                    {"metatt4d", func(s *adapter.Spec) { s.Targets = nil }, "no targets"},
		"feed-forward no blocks":        {"metatt4d", func(s *adapter.Spec) { s.Targets = []adapter.Kind{adapter.FFNUp}; s.Architecture.Intermediate = 25 }, "25 is not a multiple of the width 6"},
	} {
		t.Run(name, func(t *testing.T) {
			spec := good
			c.change(&spec)
			method, err := adapter.Lookup(c.method)
			if err != nil {
				t.Fatal(err)
			}
			a, err := method.New(spec)
			if err == nil {
				a.Free()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q does not say %q", err, c.want)
			}
		})
	}
}

func TestSaveAndOpen(t *testing.T) {
	for _, method := range []string{"metatt4d", "metatt5d"} {
		t.Run(method, func(t *testing.T) { saveAndOpen(t, method) })
	}
}

func saveAndOpen(t *testing.T, method string) {
	targets := []adapter.Kind{adapter.Value, adapter.FFNDown}
	a := fresh(t, method, adapter.Spec{Architecture: odd, Targets: targets, Rank: 3, Alpha: 2.5, Tasks: []string{"a", "b"}, Settings: metatt.Settings{TaskAfter: "layer"}})
	torchtest.Compute(t, func() { torch.Seed(9); randomize(a) })
	dir := t.TempDir()
	if err := adapter.Save(dir, a.Config(), a.Parameters()); err != nil {
		t.Fatal(err)
	}
	saved, err := adapter.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer saved.Close()
	b, err := saved.Open(odd, torch.CPU)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Free()
	torchtest.Compute(t, func() {
		for l := range odd.Layers {
			for _, k := range targets {
				for task := range 2 {
					before, after := a.(adapter.TaskAware).TaskDelta(odd.Site(l, k), task), b.(adapter.TaskAware).TaskDelta(odd.Site(l, k), task)
					if !before.Equal(after) {
						t.Errorf("layer %d %s of task %d differs after reloading", l, k, task)
					}
				}
			}
		}
	})
	other := odd
	other.Layers = 4
	if _, err := saved.Open(other, torch.CPU); err == nil || !strings.Contains(err.Error(), "3 layers") || !strings.Contains(err.Error(), "4 layers") {
		t.Errorf("onto another architecture: %v; both should be named", err)
	}
}

// A task's bits do not depend on how many other tasks there are.
func TestMoreTasksChangeNoBit(t *testing.T) {
	for _, after := range []string{"in", "layer", "matrix"} {
		spec := adapter.Spec{Architecture: odd, Targets: adapter.Kinds(), Rank: 3, Alpha: 1, Tasks: []string{"a", "b"}, Settings: metatt.Settings{TaskAfter: after}}
		few := fresh(t, "metatt4d", spec)
		spec.Tasks = []string{"a", "b", "c", "d", "e"}
		many := fresh(t, "metatt4d", spec)
		torchtest.Compute(t, func() {
			randomize(few)
			torch.NoGrad(func() {
				for i, p := range many.Parameters() {
					n := few.Parameters()[i].Tensor.Size(1)
					p.Tensor.Narrow(1, 0, n).CopyFrom(few.Parameters()[i].Tensor)
				}
			})
			s := odd.Site(2, adapter.FFNUp)
			x := torch.Randn(torch.Float32, torch.CPU, 7, s.In)
			apply := func(a adapter.Adapter) *torch.Tensor {
				frozen := []*torch.Tensor{torch.Zeros(torch.Float32, torch.CPU, 7, s.Out)}
				return a.Begin(adapter.Step{DType: torch.Float32, Tokens: 7, Task: 1}).Apply([]adapter.Site{s}, x, frozen)[0]
			}
			if !apply(few).Equal(apply(many)) {
				t.Errorf("task mode behind %s: task b of five differs from task b of two", after)
			}
		})
	}
}

func TestUnknownTaskIsAnError(t *testing.T) {
	a := fresh(t, "metatt4d", adapter.Spec{Architecture: odd, Targets: adapter.Kinds(), Rank: 2, Alpha: 1, Tasks: []string{"a", "b"}})
	err := torch.Do(func() error { a.Begin(adapter.Step{DType: torch.Float32, Task: 2}); return nil })
	if err == nil || !strings.Contains(err.Error(), "task 2, the adapter has 2") {
		t.Errorf("%v", err)
	}
}
