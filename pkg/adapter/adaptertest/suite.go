// Package adaptertest is the conformance suite that every adapter method must
// pass: a new method gets it all by registering.
package adaptertest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/torch/torchtest"
)

// Model is a small backbone with a head and a batch, all without dropout.
type Model interface {
	adapter.Backbone
	Architecture() adapter.Architecture
	// Logits is (examples, labels), fp32; pass may be nil. It runs inside
	// [torch.Do].
	Logits(pass adapter.Pass) *torch.Tensor
	// Tokens is how many the batch has.
	Tokens() int64
}

// NewModel makes the same model each time, in that dtype; t frees it.
type NewModel func(t *testing.T, dtype torch.DType) Model

// rank is one that every method has on a small model.
const rank = 2

// targetSets are those where a mistake in the order or the sizes of sites shows.
var targetSets = [][]adapter.Kind{
	{adapter.Query, adapter.Value},
	{adapter.Value, adapter.Key, adapter.Query},
	{adapter.Output},
	{adapter.FFNUp},
	{adapter.FFNDown, adapter.Value},
	{adapter.FFNDown, adapter.Output},
	adapter.Kinds(),
}

// RunSmallest holds one method to what has to be true of a batch of one token, too.
func RunSmallest(t *testing.T, method adapter.Method, newModel NewModel) {
	s := suite{method, newModel, targetSets[len(targetSets)-1]}
	t.Run("start", s.start)
	t.Run("merged", s.merged)
	t.Run("saved and opened", s.saved)
}

// Run holds one method to everything that its capabilities promise.
func Run(t *testing.T, method adapter.Method, newModel NewModel) {
	for _, targets := range targetSets {
		s := suite{method, newModel, targets}
		t.Run(fmt.Sprint(targets), func(t *testing.T) {
			t.Run("start", s.start)
			t.Run("apply is x·Delta", s.apply)
			t.Run("merged", s.merged)
			t.Run("count", s.count)
			t.Run("saved and opened", s.saved)
		})
	}
	all := suite{method, newModel, targetSets[len(targetSets)-1]}
	t.Run("training all", all.training)
	t.Run("gradient all", all.gradient)
	s := suite{method, newModel, targetSets[0]}
	t.Run("gradient", s.gradient)
	t.Run("seed", s.seed)
	t.Run("training", s.training)
	t.Run("wrong rank", s.wrongRank)
	t.Run("wrong place", s.wrongPlace)
}

type suite struct {
	method   adapter.Method
	newModel NewModel
	targets  []adapter.Kind
}

func (s suite) spec(model Model) adapter.Spec {
	return adapter.Spec{
		Architecture: model.Architecture(), Targets: s.targets, Rank: rank, Alpha: min(s.method.Alpha(), 2*rank), Seed: 5, Device: torch.CPU,
	}
}

// adapter is a fresh one on the model.
func (s suite) adapter(t *testing.T, model Model) adapter.Adapter {
	t.Helper()
	a, err := s.method.New(s.spec(model))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Free)
	bind(t, a, model)
	return a
}

func bind(t *testing.T, a adapter.Adapter, model Model) {
	t.Helper()
	if err := adapter.Bind(a, model); err != nil {
		t.Fatal(err)
	}
}

// start: ΔW is zero and the logits are the backbone's bit for bit.
func (s suite) start(t *testing.T) {
	for _, dtype := range []torch.DType{torch.Float32, torch.BFloat16} {
		model := s.newModel(t, dtype)
		var plain []float32
		torchtest.Compute(t, func() { plain = torch.ToSlice[float32](model.Logits(nil)) })
		a := s.adapter(t, model)
		torchtest.Compute(t, func() {
			for _, site := range sites(model) {
				delta := a.Delta(site)
				if s.hasDelta(a, site) != (delta != nil) {
					t.Fatalf("%s: Delta is nil: %v", site, delta == nil)
				}
				if delta != nil && !delta.Detach().Equal(torch.Zeros(torch.Float32, torch.CPU, site.In, site.Out)) {
					t.Errorf("%s, %s: ΔW is not zero", dtype, site)
				}
			}
			for _, training := range []bool{false, true} {
				pass := a.Begin(adapter.Step{DType: dtype, Training: training, Tokens: model.Tokens()})
				if got := torch.ToSlice[float32](model.Logits(pass).Detach()); !slices.Equal(got, plain) {
					t.Errorf("%s, training %v: logits %v, the backbone's are %v", dtype, training, got, plain)
				}
			}
		})
	}
}

// hasDelta: the adapter must have a ΔW of the site.
func (s suite) hasDelta(a adapter.Adapter, site adapter.Site) bool {
	return isLinear(a) && slices.Contains(s.targets, site.Kind) && len(a.Config().Targets) > 0
}

// isLinear: W + ΔWᵀ at every site is all that the adapter does.
func isLinear(a adapter.Adapter) bool {
	_, trains := a.(adapter.BackboneTrainer)
	return adapter.CheckMergeable(a) == nil && !trains
}

// apply: values, and gradients of x and of every parameter, are those of
// x (Wᵀ + Delta) + b; the factors of ΔW are exact.
func (s suite) apply(t *testing.T) {
	model := s.newModel(t, torch.Float32)
	a := s.adapter(t, model)
	if !isLinear(a) {
		t.Skip("has no ΔW")
	}
	torchtest.Compute(t, func() {
		disturb(a)
		for layer := range model.Architecture().Layers {
			for _, kinds := range [][]adapter.Kind{{adapter.Query, adapter.Key, adapter.Value}, {adapter.Output}, {adapter.FFNUp}, {adapter.FFNDown}} {
				group := make([]adapter.Site, len(kinds))
				for i, kind := range kinds {
					group[i] = model.Architecture().Site(layer, kind)
				}
				for _, tokens := range []int64{1, 70} { // methods may compute few and many in their own ways
					checkGroup(t, a, model, group, tokens)
				}
			}
		}
		if f, ok := a.(adapter.Factored); ok {
			for _, site := range sites(model) {
				in, out := f.Factors(site)
				if (in != nil) != s.hasDelta(a, site) {
					t.Fatalf("%s: factors are nil: %v", site, in == nil)
				}
				if in != nil {
					near(t, fmt.Sprintf("%s: product of the factors", site), in.MatMul(out), a.Delta(site))
				}
			}
		}
	})
}

func checkGroup(t *testing.T, a adapter.Adapter, model Model, group []adapter.Site, tokens int64) {
	t.Helper()
	x := torch.Randn(torch.Float32, torch.CPU, tokens, group[0].In).SetRequiresGrad(true)
	frozen, want := make([]*torch.Tensor, len(group)), make([]*torch.Tensor, len(group))
	weights := make([]*torch.Tensor, len(group)) // of each output in the sum that is differentiated
	for i, site := range group {
		w, b := model.Projection(site)
		frozen[i], want[i] = x.Linear(w, b), x.Linear(w, b)
		if delta := a.Delta(site); delta != nil {
			want[i] = want[i].Add(x.MatMul(delta))
		}
		weights[i] = torch.Randn(torch.Float32, torch.CPU, tokens, site.Out)
	}
	got := a.Begin(adapter.Step{DType: torch.Float32, Tokens: tokens}).Apply(group, x, frozen)
	if len(got) != len(group) {
		t.Fatalf("%d outputs for %d sites", len(got), len(group))
	}
	inputs := []*torch.Tensor{x}
	names := []string{"x"}
	for _, p := range a.Parameters() {
		inputs, names = append(inputs, p.Tensor), append(names, p.Name)
	}
	gradients := func(outputs []*torch.Tensor) []*torch.Tensor {
		sum := torch.Zeros(torch.Float32, torch.CPU)
		for i, y := range outputs {
			sum = sum.Add(y.Mul(weights[i]).Sum())
		}
		return torch.Gradients(sum, inputs)
	}
	for i, site := range group {
		near(t, site.String(), got[i], want[i])
	}
	ours, theirs := gradients(got), gradients(want)
	for i, name := range names {
		nearGradient(t, fmt.Sprintf("%s …: gradient of %s", group[0], name), ours[i], theirs[i])
	}
}

func (s suite) count(t *testing.T) {
	model := s.newModel(t, torch.Float32)
	if s.method.Count == nil {
		t.Skip("states no formula")
	}
	if got, want := adapter.Count(s.adapter(t, model).Parameters()), s.method.Count(s.spec(model)); got != want {
		t.Errorf("%d parameters, the formula says %d", got, want)
	}
}

// saved: what is read back is equal bit for bit, and describes itself alike.
func (s suite) saved(t *testing.T) {
	model := s.newModel(t, torch.Float32)
	a := s.adapter(t, model)
	var want []float32
	logits := func(a adapter.Adapter, model Model) (values []float32) {
		torchtest.Compute(t, func() {
			torch.NoGrad(func() {
				values = torch.ToSlice[float32](model.Logits(a.Begin(adapter.Step{DType: torch.Float32, Tokens: model.Tokens()})))
			})
		})
		return values
	}
	torchtest.Compute(t, func() { disturb(a) })
	want = logits(a, model)
	dir := t.TempDir()
	if err := adapter.Save(dir, a.Config(), adapter.State(a)); err != nil {
		t.Fatal(err)
	}
	again := s.newModel(t, torch.Float32)
	b := reopened(t, dir, again)
	equalState(t, adapter.State(b), adapter.State(a))
	if got := logits(b, again); !slices.Equal(got, want) {
		t.Errorf("logits %v after reloading, %v before", got, want)
	}
	if got, want := text(t, b.Config()), text(t, a.Config()); got != want {
		t.Errorf("describes itself as\n%s\nafter reloading, before as\n%s", got, want)
	}
}
