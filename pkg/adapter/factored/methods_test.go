package factored_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/adapter/factored"
	_ "github.com/metatt/metatt/pkg/cp"
	_ "github.com/metatt/metatt/pkg/fact"
	_ "github.com/metatt/metatt/pkg/loretta"
	_ "github.com/metatt/metatt/pkg/lotr"
	_ "github.com/metatt/metatt/pkg/tenslora"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/torch/torchtest"
	_ "github.com/metatt/metatt/pkg/ttlora"
)

var (
	// Widths that no transpose can hide behind, the feed-forward of 4 and of 2
	// blocks.
	odd  = adapter.Architecture{ModelType: "bert", Hidden: 6, Layers: 3, Heads: 2, Intermediate: 24}
	wide = adapter.Architecture{ModelType: "roberta", Hidden: 12, Layers: 2, Heads: 4, Intermediate: 24}
	// Widths that are primes or no multiples of each other, for methods that do
	// not cut matrices into blocks.
	prime  = adapter.Architecture{ModelType: "bert", Hidden: 7, Layers: 2, Heads: 7, Intermediate: 11}
	skewed = adapter.Architecture{ModelType: "bert", Hidden: 12, Layers: 3, Heads: 3, Intermediate: 10}
)

// one is a method at a setting that is legal for every target set.
type one struct {
	method     string
	model      adapter.Architecture
	rank, tt   int
	byEquation equation
}

// equation is entry (row, column) of ΔW, summed by hand from the method's
// equation; m is the matrix index of the D×D block that it lies in.
type equation func(p parameters, s adapter.Site, m, row, column int) float64

var all = []one{
	{"cp4d", odd, 5, 0, cp(alpha)}, {"cp4d", wide, 3, 0, cp(alpha)}, {"cp4d", odd, 9, 0, cp(alpha)},
	{"cp5d", odd, 4, 0, cp(alpha)}, {"cp5d", wide, 5, 0, cp(alpha)},
	{"lorta", wide, 4, 0, cp(alpha / 4)},
	{"lotr", odd, 4, 0, cores(alpha / 4)}, {"lotr", wide, 7, 0, cores(alpha / 7)},
	{"fact-tt", odd, 5, 0, cores(alpha)}, {"fact-tt", wide, 12, 0, cores(alpha)},
	{"fact-tk", odd, 5, 0, tucker}, {"fact-tk", wide, 2, 0, tucker},
	{"tenslora", odd, 5, 0, tenslora}, {"tenslora", wide, 2, 0, tenslora},
	{"loretta-rep", odd, 4, 2, loretta(4)}, {"loretta-rep", wide, 7, 0, loretta(7)},
	{"loretta-rep", prime, 5, 4, loretta(5)}, {"loretta-rep", skewed, 3, 0, loretta(3)},
	{"tt-lora", odd, 2, 0, ttlora}, {"tt-lora", wide, 3, 0, ttlora},
	{"tt-lora", prime, 7, 0, ttlora}, {"tt-lora", skewed, 3, 0, ttlora},
}

const alpha = 0.7

// loraRank is the smallest bond between in and out.
func (o one) loraRank(p parameters, s adapter.Site) int64 {
	if o.method == "loretta-rep" {
		return int64(p.size(s.Kind.String()+".b.cores.0", 3))
	}
	return int64(o.rank)
}

func (o one) String() string {
	return fmt.Sprintf("%s/D%d,r%d", o.method, o.model.Hidden, o.rank)
}

func (o one) spec(targets []adapter.Kind) adapter.Spec {
	return adapter.Spec{Architecture: o.model, Targets: targets, Rank: o.rank, Settings: factored.TensorTrainSettings{TTRank: o.tt}, Alpha: alpha, Seed: 5}
}

func fresh(t *testing.T, method string, spec adapter.Spec) adapter.Adapter {
	t.Helper()
	m, err := adapter.Lookup(method)
	if err != nil {
		t.Fatal(err)
	}
	spec.Device = torch.CPU
	a, err := m.New(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Free)
	return a
}

// randomize gives every parameter values, so that no product vanishes.
func randomize(a adapter.Adapter) {
	torch.Seed(11)
	torch.NoGrad(func() {
		for _, p := range a.Parameters() {
			p.Tensor.CopyFrom(torch.Randn(torch.Float32, torch.CPU, p.Tensor.Shape()...).MulScalar(0.7))
		}
	})
}

// parameters are an adapter's tensors by name, to be read entry by entry.
type parameters map[string]array

type array struct {
	shape  []int64
	values []float64
}

func read(a adapter.Adapter) parameters {
	p := parameters{}
	for _, t := range a.Parameters() {
		p[t.Name] = array{t.Tensor.Shape(), torchtest.Values(t.Tensor)}
	}
	return p
}

func (p parameters) at(name string, index ...int) float64 {
	a, ok := p[name]
	if !ok || len(index) != len(a.shape) {
		panic(fmt.Sprintf("no %s with %d indices", name, len(index)))
	}
	place := 0
	for i, n := range a.shape {
		if index[i] >= int(n) {
			panic(fmt.Sprintf("%s of shape %v at %v", name, a.shape, index))
		}
		place = place*int(n) + index[i]
	}
	return a.values[place]
}

func (p parameters) size(name string, dim int) int { return int(p[name].shape[dim]) }

// cp: Σ_r A[i,r] c_l[r] c_m[r] (c_h[r]) B[o,r].
func cp(scale float64) equation {
	return func(p parameters, s adapter.Site, m, row, column int) float64 {
		d := p.size("factors.in", 0)
		i, o := row%d, column%d
		var sum float64
		for r := range p.size("factors.in", 1) {
			term := p.at("factors.in", i, r) * p.at("factors.layer", s.Layer, r) * p.at("factors.matrix", m, r)
			if _, heads := p["factors.head"]; heads {
				each := p.size("factors.out", 0) // D/H
				term *= p.at("factors.head", o/each, r) * p.at("factors.out", o%each, r)
			} else {
				term *= p.at("factors.out", o, r)
			}
			sum += term
		}
		return scale * sum
	}
}

// cores: Σ_ij In[·,i] Core[l,m,i,j] Out[j,·].
func cores(scale float64) equation {
	return func(p parameters, s adapter.Site, m, row, column int) float64 {
		d := p.size("factors.in", 0)
		var sum float64
		for i := range p.size("factors.in", 1) {
			for j := range p.size("factors.out", 0) {
				sum += p.at("factors.in", row%d, i) * p.at("core", s.Layer, m, i, j) * p.at("factors.out", j, column%d)
			}
		}
		return scale * sum
	}
}

// tucker: Σ_ijk U[·,i] C[i,j,k] p[l,m,k] V[j,·].
func tucker(p parameters, s adapter.Site, m, row, column int) float64 {
	d := p.size("factors.in", 0)
	var sum float64
	for i := range p.size("core", 0) {
		for j := range p.size("core", 1) {
			for k := range p.size("core", 2) {
				sum += p.at("factors.in", row%d, i) * p.at("core", i, j, k) * p.at("factors.block", s.Layer, m, k) * p.at("factors.out", j, column%d)
			}
		}
	}
	return alpha * sum
}

// tenslora: Σ_abij C[a,b,i,j] U[·,a] V[·,b] p_m[i] q_l[j].
func tenslora(p parameters, s adapter.Site, m, row, column int) float64 {
	d := p.size("factors.in", 0)
	var sum float64
	for a := range p.size("core", 0) {
		for b := range p.size("core", 1) {
			for i := range p.size("core", 2) {
				for j := range p.size("core", 3) {
					sum += p.at("core", a, b, i, j) * p.at("factors.in", row%d, a) * p.at("factors.out", column%d, b) *
						p.at("factors.matrix", m, i) * p.at("factors.layer", s.Layer, j)
				}
			}
		}
	}
	return alpha * sum
}

// entry is the entry of a tensor train at the given indices of its modes.
func (p parameters) entry(name string, layer int, indices []int) float64 {
	row := []float64{1}
	for k, n := range indices {
		core := fmt.Sprintf("%s.cores.%d", name, k)
		next := make([]float64, p.size(core, 3))
		for i := range row {
			for j := range next {
				next[j] += row[i] * p.at(core, layer, i, n, j)
			}
		}
		row = next
	}
	return row[0]
}

// digits writes n in the mixed radix of modes, the first slowest.
func digits(n int, modes ...int) []int {
	d := make([]int, len(modes))
	for i := len(modes) - 1; i >= 0; i-- {
		d[i] = n % modes[i]
		n /= modes[i]
	}
	return d
}

// rising is the widths' factors as the methods' documentation has them.
var rising = map[int64][]int{6: {2, 3}, 7: {7}, 10: {2, 5}, 11: {11}, 12: {2, 2, 3}, 24: {2, 3, 4}}

func falling(n int64) []int {
	f := slices.Clone(rising[n])
	slices.Reverse(f)
	return f
}

// loretta: (α/r) Σ_s A[i,s] B[s,o].
func loretta(r int) equation {
	return func(p parameters, s adapter.Site, _, row, column int) float64 {
		name := s.Kind.String()
		var sum float64
		for c := range r {
			a := p.entry(name+".a", s.Layer, append(digits(row, rising[s.In]...), c))
			b := p.entry(name+".b", s.Layer, append([]int{c}, digits(column, falling(s.Out)...)...))
			sum += a * b
		}
		return alpha / float64(r) * sum
	}
}

// ttlora: α G[i_1 … i_d, o_1 … o_d].
func ttlora(p parameters, s adapter.Site, _, row, column int) float64 {
	return alpha * p.entry(s.Kind.String(), s.Layer, append(digits(row, falling(s.In)...), digits(column, rising[s.Out]...)...))
}

// targetSets holds each matrix alone among those that read its input and
// beside others, an unusual order, and all of them.
var targetSets = [][]adapter.Kind{
	{adapter.Query},
	{adapter.Key, adapter.Value, adapter.Output},
	{adapter.FFNUp},
	{adapter.FFNDown},
	{adapter.FFNDown, adapter.Value, adapter.FFNUp, adapter.Query},
	adapter.Kinds(),
}

// Apply must be x·Delta added to the frozen output, for values and for the
// gradients of x and of every parameter; Delta must be the equation.
func TestApplyDeltaAndEquationAgree(t *testing.T) {
	for _, o := range all {
		for i, targets := range targetSets {
			t.Run(fmt.Sprint(o, targets), func(t *testing.T) {
				a := fresh(t, o.method, o.spec(targets))
				torchtest.Compute(t, func() {
					randomize(a)
					p := read(a)
					for layer := range o.model.Layers {
						tokens := int64(1 + 4*(i%2))
						checkGroup(t, o, a, p, targets, layer, tokens, adapter.Query, adapter.Key, adapter.Value)
						for _, k := range []adapter.Kind{adapter.Output, adapter.FFNUp, adapter.FFNDown} {
							checkGroup(t, o, a, p, targets, layer, tokens, k)
						}
					}
				})
			})
		}
	}
}

func checkGroup(t *testing.T, o one, a adapter.Adapter, p parameters, targets []adapter.Kind, layer int, tokens int64, kinds ...adapter.Kind) {
	t.Helper()
	sites := make([]adapter.Site, len(kinds))
	for i, k := range kinds {
		sites[i] = o.model.Site(layer, k)
	}
	x := torch.Randn(torch.Float32, torch.CPU, tokens, sites[0].In).SetRequiresGrad(true)
	var explicit []*torch.Tensor
	frozen := make([]*torch.Tensor, len(sites))
	for i, s := range sites {
		w := torch.Randn(torch.Float32, torch.CPU, s.Out, s.In)
		frozen[i] = x.Linear(w, nil)
		want := x.Linear(w, nil)
		delta := a.Delta(s)
		if adapted := slices.Contains(targets, s.Kind); adapted != (delta != nil) {
			t.Fatalf("%s: adapted is %v, Delta %v", s, adapted, delta)
		}
		if delta != nil {
			if got := delta.Shape(); !slices.Equal(got, []int64{s.In, s.Out}) {
				t.Fatalf("Delta of %s has shape %v", s, got)
			}
			if in, out := a.(adapter.Factored).Factors(s); in.Size(1) != out.Size(0) || in.Size(1) != o.loraRank(p, s) {
				t.Fatalf("%s: a LoRA of factors %v and %v, of rank %d by the equation", s, in.Shape(), out.Shape(), o.loraRank(p, s))
			}
			want = want.Add(x.MatMul(delta))
			torchtest.Close(t, fmt.Sprintf("delta of %s", s), torchtest.Values(delta), byHand(o, p, targets, s), torchtest.Default)
		}
		explicit = append(explicit, want)
	}
	applied := a.Begin(adapter.Step{DType: torch.Float32, Tokens: tokens}).Apply(sites, x, frozen)
	leaves := []*torch.Tensor{x}
	for _, p := range a.Parameters() {
		leaves = append(leaves, p.Tensor)
	}
	objective := func(outputs []*torch.Tensor) *torch.Tensor {
		total := torch.Zeros(torch.Float32, torch.CPU)
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

// byHand is ΔW of a site from the equation.
func byHand(o one, p parameters, targets []adapter.Kind, s adapter.Site) []float64 {
	d := int(o.model.Hidden)
	first := 0 // matrix index of the site's first block
	for _, k := range targets[:slices.Index(targets, s.Kind)] {
		first++
		if k == adapter.FFNUp || k == adapter.FFNDown {
			first += int(o.model.Intermediate)/d - 1
		}
	}
	delta := make([]float64, 0, s.In*s.Out)
	for row := range int(s.In) {
		for column := range int(s.Out) {
			m := first + row/d + column/d // one of the two is 0 for every kind
			delta = append(delta, o.byEquation(p, s, m, row, column))
		}
	}
	return delta
}

// In bf16 the outputs stay bf16 and are those of fp32 but for rounding: some
// seven roundings of 2⁻⁹ on the way, and cancellation in sums of random signs
// that doubles their weight at most.
func TestBFloat16(t *testing.T) {
	targets := adapter.Kinds()
	for _, o := range all {
		t.Run(o.String(), func(t *testing.T) {
			a := fresh(t, o.method, o.spec(targets))
			torchtest.Compute(t, func() {
				randomize(a)
				for _, k := range targets {
					s := o.model.Site(1, k)
					x := torch.Randn(torch.Float32, torch.CPU, 9, s.In).ToDType(torch.BFloat16)
					frozen := torch.Zeros(torch.BFloat16, torch.CPU, 9, s.Out)
					got := a.Begin(adapter.Step{DType: torch.BFloat16, Tokens: 9}).Apply([]adapter.Site{s}, x, []*torch.Tensor{frozen})[0]
					if got.DType() != torch.BFloat16 {
						t.Fatalf("%s: output is %v", k, got.DType())
					}
					want := x.ToDType(torch.Float32).MatMul(a.Delta(s))
					if off := got.ToDType(torch.Float32).Sub(want).Norm().Item() / want.Norm().Item(); !(off <= 2*7.0/512) {
						t.Errorf("%s: off by %.3g", k, off)
					}
				}
			})
		})
	}
}

// ΔW is zero at the start, the start depends on the seed alone, and after some
// steps every entry of every parameter has a gradient.
func TestStarts(t *testing.T) {
	targets := []adapter.Kind{adapter.Query, adapter.FFNDown, adapter.FFNUp}
	for _, o := range all {
		t.Run(o.String(), func(t *testing.T) {
			a, again := fresh(t, o.method, o.spec(targets)), fresh(t, o.method, o.spec(targets))
			other := o.spec(targets)
			other.Seed++
			b := fresh(t, o.method, other)
			torchtest.Compute(t, func() {
				var leaves []*torch.Tensor
				differs := false
				for i, p := range a.Parameters() {
					leaves = append(leaves, p.Tensor)
					if !p.Tensor.Equal(again.Parameters()[i].Tensor) {
						t.Errorf("%s differs under one seed", p.Name)
					}
					differs = differs || !p.Tensor.Equal(b.Parameters()[i].Tensor)
				}
				if !differs {
					t.Error("another seed gives the same start")
				}
				var sites []adapter.Site
				goal := map[adapter.Site]*torch.Tensor{}
				for l := range o.model.Layers {
					for _, k := range targets {
						s := o.model.Site(l, k)
						if a.Delta(s).Norm().Item() != 0 {
							t.Fatalf("ΔW of %s is not zero at the start", s)
						}
						sites, goal[s] = append(sites, s), torch.Randn(torch.Float32, torch.CPU, s.In, s.Out)
					}
				}
				var losses []float64
				step := func() []*torch.Tensor {
					loss := torch.Zeros(torch.Float32, torch.CPU)
					for _, s := range sites {
						loss = loss.Add(a.Delta(s).Sub(goal[s]).Square().Mean())
					}
					losses = append(losses, loss.Item())
					return torch.Gradients(loss, leaves)
				}
				for range 6 {
					g := step()
					torch.NoGrad(func() {
						for i, p := range leaves {
							p.AddInPlace(g[i].Sign().MulScalar(-0.02)) // as Adam's: whatever the scale of the start
						}
					})
				}
				for i, g := range step() {
					if slices.Contains(torchtest.Values(g), 0) {
						t.Errorf("%s: an entry has no gradient", a.Parameters()[i].Name)
					}
				}
				if last := losses[len(losses)-1]; !(last < losses[0]) {
					t.Errorf("the loss went from %v to %v", losses[0], last)
				}
			})
		})
	}
}

// Counts as the formulas have them.
func TestParameterCounts(t *testing.T) {
	base := adapter.Architecture{ModelType: "roberta", Hidden: 768, Layers: 12, Heads: 12, Intermediate: 3072}
	large := adapter.Architecture{ModelType: "roberta", Hidden: 1024, Layers: 24, Heads: 16, Intermediate: 4096}
	queryValue := []adapter.Kind{adapter.Query, adapter.Value}
	for _, c := range []struct {
		method   string
		model    adapter.Architecture
		targets  []adapter.Kind
		rank, tt int
		want     int64
	}{
		{"cp4d", base, queryValue, 8, 0, 8 * (2*768 + 12 + 2)},
		{"cp4d", large, adapter.Kinds(), 5, 0, 5 * (2*1024 + 24 + 12)},
		{"cp5d", base, queryValue, 8, 0, 8 * (768 + 64 + 12 + 2 + 12)},
		{"cp5d", large, adapter.Kinds(), 3, 0, 3 * (1024 + 64 + 24 + 12 + 16)},
		{"lorta", base, queryValue, 64, 0, 64 * (768 + 64 + 12 + 2 + 12)},
		{"lotr", base, queryValue, 40, 0, 99840},
		{"lotr", base, queryValue, 80, 0, 276480},
		{"lotr", large, queryValue, 64, 0, 327680},
		{"fact-tt", base, adapter.Kinds(), 16, 0, 2*768*16 + 12*12*16*16},
		{"fact-tk", base, adapter.Kinds(), 16, 0, 2*768*16 + 16*16*16 + 12*12*16},
		{"fact-tk", base, []adapter.Kind{adapter.Key}, 20, 0, 2*768*20 + 20*20*12 + 12*12}, // 12 indices hold no more than 12 slices
		// A mode has no more ranks than it is long.
		{"tenslora", base, queryValue, 8, 0, 2*768*8 + 2*2 + 12*8 + 8*8*2*8},
		{"tenslora", large, adapter.Kinds(), 30, 0, 2*1024*30 + 12*12 + 24*24 + 30*30*12*24},
		{"loretta-rep", base, queryValue, 8, 5, 24 * (580 + 580)},
		{"loretta-rep", base, queryValue, 8, 0, 24 * (580 + 580)},
		{"loretta-rep", base, []adapter.Kind{adapter.FFNUp}, 8, 3, 12 * (8*3 + 8*9 + 12*9 + 8*3 + 8*3 + 16*9 + 16*9 + 12*3)},
		// The reference's cores of 8·8·12 and 8·8 at its TT rank 5, with both biases.
		{"loretta-adp", base, queryValue, 64, 0, 24 * (2*(40+200+300+200+40) + 64 + 768)},
		{"loretta-adp", base, nil, 7, 2, 24 * (2*(8*2+8*4+12*4+7*2) + 7 + 768)},
		{"tt-lora", base, queryValue, 6, 0, 24 * (12*6 + 4*8*36 + 12*6)},
		{"tt-lora", base, []adapter.Kind{adapter.FFNDown}, 4, 0, 12 * (16*4 + 16*16 + 12*16 + 8*16 + 8*16 + 12*4)},
	} {
		spec := adapter.Spec{Architecture: c.model, Targets: c.targets, Rank: c.rank, Settings: factored.TensorTrainSettings{TTRank: c.tt}, Alpha: 1}
		a := fresh(t, c.method, spec)
		if m, err := adapter.Lookup(c.method); err != nil || m.Count(spec) != c.want {
			t.Errorf("%s: %v; counted without tensors: %d, want %d", c.method, err, m.Count(spec), c.want)
		}
		if got := adapter.Count(a.Parameters()); got != c.want {
			t.Errorf("%s, width %d, %v, rank %d: %d parameters, want %d", c.method, c.model.Hidden, c.targets, c.rank, got, c.want)
		}
	}
}

func TestBadSpecs(t *testing.T) {
	rank := func(n int) func(*adapter.Spec) { return func(s *adapter.Spec) { s.Rank = n } }
	ranks := func(n ...int) func(*adapter.Spec) {
		return func(s *adapter.Spec) { s.Settings = factored.ModeRankSettings{Ranks: n} }
	}
	for _, c := range []struct {
		name, method string
		change       func(*adapter.Spec)
		want         string
	}{
		{"no targets", "cp4d", func(s *adapter.Spec) { s.Targets = nil }, "cp4d: no targets"},
		{"target twice", "lotr", func(s *adapter.Spec) { s.Targets = append(s.Targets, adapter.Query) }, "target query is listed twice"},
		{"target that does not exist", "lotr", func(s *adapter.Spec) { s.Targets = []adapter.Kind{9} }, "target kind(9) does not exist"},
		{"rank 0", "tt-lora", rank(0), "rank 0: it is at least 1"},
		{"another's settings", "fact-tt", func(s *adapter.Spec) { s.Settings = 3 }, "settings are int, the method's are factored.TensorTrainSettings"},
		{"tasks", "cp4d", func(s *adapter.Spec) { s.Tasks = []string{"cola"} }, "no task mode"},
		{"a TT rank", "tt-lora", func(s *adapter.Spec) { s.Settings = factored.TensorTrainSettings{TTRank: 2} }, "tt_rank 2: tt-lora has no tensor trains inside its factors"},
		{"heads that do not divide", "cp5d", func(s *adapter.Spec) { s.Architecture.Heads = 4 }, "4 heads do not divide the width 6"},
		{"no heads", "lorta", func(s *adapter.Spec) { s.Architecture.Heads = 0 }, "0 heads do not divide the width 6"},
		{"no width", "cp4d", func(s *adapter.Spec) { s.Architecture.Hidden = 0 }, "width 0"},
		{"cp4d's rank", "cp4d", rank(19), "rank 19 is above 18, its largest legal value"}, // layers · matrices · D
		{"cp5d's rank", "cp5d", rank(19), "rank 19 is above 18"},
		{"lotr's rank", "lotr", rank(7), "rank 7 is above 6, its largest legal value for width 6"},
		{"fact-tt's rank", "fact-tt", rank(7), "rank 7 is above 6"},
		{"fact-tk's rank", "fact-tk", rank(7), "rank 7 is above 6"},
		{"tenslora's rank", "tenslora", rank(7), "rank 7 is above 6, its largest legal value for the mode in"},
		{"tenslora's ranks", "tenslora", ranks(2, 2, 2, 2), "rank 2 is above 1, its largest legal value for the mode matrix"},
		{"tenslora's ranks", "tenslora", ranks(2, 2, 1, 4), "rank 4 is above 3, its largest legal value for the mode layer"},
		{"tenslora's ranks beside others", "tenslora", ranks(1, 1, 1, 2), "rank 2 is above 1, its largest legal value for the mode layer beside ranks [1 1 1]"},
		{"tenslora's ranks beside others", "tenslora", ranks(6, 2, 1, 2), "rank 6 is above 4, its largest legal value for the mode in beside ranks [2 1 2]"},
		{"tenslora's rank 0", "tenslora", ranks(2, 2, 1, 0), "rank 0 of the mode layer: it is at least 1"},
		{"three ranks", "tenslora", ranks(2, 2, 1), "3 ranks, one for each of in, out, matrix, layer is needed"},
		{"a TT rank", "tenslora", func(s *adapter.Spec) { s.Settings = factored.TensorTrainSettings{TTRank: 2} }, "tt_rank 2: tenslora has no tensor trains inside its factors"},
		{"a rank a mode", "lotr", ranks(2, 2, 1, 1), "ranks [2 2 1 1]: lotr has one rank"},
		{"loretta's rank", "loretta-rep", rank(7), "rank 7 is above 6, its largest legal value for target query of 6 × 6"},
		{"loretta's TT rank", "loretta-rep", func(s *adapter.Spec) { s.Settings = factored.TensorTrainSettings{TTRank: 3} }, "tt_rank 3 is above 2, its largest legal value for target query with modes [2 3 2]"},
		{"loretta's negative TT rank", "loretta-rep", func(s *adapter.Spec) { s.Settings = factored.TensorTrainSettings{TTRank: -1} }, "tt_rank -1: it is at least 1"},
		{"the bottleneck", "loretta-adp", rank(7), "rank 7 is above 6, its largest legal value for a bottleneck in width 6"},
		{"the bottleneck's TT rank", "loretta-adp", func(s *adapter.Spec) { s.Settings = factored.TensorTrainSettings{TTRank: 3} }, "tt_rank 3 is above 2, its largest legal value for modes [2 3 2]"},
		{"a negative TT rank of adapters", "loretta-adp", func(s *adapter.Spec) { s.Settings = factored.TensorTrainSettings{TTRank: -1} }, "tt_rank -1: it is at least 1"},
		{"tt-lora's rank", "tt-lora", rank(4), "rank 4 is above 3, its largest legal value for target query with modes [3 2 2 3]"},
		{"tt-lora's narrowest target", "tt-lora", func(s *adapter.Spec) {
			s.Architecture, s.Targets, s.Rank = skewed, []adapter.Kind{adapter.FFNDown, adapter.Query}, 6
		}, "rank 6 is above 3, its largest legal value for target ffn_down with modes [5 2 2 2 3]"},
		{"feed-forward no blocks", "cp4d", func(s *adapter.Spec) { s.Targets = []adapter.Kind{adapter.FFNUp}; s.Architecture.Intermediate = 25 }, "25 is not a multiple of the width 6"},
		{"feed-forward no blocks", "lotr", func(s *adapter.Spec) { s.Targets = []adapter.Kind{adapter.FFNUp}; s.Architecture.Intermediate = 25 }, "25 is not a multiple of the width 6"},
		{"feed-forward no blocks", "fact-tk", func(s *adapter.Spec) { s.Targets = []adapter.Kind{adapter.FFNUp}; s.Architecture.Intermediate = 3 }, "3 is not a multiple of the width 6"},
	} {
		t.Run(c.name+" of "+c.method, func(t *testing.T) {
			spec := adapter.Spec{Architecture: odd, Targets: []adapter.Kind{adapter.Query}, Rank: 2, Alpha: 1, Device: torch.CPU}
			c.change(&spec)
			m, err := adapter.Lookup(c.method)
			if err != nil {
				t.Fatal(err)
			}
			a, err := m.New(spec)
			if err == nil {
				a.Free()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), c.method+": ") {
				t.Errorf("error %q does not say %q", err, c.want)
			}
		})
	}
}

// The largest legal rank is legal, and so is 1.
func TestLargestRanks(t *testing.T) {
	for method, rank := range map[string]int{"cp4d": 18, "cp5d": 18, "lorta": 18, "lotr": 6, "fact-tt": 6, "fact-tk": 6, "loretta-rep": 6, "loretta-adp": 6, "tt-lora": 3, "tenslora": 6} {
		for _, rank := range []int{1, rank} {
			fresh(t, method, adapter.Spec{Architecture: odd, Targets: []adapter.Kind{adapter.Query}, Rank: rank, Alpha: 1})
		}
	}
}

func TestSaveAndOpen(t *testing.T) {
	targets := []adapter.Kind{adapter.Value, adapter.FFNDown, adapter.FFNUp}
	for _, o := range all {
		t.Run(o.String(), func(t *testing.T) {
			a := fresh(t, o.method, o.spec(targets))
			torchtest.Compute(t, func() { randomize(a) })
			dir := t.TempDir()
			if err := adapter.Save(dir, a.Config(), a.Parameters()); err != nil {
				t.Fatal(err)
			}
			saved, err := adapter.Read(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer saved.Close()
			b, err := saved.Open(o.model, torch.CPU)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Free()
			if !reflect.DeepEqual(a.Config(), b.Config()) {
				t.Errorf("config %+v became %+v", a.Config(), b.Config())
			}
			torchtest.Compute(t, func() {
				for i, p := range b.Parameters() {
					if first := a.Parameters()[i]; p.Name != first.Name || !p.Tensor.Equal(first.Tensor) || !p.Tensor.RequiresGrad() {
						t.Errorf("%s differs after reloading", p.Name)
					}
				}
				for l := range o.model.Layers {
					for _, k := range targets {
						if !a.Delta(o.model.Site(l, k)).Equal(b.Delta(o.model.Site(l, k))) {
							t.Errorf("layer %d %s differs after reloading", l, k)
						}
					}
				}
			})
			other := o.model
			other.Layers = 5
			if _, err := saved.Open(other, torch.CPU); err == nil || !strings.Contains(err.Error(), "5 layers") {
				t.Errorf("onto another architecture: %v", err)
			}
		})
	}
}

// A folder that was tampered with is an error that names it, not an adapter.
func TestOpenBadFolders(t *testing.T) {
	a := fresh(t, "loretta-rep", adapter.Spec{Architecture: odd, Targets: []adapter.Kind{adapter.Query}, Rank: 2, Alpha: 1})
	for name, c := range map[string]struct{ old, new, want string }{
		"no rank":             {`"ranks": [` + "\n    2\n  ]", `"ranks": []`, "ranks []: loretta-rep has one"},
		"rank above":          {`"ranks": [` + "\n    2", `"ranks": [` + "\n    99", "rank 99 is above 6"},
		"negative rank":       {`"ranks": [` + "\n    2", `"ranks": [` + "\n    -2", "rank -2"},
		"TT rank above":       {`"tt_rank": 2`, `"tt_rank": 3`, "tt_rank 3 is above 2"},
		"TT rank of another":  {`"tt_rank": 2`, `"tt_rank": 1`, "query.a.cores.0 has shape [3 1 2 2], [3 1 2 1] is needed"},
		"unknown target":      {`"query"`, `"queery"`, `target "queery" does not exist`},
		"another target":      {`"query"`, `"value"`, "tensor value.a.cores.0 is missing"},
		"another method's":    {`"method": "loretta-rep"`, `"method": "tt-lora"`, "TT_LORA"},
		"targets of no kinds": {`"target_modules": [` + "\n    \"query\"\n  ]", `"target_modules": []`, "no targets"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := adapter.Save(dir, a.Config(), a.Parameters()); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, adapter.ConfigFile)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			changed := strings.Replace(string(text), c.old, c.new, 1)
			if changed == string(text) {
				t.Fatalf("nothing to change in %s", text)
			}
			if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
				t.Fatal(err)
			}
			saved, err := adapter.Read(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer saved.Close()
			b, err := saved.Open(odd, torch.CPU)
			if err == nil {
				b.Free()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("error %q does not say %q and the folder", err, c.want)
			}
		})
	}
}
