package tt_test

import (
	"math"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/tt"
)

// operations is everything that a tracked train remembers.
var operations = map[string]func(tt.Train) (tt.Train, error){
	"canonical":       func(x tt.Train) (tt.Train, error) { return x.Canonical(1), nil },
	"canonical twice": func(x tt.Train) (tt.Train, error) { return x.Canonical(x.Len() - 1).Canonical(0), nil },
	"rounded":         func(x tt.Train) (tt.Train, error) { y, _, err := x.Round(tt.Truncation{MaxRank: 2}); return y, err },
	"rounded in part": func(x tt.Train) (tt.Train, error) {
		ranks := x.Ranks()
		limits := make([]tt.Truncation, len(ranks))
		if len(limits) > 0 {
			limits[0].MaxRank = 1
		}
		y, _, err := x.RoundEach(limits)
		return y, err
	},
	"symmetric":   func(x tt.Train) (tt.Train, error) { return x.Symmetric() },
	"equal norms": func(x tt.Train) (tt.Train, error) { return x.EqualNorms(), nil },
	"split pairs": func(x tt.Train) (tt.Train, error) {
		var err error
		for b := 0; b < x.Len()-1 && err == nil; b++ {
			x, _, err = x.SplitPair(b, tt.Truncation{MaxRank: 3}, tt.Right)
		}
		for b := x.Len() - 2; b >= 0 && err == nil; b-- {
			x, _, err = x.SplitPair(b, tt.Truncation{MaxRank: 2}, tt.Left)
		}
		return x, err
	},
	"split pairs, then symmetric": func(x tt.Train) (tt.Train, error) { // the way back knows the singular values
		var err error
		for b := 0; b < x.Len()-1 && err == nil; b++ {
			x, _, err = x.SplitPair(b, tt.Truncation{MaxRank: 3}, tt.Right)
		}
		for b := x.Len() - 2; b >= 0 && err == nil; b-- {
			x, _, err = x.SplitPair(b, tt.Truncation{}, tt.Left)
		}
		if err != nil {
			return x, err
		}
		return x.Symmetric()
	},
	"all of it": func(x tt.Train) (tt.Train, error) {
		x, _, err := x.Canonical(1).EqualNorms().Round(tt.Truncation{MaxRank: 3})
		if err != nil {
			return x, err
		}
		return x.Symmetric()
	},
}

// The gauges of a tracked train are what made its cores of those it began with.
func TestGaugesMakeTheCores(t *testing.T) {
	for name, operation := range operations {
		t.Run(name, func(t *testing.T) {
			everyShape(t, func(t *testing.T, single tt.Train) {
				for _, dtype := range []torch.DType{torch.Float32, torch.Float64} {
					tolerance := 1e-4 // of fp32 cores through an inverse of their own
					if dtype == torch.Float64 {
						tolerance = 1e-9
					}
					x := single.To(dtype).Canonical(0).Canonical(single.Len() - 1) // no rank above what the cores carry
					y, err := operation(x.Tracked())
					if err != nil {
						t.Fatal(err)
					}
					untracked, err := operation(x)
					if err != nil || untracked.Gauges() != nil {
						t.Fatalf("not tracked, but gauges %v (%v)", untracked.Gauges(), err)
					}
					gauges := y.Gauges()
					for k, core := range y.Cores() {
						if !core.Equal(untracked.Cores()[k]) {
							t.Errorf("%s: core %d differs when it is tracked", dtype, k)
						}
						want := x.Cores()[k].ToDType(torch.Float64)
						if k > 0 {
							g := gauges[k-1].Y
							want = g.MatMul(want.Reshape(want.Size(0), -1)).Reshape(g.Size(0), want.Size(1), want.Size(2))
						}
						if k < len(gauges) {
							g := gauges[k].X
							want = want.Reshape(-1, want.Size(2)).MatMul(g).Reshape(want.Size(0), want.Size(1), g.Size(1))
						}
						if d := off(core, want); d > tolerance {
							t.Errorf("%s: core %d is off Y G X by %.1e", dtype, k, d)
						}
					}
					for b, g := range gauges {
						if d := off(g.Y.MatMul(g.X), torch.Eye(torch.Float64, torch.CPU, g.Y.Size(0), g.Y.Size(0))); d > tolerance {
							t.Errorf("%s: Y X of bond %d is off the identity by %.1e", dtype, b, d)
						}
					}
				}
			})
		})
	}
}

func TestEqualNorms(t *testing.T) {
	everyShape(t, func(t *testing.T, x tt.Train) {
		y := x.EqualNorms()
		if d := off(y.Dense(), x.Dense()); d > 1e-5 {
			t.Errorf("the tensor changed by %.1e", d)
		}
		first := y.Cores()[0].Norm().Item()
		for k, core := range y.Cores() {
			if n := core.Norm().Item(); math.Abs(n-first) > 1e-5*first {
				t.Errorf("core %d has norm %v, core 0 %v", k, n, first)
			}
		}
		zero := x.Scale(0)
		for k, core := range zero.EqualNorms().Cores() {
			if !core.Equal(zero.Cores()[k]) {
				t.Errorf("core %d of a zero train changed", k)
			}
		}
	})
}

// New components change nothing while one side of them is zero, and are the last
// of their bond.
func TestWidened(t *testing.T) {
	everyShape(t, func(t *testing.T, x tt.Train) {
		for b := range x.Ranks() {
			left, right := x.Cores()[b], x.Cores()[b+1]
			columns := torch.Zeros(torch.Float32, torch.CPU, left.Size(0), left.Size(1), 2)
			rows := torch.Randn(torch.Float32, torch.CPU, 2, right.Size(1), right.Size(2))
			y, err := x.Tracked().Widened(b, columns, rows)
			if err != nil {
				t.Fatal(err)
			}
			if d := off(y.Dense(), x.Dense()); d > 1e-6 || y.Ranks()[b] != x.Ranks()[b]+2 {
				t.Errorf("bond %d: the tensor changed by %.1e, rank %d to %d", b, d, x.Ranks()[b], y.Ranks()[b])
			}
			r := x.Ranks()[b]
			if !y.Cores()[b+1].Narrow(0, r, 2).Equal(rows) || !y.Cores()[b].Narrow(2, 0, r).Equal(left) {
				t.Errorf("bond %d: the new components are not behind the old", b)
			}
			if g := y.Gauges()[b]; g.X.Size(1) != r+2 || g.Y.Size(0) != r+2 || g.Y.Narrow(0, r, 2).Norm().Item() != 0 {
				t.Errorf("bond %d: the new components come from somewhere", b)
			}
			if _, err := x.Widened(b, columns, torch.Zeros(torch.Float32, torch.CPU, 3, right.Size(1), right.Size(2))); err == nil || !strings.Contains(err.Error(), "2 rows of shape") {
				t.Errorf("two columns with three rows: %v", err)
			}
			if _, err := x.Widened(b, rows, rows); err == nil && left.Size(0) != 2 {
				t.Error("columns of another shape are taken")
			}
		}
		if _, err := x.Widened(x.Len()-1, x.Cores()[0], x.Cores()[0]); err == nil {
			t.Error("a bond that is not there")
		}
	})
}
