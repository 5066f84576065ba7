package dmrg_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/dmrg"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/torch/torchtest"
	"github.com/metatt/metatt/pkg/tt"
)

// shapes are odd: ranks that differ, one layer, a mode wider than all others.
var shapes = []struct{ dims, ranks []int64 }{
	{[]int64{5, 9}, []int64{3}},
	{[]int64{11, 1, 3, 7}, []int64{4, 3, 5}},
	{[]int64{13, 3, 2, 13}, []int64{4, 5, 6}},
	{[]int64{7, 4, 3, 2, 5}, []int64{6, 3, 4, 2}},
}

func eachShape(t *testing.T, f func(t *testing.T, x tt.Train)) {
	for i, c := range shapes {
		torchtest.Compute(t, func() {
			torch.Seed(uint64(40 + i))
			f(t, random(t, torch.Float64, c.dims, c.ranks))
		})
	}
}

// dense multiplies cores out with autograd.
func dense(cores []*torch.Tensor) *torch.Tensor {
	stacked := make([]*torch.Tensor, len(cores))
	for k, core := range cores {
		stacked[k] = core.Unsqueeze(0)
	}
	return tt.Contract(stacked).Reshape(-1)
}

// gradients is ∂⟨c, X⟩/∂G_k for every core.
func gradients(x tt.Train, c *torch.Tensor) []*torch.Tensor {
	leaves := make([]*torch.Tensor, x.Len())
	for k, core := range x.Cores() {
		leaves[k] = core.Clone().SetRequiresGrad(true)
	}
	return torch.Gradients(dense(leaves).Mul(c).Sum(), leaves)
}

func close(t *testing.T, what string, got, want *torch.Tensor, tolerance float64) {
	t.Helper()
	if !slices.Equal(got.Shape(), want.Shape()) {
		t.Errorf("%s: shape %v, want %v", what, got.Shape(), want.Shape())
		return
	}
	torchtest.Close(t, what, torchtest.Values(got), torchtest.Values(want), tolerance)
}

// The first moment of other cores of the same tensor is the gradient that those
// have; a second moment without variance is its square.
func TestMomentsAreCovariant(t *testing.T) {
	eachShape(t, func(t *testing.T, x tt.Train) {
		c := torch.Randn(torch.Float64, torch.CPU, x.Dense().Numel())
		before := gradients(x, c)
		moments := make([]dmrg.Moment, x.Len())
		const w1, w2 = 0.7, 0.2 // as after a few steps
		for k, g := range before {
			moments[k] = dmrg.Moment{First: g.MulScalar(w1), Second: g.Square().MulScalar(w2), Weight1: w1, Weight2: w2}
		}
		y := x.Tracked()
		for b, r := range x.Ranks() { // a random gauge, not orthogonal
			m := torch.Randn(torch.Float64, torch.CPU, r, r).Add(torch.Eye(torch.Float64, torch.CPU, r, r).MulScalar(4))
			u, s, v := m.SVD()
			inverse := v.Mul(torch.Ones(torch.Float64, torch.CPU, r).Div(s)).MatMul(u.T())
			var err error
			if y, err = y.Gauge(b, m, inverse); err != nil {
				t.Fatal(err)
			}
		}
		swept, _, err := dmrg.Sweep(y, dmrg.Options{Mode: dmrg.Paper, Balance: dmrg.Sqrt})
		if err != nil {
			t.Fatal(err)
		}
		for name, z := range map[string]tt.Train{"gauge": y, "gauge and sweep": swept} {
			after := gradients(z, c)
			transported, err := dmrg.Transported(z.Gauges(), moments)
			if err != nil {
				t.Fatal(err)
			}
			for k, m := range transported {
				close(t, name+": first moment", m.First, after[k].MulScalar(w1), 1e-9)
				close(t, name+": second moment", m.Second, after[k].Square().MulScalar(w2), 1e-9)
			}
		}
	})
}

// The variance goes with squared entries; new slices have the mean of the others.
func TestVarianceOfMoments(t *testing.T) {
	torchtest.Compute(t, func() {
		x, err := tt.New(torch.FromSlice([]float64{1, 2}, 1, 2, 1), torch.FromSlice([]float64{3, 4}, 1, 2, 1))
		if err != nil {
			t.Fatal(err)
		}
		y, err := x.Tracked().Gauge(0, torch.FromSlice([]float64{2}, 1, 1), torch.FromSlice([]float64{0.5}, 1, 1))
		if err != nil {
			t.Fatal(err)
		}
		if y, err = y.Widened(0, torch.Zeros(torch.Float64, torch.CPU, 1, 2, 1), torch.Ones(torch.Float64, torch.CPU, 1, 2, 1)); err != nil {
			t.Fatal(err)
		}
		m := dmrg.Moment{First: torch.FromSlice([]float64{1, -1}, 1, 2, 1), Second: torch.FromSlice([]float64{5, 1}, 1, 2, 1), Weight1: 1, Weight2: 1}
		got, err := dmrg.Transported(y.Gauges(), []dmrg.Moment{m, m})
		if err != nil {
			t.Fatal(err)
		}
		// Core 0 became twice as large: its gradient half, its variance a quarter.
		close(t, "m of core 0", got[0].First, torch.FromSlice([]float64{0.5, 0, -0.5, 0}, 1, 2, 2), 1e-12)
		close(t, "v of core 0", got[0].Second, torch.FromSlice([]float64{4*0.25 + 0.25, 0.75, 0.25, 0.75}, 1, 2, 2), 1e-12)
		close(t, "v of core 1", got[1].Second, torch.FromSlice([]float64{4*4 + 4, 4, 12, 12}, 2, 2, 1), 1e-12)
		// What rounding leaves is nothing.
		rounding := dmrg.Moment{First: m.First.MulScalar(0), Second: torch.FromSlice([]float64{4e9, 1e-8}, 1, 2, 1), Weight1: 1, Weight2: 1}
		if got, err = dmrg.Transported(x.Tracked().Gauges(), []dmrg.Moment{rounding, m}); err != nil {
			t.Fatal(err)
		}
		close(t, "v of rounding", got[0].Second, torch.FromSlice([]float64{4e9, 4e9}, 1, 2, 1), 1e-12)
		// Before the first step there is nothing, and nothing it stays.
		m.First, m.Second, m.Weight1, m.Weight2 = m.First.MulScalar(0), m.Second.MulScalar(0), 0, 0
		if got, err = dmrg.Transported(y.Gauges(), []dmrg.Moment{m, m}); err != nil || got[1].Second.Norm().Item() != 0 || got[1].First.Norm().Item() != 0 {
			t.Errorf("moments of no step: %v (%v)", torchtest.Values(got[1].Second), err)
		}
		if _, err := dmrg.Transported(y.Gauges(), []dmrg.Moment{m}); err == nil {
			t.Error("moments of one core for a tensor train of two")
		}
	})
}

// An opened pair is the same tensor, with its norm in the pair; closing it at full
// rank changes nothing, and at less it is the best split there is.
func TestOpenAndClose(t *testing.T) {
	eachShape(t, func(t *testing.T, x tt.Train) {
		whole := x.Dense()
		norm := whole.Norm().Item()
		for b := range x.Ranks() {
			opened, err := dmrg.Open(x, b)
			if err != nil {
				t.Fatal(err)
			}
			close(t, "opened", opened.Dense(), whole, 1e-10)
			if n := opened.Cores()[b].Norm().Item(); math.Abs(n-norm) > 1e-10*norm {
				t.Errorf("pair %d: norm %v, the tensor's is %v", b, n, norm)
			}
			closed, report, err := dmrg.Close(opened, b, dmrg.SplitOptions{}, tt.Right)
			if err != nil || report.Error > 1e-10*norm {
				t.Fatalf("pair %d at full rank: error %v, %v", b, report.Error, err)
			}
			close(t, "closed", closed.Dense(), whole, 1e-10)
			rows := int64(1)
			for _, n := range x.Dims()[:b+1] {
				rows *= n
			}
			_, s, _ := whole.Reshape(rows, -1).SVD()
			values := torch.ToSlice[float64](s)
			for _, side := range []tt.Side{tt.Left, tt.Right} {
				_, report, err := dmrg.Close(opened, b, dmrg.SplitOptions{Truncation: tt.Truncation{MaxRank: 2}}, side)
				var tail float64
				for _, v := range values[min(2, len(values)):] {
					tail += v * v
				}
				if err != nil || math.Abs(report.Error-math.Sqrt(tail)) > 1e-9*norm || math.Abs(report.Bonds[b].Discarded-tail) > 1e-9*norm*norm {
					t.Errorf("pair %d, rank 2: error %v, discarded %v, the optimum is %v (%v)", b, report.Error, report.Bonds[b].Discarded, math.Sqrt(tail), err)
				}
			}
		}
		if _, err := dmrg.Open(x, x.Len()-1); err == nil {
			t.Error("a pair that is not there")
		}
		if _, _, err := dmrg.Close(x, -1, dmrg.SplitOptions{}, tt.Left); err == nil {
			t.Error("a pair that is not there")
		}
	})
}

// Of the ranks that the probe allows the smallest is taken, and within a budget.
func TestTheProbeChoosesTheRank(t *testing.T) {
	torchtest.Compute(t, func() {
		torch.Seed(3)
		low := random(t, torch.Float64, []int64{13, 4, 3, 13}, []int64{3, 3, 3})
		noise := random(t, torch.Float64, []int64{13, 4, 3, 13}, []int64{4, 4, 4})
		x, err := tt.Add(low, noise.Scale(1e-3))
		if err != nil {
			t.Fatal(err)
		}
		probe := func(y tt.Train) (float64, error) {
			d, err := tt.Distance(y, low)
			return d / low.Norm(), err
		}
		opened, err := dmrg.Open(x, 1)
		if err != nil {
			t.Fatal(err)
		}
		o := dmrg.SplitOptions{Tol: 0.05, Probe: probe}
		y, report, err := dmrg.Close(opened, 1, o, tt.Right)
		if err != nil || y.Ranks()[1] != 3 {
			t.Fatalf("rank %d of a tensor train of rank 3 with noise (%v): %+v", y.Ranks()[1], err, report.Probe)
		}
		if after, _ := probe(y); math.Abs(after-report.Probe.After) > 1e-12 || report.Probe.After > report.Probe.Before+o.Tol {
			t.Errorf("reports a loss of %v after %v, it is %v", report.Probe.After, report.Probe.Before, after)
		}
		if d, _ := tt.Distance(y, x); math.Abs(d-report.Error) > 1e-9 || math.Abs(math.Sqrt(report.Bonds[1].Discarded)-d) > 1e-9 {
			t.Errorf("reports an error of %v and %v discarded, it is %v", report.Error, report.Bonds[1].Discarded, d)
		}
		o.MaxRank = 2
		if y, _, err := dmrg.Close(opened, 1, o, tt.Right); err != nil || y.Ranks()[1] != 2 {
			t.Errorf("at most 2, kept %v (%v)", y.Ranks(), err)
		}
		o.MaxRank, o.Budget = 0, dmrg.Entries(x.Dims(), []int64{1, 2, 1})
		if y, _, err := dmrg.Close(opened, 1, o, tt.Right); err != nil || !slices.Equal(y.Ranks(), []int64{7, 2, 7}) {
			t.Errorf("budget %d: ranks %v (%v)", o.Budget, y.Ranks(), err)
		}
		// At the end all bonds meet the budget together.
		o.Budget, o.Last, o.Balance = dmrg.Entries(x.Dims(), []int64{3, 3, 3}), true, dmrg.Scalar
		together, _, err := dmrg.Sweep(x, dmrg.Options{Mode: dmrg.Canonical, Budget: o.Budget})
		if err != nil {
			t.Fatal(err)
		}
		o.Tol = 1e-9
		y, report, err = dmrg.Close(opened, 1, o, tt.Right)
		if err != nil || !slices.Equal(y.Ranks(), together.Ranks()) || report.Bonds[0].After != y.Ranks()[0] {
			t.Errorf("budget %d: ranks %v, the best are %v (%v)", o.Budget, y.Ranks(), together.Ranks(), err)
		}
		if d, _ := tt.Distance(x, y); math.Abs(d-report.Error) > 1e-9 {
			t.Errorf("reports an error of %v, it is %v", report.Error, d)
		}
		if after, _ := probe(y); math.Abs(after-report.Probe.After) > 1e-12 {
			t.Errorf("reports a loss of %v, it is %v", report.Probe.After, after)
		}
		if a, b := y.Cores()[0].Norm().Item(), y.Cores()[3].Norm().Item(); math.Abs(a-b) > 1e-9*a {
			t.Errorf("balanced cores have norms %v and %v", a, b)
		}
		o.Probe = func(tt.Train) (float64, error) { return math.NaN(), nil }
		if _, _, err := dmrg.Close(opened, 1, o, tt.Right); err == nil || !strings.Contains(err.Error(), "probe loss is NaN") {
			t.Errorf("a loss that is no number: %v", err)
		}
	})
}

// A budget is kept, by giving up what weighs the least; where everything that
// fits weighs the same, no more than needed.
func TestBudget(t *testing.T) {
	eachShape(t, func(t *testing.T, x tt.Train) {
		whole := x.Parameters()
		least := dmrg.Entries(x.Dims(), slices.Repeat([]int64{1}, x.Len()-1))
		for budget := least; budget <= whole+3; budget += 1 + (whole-least)/7 {
			for _, mode := range []dmrg.Mode{dmrg.Canonical, dmrg.Paper} {
				y, report, err := dmrg.Sweep(x, dmrg.Options{Mode: mode, Budget: budget})
				if err != nil {
					t.Fatal(err)
				}
				if n := y.Parameters(); n > budget || n != dmrg.Entries(y.Dims(), y.Ranks()) {
					t.Errorf("%s, budget %d: %d entries at ranks %v", mode, budget, n, y.Ranks())
				}
				d, err := tt.Distance(x, y)
				if err != nil || math.Abs(d-report.Error) > 1e-9*report.Norm {
					t.Errorf("%s, budget %d: error %v, reported %v (%v)", mode, budget, d, report.Error, err)
				}
			}
		}
		// What is to be kept of each bond stays, whatever the budget.
		floor := make([]int64, x.Len()-1)
		for b, rank := range x.Ranks() {
			floor[b] = min(2, rank)
		}
		kept := dmrg.Options{Mode: dmrg.Canonical, Truncation: tt.Truncation{MinRank: 2}, Budget: dmrg.Entries(x.Dims(), floor)}
		if y, _, err := dmrg.Sweep(x, kept); err != nil || !slices.Equal(y.Ranks(), floor) {
			t.Errorf("ranks %v, want %v (%v)", y.Ranks(), floor, err)
		}
		kept.Budget--
		if _, _, err := dmrg.Sweep(x, kept); err == nil || !strings.Contains(err.Error(), "entries at ranks of 2") {
			t.Errorf("a budget below what is to be kept: %v", err)
		}
		if _, _, err := dmrg.Sweep(x, dmrg.Options{Mode: dmrg.Canonical, Budget: least - 1}); err == nil || !strings.Contains(err.Error(), "budget") {
			t.Errorf("a budget that no tensor train meets: %v", err)
		}
	})
	torchtest.Compute(t, func() {
		// Of the first bond nothing is needed beyond rank 1.
		torch.Seed(5)
		x := random(t, torch.Float64, []int64{9, 4, 9}, []int64{1, 3})
		y, err := tt.Add(x, random(t, torch.Float64, []int64{9, 4, 9}, []int64{3, 1}).Scale(1e-4))
		if err != nil {
			t.Fatal(err)
		}
		y, _, err = dmrg.Sweep(y, dmrg.Options{Mode: dmrg.Canonical, Budget: x.Parameters()})
		if err != nil || !slices.Equal(y.Ranks(), []int64{1, 3}) {
			t.Errorf("ranks %v, want those of the large part, 1 and 3 (%v)", y.Ranks(), err)
		}
	})
}

// A probe that sees the truncation has it undone, half by half.
func TestCutsAreUndone(t *testing.T) {
	eachShape(t, func(t *testing.T, x tt.Train) {
		norm := x.Norm()
		probe := func(y tt.Train) (float64, error) {
			d, err := tt.Distance(x, y)
			return d / norm, err
		}
		for _, tol := range []float64{1e-9, 0.1, 0.4, 10} {
			y, report, err := dmrg.Sweep(x, dmrg.Options{Mode: dmrg.Canonical, Truncation: tt.Truncation{MaxRank: 1}, Tol: tol, Probe: probe})
			if err != nil {
				t.Fatal(err)
			}
			if d, _ := probe(y); d > tol {
				t.Errorf("tol %v: rose by %v", tol, d)
			}
			if tol == 10 && (report.Probe.Undone > 0 || slices.Max(y.Ranks()) > 1) {
				t.Errorf("tol %v: undone %d times, ranks %v", tol, report.Probe.Undone, y.Ranks())
			}
			if tol == 1e-9 && !slices.Equal(y.Ranks(), x.Canonical(0).Ranks()) {
				t.Errorf("nothing may be cut, but ranks are %v of %v", y.Ranks(), x.Ranks())
			}
		}
	})
}

// Growing leaves the tensor, and gives the next step the directions of the
// steepest descent outside of what the bond holds.
func TestEnriched(t *testing.T) {
	eachShape(t, func(t *testing.T, x tt.Train) {
		whole := x.Dense()
		c := torch.Randn(torch.Float64, torch.CPU, whole.Numel()) // the gradient, of a loss ⟨c, X⟩
		gradient := func(y tt.Train, k int) (*torch.Tensor, error) { return gradients(y, c)[k], nil }
		y, added, err := dmrg.Enriched(x.Tracked(), dmrg.EnrichOptions{Grow: 2, Gradient: gradient})
		if err != nil {
			t.Fatal(err)
		}
		close(t, "grown tensor", y.Dense(), whole, 1e-10)
		for b, n := range added {
			bound := tt.Bound(x.Dims(), b)
			if rank := y.Ranks()[b]; rank < x.Canonical(0).Ranks()[b]+n || rank > x.Ranks()[b]+n || rank > bound || n > 2 {
				t.Errorf("bond %d: rank %d with %d new, its bound is %d", b, rank, n, bound)
			}
		}
		if slices.Max(added) == 0 {
			t.Errorf("nothing grew: ranks %v", x.Ranks())
		}
		for k, core := range y.Cores() { // isometries from the right, all but the first
			if m := core.Reshape(core.Size(0), -1); k > 0 {
				close(t, "isometry", m.MatMul(m.T()), torch.Eye(torch.Float64, torch.CPU, m.Size(0), m.Size(0)), 1e-10)
			}
		}
		for k, g := range gradients(y, c) {
			if k < len(added) && added[k] > 0 {
				for i := range added[k] {
					if g.Narrow(2, y.Ranks()[k]-1-i, 1).Norm().Item() == 0 {
						t.Errorf("bond %d: a new component has no gradient", k)
					}
				}
			}
		}
		if x.Len() > 2 {
			return
		}
		// A matrix: the gradient of the new columns, outside of the present ones, is
		// the best part of rank 2 of what is left of c.
		left, right := x.Cores()[0].Reshape(-1, x.Ranks()[0]), x.Cores()[1].Reshape(x.Ranks()[0], -1)
		p, _ := left.QR()
		q, _ := right.T().QR()
		rest := c.Reshape(x.Dims()...)
		rest = rest.Sub(p.MatMul(p.T().MatMul(rest)))
		rest = rest.Sub(rest.MatMul(q).MatMul(q.T()))
		_, s, _ := rest.SVD()
		values := torch.ToSlice[float64](s)
		g := gradients(y, c)[0].Narrow(2, y.Ranks()[0]-2, 2).Reshape(-1, 2)
		g = g.Sub(p.MatMul(p.T().MatMul(g)))
		if got, want := g.Norm().Item(), math.Hypot(values[0], values[1]); math.Abs(got-want) > 1e-9*want {
			t.Errorf("the new columns descend by %v, the steepest two directions by %v", got, want)
		}
	})
}

// From zero, where no column carries weight, growing finds the target's own
// directions.
func TestEnrichedFromZero(t *testing.T) {
	torchtest.Compute(t, func() {
		torch.Seed(6)
		target := random(t, torch.Float64, []int64{9, 3, 8}, []int64{2, 2})
		x := random(t, torch.Float64, []int64{9, 3, 8}, []int64{1, 1}).Scale(0)
		c := target.Dense().Reshape(-1).Neg()
		y, added, err := dmrg.Enriched(x, dmrg.EnrichOptions{Grow: 2, Gradient: func(y tt.Train, k int) (*torch.Tensor, error) { return gradients(y, c)[k], nil }})
		if err != nil || !slices.Equal(added, []int64{2, 2}) {
			t.Fatalf("added %v, %v", added, err)
		}
		if y.Norm() != 0 {
			t.Errorf("norm %v", y.Norm())
		}
		_, _, err = dmrg.Enriched(x, dmrg.EnrichOptions{Grow: 1, Gradient: func(y tt.Train, k int) (*torch.Tensor, error) {
			return y.Cores()[k].MulScalar(math.NaN()).AddScalar(math.NaN()), nil
		}})
		if err == nil || !strings.Contains(err.Error(), "norm NaN") {
			t.Errorf("a gradient that is no number: %v", err)
		}
	})
}

// A rank that its neighbours have no room for is not to be reached again: the undoing
// of a cut ends all the same.
func TestUndoingEnds(t *testing.T) {
	torchtest.Compute(t, func() {
		torch.Seed(3)
		x := random(t, torch.Float64, []int64{5, 3, 9}, []int64{8, 4})
		calls := 0
		worse := func(tt.Train) (float64, error) { calls++; return float64(calls), nil }
		y, report, err := dmrg.Sweep(x, dmrg.Options{Mode: dmrg.Canonical, Truncation: tt.Truncation{MaxRank: 1}, Tol: 1e-9, Probe: worse})
		if err != nil || !slices.Equal(y.Ranks(), []int64{5, 4}) || report.Bonds[0].Before != 8 {
			t.Errorf("ranks %v of 8 and 4, of which 5 and 4 can be (%v): %+v", y.Ranks(), err, report.Bonds)
		}
		nan := func(tt.Train) (float64, error) { return math.NaN(), nil }
		for _, mode := range []dmrg.Mode{dmrg.Canonical, dmrg.Paper} {
			if _, _, err := dmrg.Sweep(x, dmrg.Options{Mode: mode, Tol: 1, Probe: nan}); err == nil || !strings.Contains(err.Error(), "probe loss is NaN") {
				t.Errorf("%s: a loss that is no number: %v", mode, err)
			}
		}
		// The budget holds whatever the probe says.
		budget := dmrg.Entries(x.Dims(), []int64{2, 2})
		y, _, err = dmrg.Sweep(x, dmrg.Options{Mode: dmrg.Canonical, Truncation: tt.Truncation{MaxRank: 1}, Budget: budget, Tol: 1e-9, Probe: worse})
		if err != nil || y.Parameters() > budget || slices.Max(y.Ranks()) == 1 {
			t.Errorf("budget %d: %d entries at ranks %v (%v)", budget, y.Parameters(), y.Ranks(), err)
		}
	})
}

// Ranks within a budget, between those before and after a cut, can lead back to
// where they came from: undoing ends where it brings nothing nearer.
func TestUndoingEndsWithinABudget(t *testing.T) {
	torchtest.Compute(t, func() {
		for _, c := range []struct {
			seed        uint64
			dtype       torch.DType
			dims, ranks []int64
			budget      int64
		}{ // found by search: each went back and forth between the same ranks
			{273, torch.Float64, []int64{16, 4, 1, 16}, []int64{5, 5, 5}, 242},
			{93, torch.Float32, []int64{11, 1, 8}, []int64{3, 3}, 43},
			{87, torch.Float32, []int64{16, 4, 1, 16}, []int64{5, 5, 5}, 242},
		} {
			torch.Seed(c.seed)
			x := random(t, c.dtype, c.dims, c.ranks)
			calls := 0
			probe := func(y tt.Train) (float64, error) {
				if calls++; calls > 20 {
					t.Fatal("no end")
				}
				return tt.Distance(x, y)
			}
			_, report, err := dmrg.Sweep(x, dmrg.Options{Mode: dmrg.Canonical, Truncation: tt.Truncation{MaxRank: 4}, Budget: c.budget, Tol: 1e-9, Probe: probe})
			if err != nil || report.Probe == nil {
				t.Fatal(report, err)
			}
		}
	})
}

// Every bond is seen as it is truncated.
func TestObserve(t *testing.T) {
	eachShape(t, func(t *testing.T, x tt.Train) {
		for mode, visits := range map[dmrg.Mode]int{dmrg.Canonical: x.Len() - 1, dmrg.Paper: 2*(x.Len()-1) - 1} {
			var discarded float64
			seen := 0
			_, report, err := dmrg.Sweep(x, dmrg.Options{Mode: mode, Truncation: tt.Truncation{MaxRank: 2}, Observe: func(b int, done dmrg.Bond) {
				seen++
				discarded += done.Discarded
				if len(done.Spectrum) == 0 || done.After > 2 || b < 0 || b >= x.Len()-1 {
					t.Errorf("%s: bond %d: %+v", mode, b, done)
				}
			}})
			var want float64
			for _, bond := range report.Bonds {
				want += bond.Discarded
			}
			if err != nil || seen != visits || math.Abs(discarded-want) > 1e-9*want {
				t.Errorf("%s: %d bonds seen, want %d; %v discarded, reported %v (%v)", mode, seen, visits, discarded, want, err)
			}
		}
	})
}

// A gradient of lower rank than what may grow gives no more directions than it has.
func TestEnrichedByAThinGradient(t *testing.T) {
	torchtest.Compute(t, func() {
		torch.Seed(8)
		x := random(t, torch.Float64, []int64{9, 8}, []int64{2})
		for rank := range 3 {
			c := torch.Zeros(torch.Float64, torch.CPU, 72)
			if rank > 0 {
				c = random(t, torch.Float64, []int64{9, 8}, []int64{int64(rank)}).Dense().Reshape(-1)
			}
			gradient := func(y tt.Train, k int) (*torch.Tensor, error) { return gradients(y, c)[k], nil }
			y, added, err := dmrg.Enriched(x, dmrg.EnrichOptions{Grow: 4, Gradient: gradient})
			if err != nil || added[0] != int64(rank) || y.Ranks()[0] != int64(2+rank) {
				t.Errorf("a gradient of rank %d: %v new, ranks %v (%v)", rank, added, y.Ranks(), err)
			}
		}
	})
}

func TestPlanEvents(t *testing.T) {
	p := dmrg.Plan{Mode: dmrg.TwoSite, At: []int{2, 8}, PairSteps: 2, PairLength: 1}
	if err := p.Check(3, 0, 14); err != nil {
		t.Fatal(err)
	}
	want := []dmrg.Event{
		{Step: 2, Close: -1, Open: 0}, {Step: 4, Close: 0, Open: 1}, {Step: 6, Close: 1, Open: 2}, {Step: 8, Close: 2, Open: -1},
		{Step: 8, Sweep: 1, Close: -1, Open: 2}, {Step: 10, Sweep: 1, Close: 2, Open: 1}, {Step: 12, Sweep: 1, Close: 1, Open: 0}, {Step: 14, Sweep: 1, Close: 0, Open: -1, Last: true},
	}
	got := p.Events(3)
	if !slices.Equal(got, want) {
		t.Errorf("events %+v, want %+v", got, want)
	}
	// What is left of a pair is a step away from the next.
	for i, side := range []tt.Side{tt.Left, tt.Right, tt.Right, tt.Right, tt.Left, tt.Left, tt.Left, tt.Left} {
		if e := got[i]; e.Close >= 0 && e.Side() != side {
			t.Errorf("after step %d the singular values of pair %d go to side %d", e.Step, e.Close, e.Side())
		}
	}
	for start, orders := range map[int][2][]int{0: {{0, 1, 2}, {2, 1, 0}}, 1: {{1, 2, 0}, {0, 1, 2}}, 2: {{2, 1, 0}, {0, 1, 2}}, 9: {{2, 1, 0}, {0, 1, 2}}} {
		p.Start = start
		var opened []int
		for _, e := range p.Events(3) {
			if e.Open >= 0 {
				opened = append(opened, e.Open)
			}
		}
		if !slices.Equal(opened, slices.Concat(orders[0], orders[1])) {
			t.Errorf("from pair %d: pairs %v, want %v", start, opened, orders)
		}
	}
	if p.Check(3, 0, 13) == nil || (dmrg.Plan{Mode: "none", At: []int{1}}).Check(3, 0, 9) == nil {
		t.Error("a plan that cannot be kept is taken")
	}
	if err := (dmrg.Plan{Mode: dmrg.Canonical, At: []int{1}, Budget: 9}).Check(3, 10, 9); err == nil || !strings.Contains(err.Error(), "there are 10 parameters") {
		t.Errorf("a budget below rank 1: %v", err)
	}
	for _, mode := range []dmrg.Mode{dmrg.TwoSite, dmrg.Restart} {
		p := dmrg.Plan{Mode: mode, At: []int{1}, PairSteps: 1, PairLength: 1, Moments: dmrg.Transport}
		if err := p.Check(1, 0, 9); err == nil || !strings.Contains(err.Error(), "begins with new ones") {
			t.Errorf("%s takes moments along: %v", mode, err)
		}
	}
	if (dmrg.Plan{Mode: dmrg.Enrich, At: []int{1}, Grow: 1}).Check(3, 0, 9) == nil {
		t.Error("one sweep that never grows is taken")
	}
	// A pair's rate rises, falls to nothing, and makes steps of its length.
	p.PairSteps, p.PairLength = 30, 0.5
	if r := p.PairRate(2, 100, 1e-3) * 1e-3 * math.Sqrt(100); math.Abs(r-0.5) > 1e-12 {
		t.Errorf("the longest step is %v long, want 0.5", r)
	}
	if first, last := p.PairRate(0, 9, 1), p.PairRate(29, 9, 1); first > p.PairRate(2, 9, 1)/2 || last > 0.05*p.PairRate(2, 9, 1) || last <= 0 {
		t.Errorf("rates from %v to %v", first, last)
	}
}
