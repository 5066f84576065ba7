package metatt_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/metatt"
	"github.com/metatt/metatt/pkg/optim"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/torch/torchtest"
)

// place is a method and where its task mode stands.
type place struct{ method, after string }

var places = []place{
	{"metatt4d", "in"}, {"metatt4d", "layer"}, {"metatt4d", "matrix"},
	{"metatt5d", "in"}, {"metatt5d", "layer"}, {"metatt5d", "matrix"}, {"metatt5d", "head"},
}

// store saves an adapter as it is and reads it again.
func store(t *testing.T, a adapter.Adapter) *adapter.Saved {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "saved")
	err := torch.Do(func() error { return adapter.Save(dir, a.Config(), adapter.State(a)) })
	if err != nil {
		t.Fatal(err)
	}
	saved, err := adapter.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { saved.Close() })
	return saved
}

// trained is an adapter for the tasks a and b, with values, and ranks that differ
// beside the task core.
func trained(t *testing.T, p place) adapter.Adapter {
	t.Helper()
	settings := metatt.Settings{Ranks: []int{3, 4, 3, 2}, Init: "ze-no-no-no-no", TaskAfter: p.after}
	if p.method == "metatt5d" {
		settings.Ranks, settings.Init = []int{3, 4, 3, 3, 2}, "ze-no-no-no-no-no"
	}
	spec := adapter.Spec{Architecture: odd, Targets: adapter.Kinds(), Alpha: 0.7, Settings: settings, Tasks: []string{"a", "b"}}
	a := fresh(t, p.method, spec)
	torchtest.Compute(t, func() { torch.Seed(21); randomize(a) })
	return a
}

func appendTo(t *testing.T, saved *adapter.Saved, how adapter.Appending) adapter.Adapter {
	t.Helper()
	a, err := saved.Append(odd, how, torch.CPU)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Free)
	return a
}

// reopened is the adapter after saving and opening it.
func reopened(t *testing.T, a adapter.Adapter) adapter.Adapter {
	t.Helper()
	b, err := store(t, a).Open(odd, torch.CPU)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Free)
	return b
}

// outputs is what an adapter makes of batches for a task, at the sites of a layer,
// in both number formats and for few and many tokens.
func outputs(a adapter.Adapter, task int) (all []float32) {
	torch.NoGrad(func() { all = recordedOutputs(a, task) })
	return all
}

func recordedOutputs(a adapter.Adapter, task int) []float32 {
	var all []float32
	torch.Seed(33)
	for _, c := range []struct {
		tokens int64
		dtype  torch.DType
	}{{1, torch.Float32}, {90, torch.Float32}, {5, torch.BFloat16}} {
		pass := a.Begin(adapter.Step{DType: c.dtype, Tokens: c.tokens, Task: task})
		layer := int(c.tokens) % odd.Layers
		for _, kinds := range [][]adapter.Kind{{adapter.Query, adapter.Key, adapter.Value}, {adapter.Output}, {adapter.FFNUp}, {adapter.FFNDown}} {
			sites, frozen := make([]adapter.Site, len(kinds)), make([]*torch.Tensor, len(kinds))
			for i, k := range kinds {
				sites[i] = odd.Site(layer, k)
				frozen[i] = torch.Randn(torch.Float32, torch.CPU, c.tokens, sites[i].Out).ToDType(c.dtype)
			}
			x := torch.Randn(torch.Float32, torch.CPU, c.tokens, sites[0].In).ToDType(c.dtype)
			for _, y := range pass.Apply(sites, x, frozen) {
				all = append(all, torch.ToSlice[float32](y.Detach().ToDType(torch.Float32))...)
			}
		}
	}
	return all
}

func equal(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%s: output %d is %v, was %v", what, i, got[i], want[i])
			return
		}
	}
	if len(got) != len(want) || len(want) == 0 {
		t.Errorf("%s: %d outputs of %d", what, len(got), len(want))
	}
}

// improve trains what is an adapter's to train towards random updates of one
// task, with weight decay and clipping.
func improve(a adapter.Adapter, task, steps int) {
	var parameters []optim.Parameter
	for i, leaf := range adapter.Leaves(a) {
		p := a.Parameters()[i]
		parameters = append(parameters, optim.Parameter{Name: p.Name, Value: p.Tensor, Leaf: leaf, Scale: 1})
	}
	o := optim.NewAdamW(parameters, optim.AdamWConfig{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.3, ClipNorm: 0.5}, nil)
	defer o.Free()
	for range steps {
		torch.Scoped(func() {
			torch.Seed(5)
			loss := torch.Zeros(torch.Float32, torch.CPU)
			for layer := range odd.Layers {
				for _, k := range adapter.Kinds() {
					s := odd.Site(layer, k)
					loss = loss.Add(a.(adapter.TaskAware).TaskDelta(s, task).Sub(torch.Randn(torch.Float32, torch.CPU, s.In, s.Out)).Square().Mean())
				}
			}
			o.ZeroGradients()
			loss.Backward()
			o.Step(0.05, nil, nil)
		})
	}
}

// Whatever is appended and trained, the other tasks keep every bit: at once,
// after training, after saving and opening, and under a third task. What is
// trained is the new task's own and no more.
func TestAppendingLeavesOtherTasksBits(t *testing.T) {
	for _, p := range places {
		for _, how := range []adapter.Appending{
			{Task: "c", Start: adapter.StartZero}, {Task: "c", Start: adapter.StartMean}, {Task: "c", Start: "b"},
			{Task: "c", Start: adapter.StartZero, Grow: 1, Seed: 3}, {Task: "c", Start: "a", Grow: 1, Seed: 3},
		} {
			t.Run(fmt.Sprint(p, how), func(t *testing.T) {
				old := trained(t, p)
				var before [2][]float32
				torchtest.Compute(t, func() {
					for task := range before {
						before[task] = outputs(old, task)
					}
				})
				unchanged := func(when string, a adapter.Adapter) {
					t.Helper()
					torchtest.Compute(t, func() {
						for task := range before {
							equal(t, fmt.Sprintf("%s, task %d", when, task), outputs(a, task), before[task])
						}
					})
				}
				a := appendTo(t, store(t, old), how)
				unchanged("appended", a)
				checkStart(t, a, old, how)
				checkOwn(t, a, old, how)

				torchtest.Compute(t, func() { improve(a, 2, 8) })
				unchanged("trained", a)
				b := reopened(t, a)
				unchanged("opened", b)
				var third []float32
				torchtest.Compute(t, func() {
					third = outputs(a, 2)
					equal(t, "task c, opened", outputs(b, 2), third)
					for i, p := range a.Parameters() {
						if q := b.Parameters()[i]; q.Name != p.Name || !q.Tensor.Equal(p.Tensor) {
							t.Errorf("%s is trained on as %s, or differs", p.Name, q.Name)
						}
					}
				})
				more := adapter.Appending{Task: "d", Start: "c", Grow: how.Grow, Seed: 4}
				if p.after == "head" {
					more.Grow = 0 // the bond before out has D/H components by now
				}
				torchtest.Compute(t, func() {
					train := b.(adapter.TensorTrain)
					if err := train.SetCores(train.Cores()); err == nil || !strings.Contains(err.Error(), "are frozen") {
						t.Errorf("cores of frozen tasks were replaced: %v", err)
					}
				})
				c := appendTo(t, store(t, b), more)
				torchtest.Compute(t, func() { improve(c, 3, 3) })
				unchanged("with a fourth", c)
				d := reopened(t, c)
				unchanged("with a fourth, opened", d)
				torchtest.Compute(t, func() {
					equal(t, "task c with a fourth", outputs(c, 2), third)
					equal(t, "task c with a fourth, opened", outputs(d, 2), third)
				})
				if frozen := adapter.FrozenTasks(d); !slices.Equal(frozen, []string{"a", "b", "c"}) {
					t.Errorf("frozen tasks %v", frozen)
				}
			})
		}
	}
}

// checkStart: ΔW of a new task is zero, or that of the task whose slice it
// copied, or the mean.
func checkStart(t *testing.T, a, old adapter.Adapter, how adapter.Appending) {
	t.Helper()
	torchtest.Compute(t, func() {
		s := odd.Site(1, adapter.FFNDown)
		was := func(task int) *torch.Tensor { return old.(adapter.TaskAware).TaskDelta(s, task) }
		var want *torch.Tensor
		switch how.Start {
		case adapter.StartZero:
			want = torch.Zeros(torch.Float32, torch.CPU, s.In, s.Out)
		case adapter.StartMean:
			want = was(0).Add(was(1)).MulScalar(0.5)
		case "a":
			want = was(0)
		case "b":
			want = was(1)
		}
		torchtest.Close(t, "ΔW of the new task", torchtest.Values(a.(adapter.TaskAware).TaskDelta(s, 2)), torchtest.Values(want), torchtest.Default)
	})
}

// checkOwn: what is trained has the size of the formula, and all of it has a
// gradient after the first step.
func checkOwn(t *testing.T, a, old adapter.Adapter, how adapter.Appending) {
	t.Helper()
	c := old.Config()
	i := slices.Index(c.Modes, adapter.TaskMode)
	torchtest.Compute(t, func() {
		shape := func(core int) []int64 { return adapter.State(old)[core].Tensor.Shape() }
		k := int64(how.Grow)
		left, right := shape(i-1), shape(i+1)
		want := (left[2]+k)*(right[0]+k) + k*left[0]*left[1] + k*right[1]*right[2]
		if got := adapter.Count(a.Parameters()); got != want {
			t.Errorf("%d parameters are the new task's own, want %d", got, want)
		}
		whole := adapter.Count(adapter.State(old)) + (left[2]+k)*(right[0]+k)
		if k > 0 {
			whole += k*left[0]*left[1] + k*right[1]*right[2] + 2*((left[2]+k)*(right[0]+k)-left[2]*right[0])
		}
		if got := adapter.Count(adapter.State(a)); got != whole {
			t.Errorf("%d parameters in all, want %d", got, whole)
		}
		for _, core := range a.(adapter.TensorTrain).Cores() {
			if core.RequiresGrad() {
				t.Error("a whole core is trained")
			}
		}
	})
	probe := reopened(t, a)
	torchtest.Compute(t, func() {
		improve(probe, 2, 3)
		leaves := adapter.Leaves(probe)
		loss := torch.Zeros(torch.Float32, torch.CPU)
		for layer := range odd.Layers {
			for _, kind := range adapter.Kinds() {
				s := odd.Site(layer, kind)
				loss = loss.Add(probe.(adapter.TaskAware).TaskDelta(s, 2).Sub(torch.Randn(torch.Float32, torch.CPU, s.In, s.Out)).Square().Mean())
			}
		}
		for n, g := range torch.Gradients(loss, leaves) {
			for entry, size := range torchtest.Values(g) {
				if size == 0 {
					t.Errorf("entry %d of %s has no gradient", entry, probe.Parameters()[n].Name)
				}
			}
		}
	})
}

// A task's own factors are those of its ΔW.
func TestForTask(t *testing.T) {
	for _, p := range places {
		a := appendTo(t, store(t, trained(t, p)), adapter.Appending{Task: "c", Start: "a", Grow: 1, Seed: 8})
		torchtest.Compute(t, func() {
			improve(a, 2, 2)
			for task := range 3 {
				v := adapter.ForTask(a, task)
				equal(t, fmt.Sprint(p, task), outputs(v, 99), outputs(a, task))
				for _, k := range adapter.Kinds() {
					s := odd.Site(2, k)
					if !v.Delta(s).Equal(a.(adapter.TaskAware).TaskDelta(s, task)) {
						t.Errorf("%v: Delta of %s is not that of task %d", p, s, task)
					}
					in, out := v.(adapter.Factored).Factors(s)
					torchtest.Close(t, fmt.Sprint(p, task, s), torchtest.Values(in.MatMul(out)), torchtest.Values(v.Delta(s)), torchtest.Default)
				}
			}
		})
	}
	plain := fresh(t, "metatt4d", adapter.Spec{Architecture: odd, Targets: adapter.Kinds(), Rank: 2, Alpha: 1})
	if adapter.ForTask(plain, 0) != plain {
		t.Error("an adapter without a task mode is wrapped")
	}
}

func TestWrongAppends(t *testing.T) {
	saved := store(t, trained(t, place{"metatt4d", "layer"}))
	plain := store(t, fresh(t, "metatt4d", adapter.Spec{Architecture: odd, Targets: adapter.Kinds(), Rank: 2, Alpha: 1}))
	other := odd
	other.Layers = 4
	for name, c := range map[string]struct {
		saved *adapter.Saved
		model adapter.Architecture
		how   adapter.Appending
		want  string
	}{
		"no task mode":         {plain, odd, adapter.Appending{Task: "c", Start: adapter.StartZero}, "metatt4d without a task mode"},
		"the same task":        {saved, odd, adapter.Appending{Task: "b", Start: adapter.StartZero}, "has the task b already; its tasks are a, b"},
		"unknown start":        {saved, odd, adapter.Appending{Task: "c", Start: "x"}, `is called "x": there are zero, mean and the tasks a, b`},
		"negative growth":      {saved, odd, adapter.Appending{Task: "c", Start: "a", Grow: -1}, "cannot grow by -1"},
		"growth beyond bounds": {saved, odd, adapter.Appending{Task: "c", Start: "a", Grow: 50}, "rank 54 of bond 2 (layer|task) is not between 1 and 18"},
		"another architecture": {saved, other, adapter.Appending{Task: "c", Start: "a"}, "3 layers"},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := c.saved.Append(c.model, c.how, torch.CPU)
			if err == nil {
				a.Free()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q does not say %q in a line", err, c.want)
			}
		})
	}
}

// What a file says of shares and frozen tasks is checked against its tensors.
func TestWrongTaskRanks(t *testing.T) {
	grown := appendTo(t, store(t, trained(t, place{"metatt5d", "matrix"})), adapter.Appending{Task: "c", Start: "a", Grow: 2, Seed: 8})
	torchtest.Compute(t, func() { improve(grown, 2, 2) })
	for name, c := range map[string]struct {
		change func(*adapter.Config)
		want   string
	}{
		"too few":          {func(c *adapter.Config) { c.TaskRanks = c.TaskRanks[:2] }, "for 3 tasks"},
		"too large":        {func(c *adapter.Config) { c.TaskRanks[0][1] = 99 }, "each task couples to one component or more"},
		"zero":             {func(c *adapter.Config) { c.TaskRanks[1][0] = 0 }, "each task couples to one component or more"},
		"less than it has": {func(c *adapter.Config) { c.TaskRanks[1][0]-- }, "the slice of task b couples to more than its"},
		"uneven":           {func(c *adapter.Config) { c.TaskRanks[0][0]++; c.TaskRanks[1][0]++ }, "grow by the same"},
		"other frozen":     {func(c *adapter.Config) { c.FrozenTasks = []string{"a"} }, "frozen_tasks [a] of the tasks [a b c]"},
	} {
		t.Run(name, func(t *testing.T) {
			config := grown.Config()
			c.change(&config)
			dir := t.TempDir()
			if err := torch.Do(func() error { return adapter.Save(dir, config, adapter.State(grown)) }); err != nil {
				t.Fatal(err)
			}
			saved, err := adapter.Read(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer saved.Close()
			if a, err := saved.Open(odd, torch.CPU); err == nil {
				a.Free()
				t.Error("no error")
			} else if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q does not say %q", err, c.want)
			}
		})
	}
}
