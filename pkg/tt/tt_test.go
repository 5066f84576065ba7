package tt_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/torch/torchtest"
	"github.com/metatt/metatt/pkg/tt"
)

// random is a train of those dimensions and bond ranks with normal entries.
func random(t *testing.T, dtype torch.DType, dims, ranks []int64) tt.Train {
	t.Helper()
	bonds := slices.Concat([]int64{1}, ranks, []int64{1})
	cores := make([]*torch.Tensor, len(dims))
	for k, n := range dims {
		cores[k] = torch.Randn(dtype, torch.CPU, bonds[k], n, bonds[k+1])
	}
	train, err := tt.New(cores...)
	if err != nil {
		t.Fatal(err)
	}
	return train
}

// everyShape runs f on trains of odd shapes: ranks that differ, at, above and
// below their bounds, one core, one layer.
func everyShape(t *testing.T, f func(t *testing.T, x tt.Train)) {
	for i, c := range []struct{ dims, ranks []int64 }{
		{[]int64{7}, nil},
		{[]int64{5, 9}, []int64{3}},
		{[]int64{11, 1, 3, 7}, []int64{4, 4, 5}},
		{[]int64{13, 3, 2, 13}, []int64{6, 5, 6}},
		{[]int64{7, 4, 3, 2, 5}, []int64{6, 3, 4, 2}},
		{[]int64{2, 3, 2}, []int64{5, 4}},
		{[]int64{3, 5, 4}, []int64{1, 1}},
	} {
		t.Run(fmt.Sprint(c.dims, c.ranks), func(t *testing.T) {
			torchtest.Compute(t, func() {
				torch.Seed(uint64(i))
				f(t, random(t, torch.Float32, c.dims, c.ranks))
			})
		})
	}
}

// off is ‖a − b‖ / ‖b‖ of dense tensors, in fp64.
func off(a, b *torch.Tensor) float64 {
	a, b = a.ToDType(torch.Float64), b.ToDType(torch.Float64)
	return a.Sub(b).Norm().Item() / max(b.Norm().Item(), 1e-300)
}

// singular is the singular values of x unfolded behind dimension b.
func singular(x *torch.Tensor, dims []int64, b int) []float64 {
	rows := int64(1)
	for _, n := range dims[:b+1] {
		rows *= n
	}
	_, s, _ := x.ToDType(torch.Float64).Reshape(rows, -1).SVD()
	return torch.ToSlice[float64](s)
}

// tail is √Σ s² from k on.
func tail(s []float64, k int) float64 {
	var sum float64
	for _, v := range s[min(k, len(s)):] {
		sum += v * v
	}
	return math.Sqrt(sum)
}

func TestCanonicalForms(t *testing.T) {
	everyShape(t, func(t *testing.T, x tt.Train) {
		dense := x.Dense()
		for center := range x.Len() {
			c := x.Canonical(center)
			if d := off(c.Dense(), dense); d > 1e-5 {
				t.Errorf("centre %d: the tensor changed by %.1e", center, d)
			}
			for k, core := range c.Cores() {
				m := core.Reshape(-1, core.Size(2)) // isometry from the left
				if k > center {
					m = core.Reshape(core.Size(0), -1).T()
				}
				if k == center {
					if n, want := core.Norm().Item(), dense.Norm().Item(); math.Abs(n-want) > 1e-5*want {
						t.Errorf("centre %d: its core has norm %v, the tensor %v", center, n, want)
					}
					continue
				}
				if d := off(m.T().MatMul(m), torch.Eye(torch.Float32, torch.CPU, m.Size(1), m.Size(1))); d > 1e-5 {
					t.Errorf("centre %d: core %d is off an isometry by %.1e", center, k, d)
				}
			}
			for b, r := range c.Ranks() {
				bound := x.Dims()[b+1] * c.Cores()[b+1].Size(2)
				if b < center {
					bound = c.Cores()[b].Size(0) * x.Dims()[b]
				}
				if bound = min(bound, x.Ranks()[b]); r > bound {
					t.Errorf("centre %d: bond %d has rank %d, its bound is %d", center, b, r, bound)
				}
			}
		}
	})
}

func TestSpectraAreTheUnfoldings(t *testing.T) {
	everyShape(t, func(t *testing.T, x tt.Train) {
		spectra, err := x.Spectra()
		if err != nil {
			t.Fatal(err)
		}
		dense := x.Dense()
		for b, s := range spectra {
			want := singular(dense, x.Dims(), b)
			if !slices.IsSortedFunc(s, func(a, b float64) int { return -int(math.Copysign(1, a-b)) }) {
				t.Errorf("bond %d: %v does not fall", b, s)
			}
			for i := range max(len(s), len(want)) {
				var got, w float64
				if i < len(s) {
					got = s[i]
				}
				if i < len(want) {
					w = want[i]
				}
				if math.Abs(got-w) > 1e-5*want[0] {
					t.Errorf("bond %d: singular value %d is %v, the unfolding's %v", b, i, got, w)
				}
			}
		}
	})
}

func TestArithmeticIsTheDenseOne(t *testing.T) {
	everyShape(t, func(t *testing.T, x tt.Train) {
		other := random(t, torch.Float32, x.Dims(), slices.Repeat([]int64{2}, x.Len()-1))
		dense, otherDense := x.Dense(), other.Dense()
		sum, err := tt.Add(x, other.Scale(-0.7))
		if err != nil {
			t.Fatal(err)
		}
		want := dense.Sub(otherDense.MulScalar(0.7))
		if d := off(sum.Dense(), want); d > 1e-5 {
			t.Errorf("sum off by %.1e", d)
		}
		if n, w := sum.Norm(), want.Norm().Item(); math.Abs(n-w) > 1e-5*w {
			t.Errorf("norm %v, want %v", n, w)
		}
		inner, err := tt.Inner(x, other)
		if w := dense.Mul(otherDense).Sum().Item(); err != nil || math.Abs(inner-w) > 1e-5*dense.Norm().Item()*otherDense.Norm().Item() {
			t.Errorf("inner product %v (%v), want %v", inner, err, w)
		}
		distance, err := tt.Distance(x, other)
		if w := dense.Sub(otherDense).Norm().Item(); err != nil || math.Abs(distance-w) > 1e-5*w {
			t.Errorf("distance %v (%v), want %v", distance, err, w)
		}
		if self, err := tt.Distance(x, x.Canonical(0)); err != nil || self > 1e-5*dense.Norm().Item() {
			t.Errorf("distance from itself in another gauge: %v (%v)", self, err)
		}
		back, _, err := tt.FromDense(dense, tt.Truncation{})
		if err != nil {
			t.Fatal(err)
		}
		if d := off(back.Dense(), dense); d > 1e-5 {
			t.Errorf("to dense and back: off by %.1e", d)
		}
		for b, r := range back.Ranks() {
			if bound := tt.Bound(x.Dims(), b); r > bound {
				t.Errorf("to dense and back: bond %d has rank %d, its bound is %d", b, r, bound)
			}
		}
	})
}

func TestGaugeLeavesTheTensor(t *testing.T) {
	everyShape(t, func(t *testing.T, x tt.Train) {
		for b, r := range x.Ranks() {
			q, _ := torch.Randn(torch.Float32, torch.CPU, r, r).QR()
			changed, err := x.Gauge(b, q.MulScalar(3), q.T().MulScalar(1.0/3))
			if err != nil {
				t.Fatal(err)
			}
			if d := off(changed.Dense(), x.Dense()); d > 1e-5 {
				t.Errorf("bond %d: the tensor changed by %.1e", b, d)
			}
		}
	})
}

// What a truncation reports is what it did; it is within its bound, and within
// √(d−1) of the best train of the same ranks.
func TestRound(t *testing.T) {
	everyShape(t, func(t *testing.T, single tt.Train) {
		x := single.To(torch.Float64)
		dense := x.Dense()
		norm := dense.Norm().Item()
		for _, tr := range []tt.Truncation{
			{}, {MaxRank: 1}, {MaxRank: 2}, {MaxRank: 3, MinRank: 2}, {Cutoff: 1e-3}, {Cutoff: 0.2}, {Error: 1e-3}, {Error: 0.3}, {Error: 0.6, MinRank: 2},
		} {
			y, report, err := x.Round(tr)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(report.Kept, y.Ranks()) {
				t.Errorf("%+v: reports ranks %v, has %v", tr, report.Kept, y.Ranks())
			}
			difference := y.Dense().Sub(dense).Norm().Item()
			if math.Abs(report.Error-difference) > 1e-10*norm {
				t.Errorf("%+v: reports an error of %v, it is %v", tr, report.Error, difference)
			}
			if tr == (tt.Truncation{}) && difference > 1e-10*norm {
				t.Errorf("nothing truncated, but off by %v", difference)
			}
			if tr.Error > 0 && difference > tr.Error*norm*(1+1e-12) {
				t.Errorf("%+v: error %v of a norm of %v", tr, difference, norm)
			}
			var lower float64 // of any train of these ranks
			for b, r := range y.Ranks() {
				lower = max(lower, tail(singular(dense, x.Dims(), b), int(r)))
				if tr.MaxRank > 0 && r > tr.MaxRank {
					t.Errorf("%+v: bond %d has rank %d", tr, b, r)
				}
				if want := min(tr.MinRank, tt.Bound(x.Dims(), b), x.Ranks()[b]); r < want {
					t.Errorf("%+v: bond %d has rank %d", tr, b, r)
				}
			}
			if best := math.Sqrt(float64(x.Len()-1)) * lower; difference > best+1e-10*norm {
				t.Errorf("%+v: error %v, the best train of ranks %v is within %v", tr, difference, y.Ranks(), best)
			}
		}
	})
}

// What a split keeps and what it drops are the tensor together, and the side
// without the singular values is an isometry.
func TestSplitPair(t *testing.T) {
	everyShape(t, func(t *testing.T, x tt.Train) {
		for b := range x.Len() - 1 {
			unfolding := singular(x.Dense(), x.Dims(), b)
			for i, from := range []tt.Train{x, x.Canonical(b), x.Canonical(b + 1)} {
				for _, side := range []tt.Side{tt.Left, tt.Right} {
					for kept := range x.Ranks()[b] {
						y, split, err := from.SplitPair(b, tt.Truncation{MaxRank: kept + 1}, side)
						if err != nil {
							t.Fatal(err)
						}
						dropped := split.Dropped.Dense() // a number where nothing was
						if d := off(y.Dense().Add(dropped), x.Dense()); d > 1e-5 {
							t.Errorf("bond %d, side %d, rank %d: kept and dropped are off by %.1e", b, side, kept+1, d)
						}
						if n, want := split.Dropped.Norm(), dropped.Norm().Item(); math.Abs(n-want) > 1e-5*unfolding[0] {
							t.Errorf("bond %d, side %d, rank %d: dropped a train of norm %v, reported %v", b, side, kept+1, want, n)
						}
						// With the other cores isometries the pair's singular values are the tensor's.
						if n, want := math.Sqrt(split.Discarded), tail(unfolding, int(split.Kept)); i > 0 && math.Abs(n-want) > 1e-5*unfolding[0] {
							t.Errorf("bond %d, side %d, rank %d: discarded %v, the unfolding has %v", b, side, kept+1, n, want)
						}
						if split.Kept > kept+1 {
							t.Errorf("bond %d: kept %d of at most %d", b, split.Kept, kept+1)
						}
						core := y.Cores()[b]
						m := core.Reshape(-1, core.Size(2))
						if side == tt.Left {
							core = y.Cores()[b+1]
							m = core.Reshape(core.Size(0), -1).T()
						}
						if d := off(m.T().MatMul(m), torch.Eye(m.DType(), torch.CPU, split.Kept, split.Kept)); d > 1e-5 {
							t.Errorf("bond %d, side %d: off an isometry by %.1e", b, side, d)
						}
					}
				}
			}
		}
	})
}

// From whichever side a train is canonical, its symmetric form is the same but
// for signs.
func TestSymmetricFromEitherSide(t *testing.T) {
	everyShape(t, func(t *testing.T, x tt.Train) {
		x = x.To(torch.Float64).Canonical(0).Canonical(x.Len() - 1) // no rank above what the cores carry
		fromLeft, err := x.Canonical(0).Symmetric()
		if err != nil {
			t.Fatal(err)
		}
		fromRight, err := x.Canonical(x.Len() - 1).Symmetric()
		if err != nil {
			t.Fatal(err)
		}
		if d := off(fromRight.Dense(), x.Dense()); d > 1e-10 {
			t.Errorf("the tensor changed by %.1e", d)
		}
		for k, core := range fromLeft.Cores() {
			if d := off(fromRight.Cores()[k].Abs(), core.Abs()); d > 1e-8 {
				t.Errorf("core %d differs by %.1e", k, d)
			}
		}
	})
}

// With one bond the truncation is the optimum.
func TestRoundOfAMatrixIsEckartYoung(t *testing.T) {
	torchtest.Compute(t, func() {
		x := random(t, torch.Float64, []int64{13, 9}, []int64{9})
		s := singular(x.Dense(), x.Dims(), 0)
		for k := 1; k < 9; k++ {
			_, report, err := x.Round(tt.Truncation{MaxRank: int64(k)})
			if err != nil {
				t.Fatal(err)
			}
			if want := tail(s, k); math.Abs(report.Error-want) > 1e-12*s[0] {
				t.Errorf("rank %d: error %v, the optimum is %v", k, report.Error, want)
			}
		}
	})
}

// A train of lower rank than it is written with is found again, whatever the
// gauge.
func TestLowRankIsRecovered(t *testing.T) {
	torchtest.Compute(t, func() {
		for _, dtype := range []torch.DType{torch.Float32, torch.Float64} {
			low := random(t, dtype, []int64{17, 4, 3, 17}, []int64{2, 3, 2})
			high, err := tt.Add(low, low.Scale(-0.25))
			if err != nil {
				t.Fatal(err)
			}
			cutoff := 1e-12
			y, _, err := high.Round(tt.Truncation{Cutoff: cutoff})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(y.Ranks(), low.Ranks()) {
				t.Errorf("%s: ranks %v from %v, want %v", dtype, y.Ranks(), high.Ranks(), low.Ranks())
			}
			if d := off(y.Dense(), low.Scale(0.75).Dense()); d > 1e-5 {
				t.Errorf("%s: off by %.1e", dtype, d)
			}
		}
	})
}

func TestZeroAndDegenerateTrains(t *testing.T) {
	torchtest.Compute(t, func() {
		zero, err := tt.New(torch.Zeros(torch.Float32, torch.CPU, 1, 5, 3), torch.Randn(torch.Float32, torch.CPU, 3, 4, 1))
		if err != nil {
			t.Fatal(err)
		}
		y, report, err := zero.Round(tt.Truncation{Cutoff: 1e-8})
		if err != nil || report.Error != 0 || !slices.Equal(y.Ranks(), []int64{1}) || y.Norm() != 0 {
			t.Errorf("zero train: ranks %v, error %v, %v", y.Ranks(), report.Error, err)
		}
		var nothing tt.Train
		if nothing.Norm() != 0 || nothing.Scale(2).Len() != 0 || len(nothing.Tracked().Gauges()) != 0 || nothing.Dense().Item() != 0 || nothing.EqualNorms().Len() != 0 {
			t.Error("the train of no cores is not 0")
		}
		if n, err := tt.Inner(nothing, nothing); n != 0 || err != nil {
			t.Error(n, err)
		}
		if n, err := tt.Distance(nothing, nothing); n != 0 || err != nil {
			t.Error(n, err)
		}
		for b, want := range map[int]int64{-2: 1, -1: 1, 0: 2, 1: 1, 7: 1} {
			if got := tt.Bound([]int64{2, 3}, b); got != want {
				t.Errorf("bond %d of a 2 x 3 matrix: bound %d, want %d", b, got, want)
			}
		}
		// All singular values equal: which are kept is arbitrary, how many is not.
		eye, _, err := tt.FromDense(torch.Eye(torch.Float64, torch.CPU, 6, 6), tt.Truncation{MaxRank: 4})
		if err != nil {
			t.Fatal(err)
		}
		if d := eye.Dense().Sub(torch.Eye(torch.Float64, torch.CPU, 6, 6)).Norm().Item(); math.Abs(d-math.Sqrt2) > 1e-12 || eye.Ranks()[0] != 4 {
			t.Errorf("identity of 6 in rank 4: error %v, ranks %v", d, eye.Ranks())
		}
	})
}

// Equal input gives equal bits.
func TestRoundIsDeterministic(t *testing.T) {
	torchtest.Compute(t, func() {
		x := random(t, torch.Float32, []int64{31, 6, 4, 31}, []int64{9, 8, 9})
		a, _, errA := x.Round(tt.Truncation{MaxRank: 5})
		b, _, errB := x.Round(tt.Truncation{MaxRank: 5})
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		for k := range a.Len() {
			if !a.Cores()[k].Equal(b.Cores()[k]) {
				t.Errorf("core %d differs", k)
			}
		}
	})
}

// Whatever the ranks, a rounded train is no longer and no higher than before.
func TestRoundProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 40 {
		torchtest.Compute(t, func() {
			d := 2 + r.IntN(4)
			dims, ranks := make([]int64, d), make([]int64, d-1)
			for k := range dims {
				dims[k] = 1 + r.Int64N(6)
			}
			for b := range ranks {
				ranks[b] = 1 + r.Int64N(7)
			}
			x := random(t, torch.Float64, dims, ranks)
			epsilon := r.Float64()
			y, report, err := x.Round(tt.Truncation{Error: epsilon})
			if err != nil {
				t.Fatal(err)
			}
			distance, err := tt.Distance(x, y)
			if err != nil || distance > epsilon*report.Norm*(1+1e-9) {
				t.Errorf("%v %v: distance %v of %v, allowed %v (%v)", dims, ranks, distance, report.Norm, epsilon, err)
			}
			if y.Norm() > report.Norm*(1+1e-9) || y.Parameters() > x.Parameters() {
				t.Errorf("%v %v: norm %v to %v, parameters %d to %d", dims, ranks, report.Norm, y.Norm(), x.Parameters(), y.Parameters())
			}
		})
	}
}

func TestBadTrains(t *testing.T) {
	torchtest.Compute(t, func() {
		f := func(shape ...int64) *torch.Tensor { return torch.Ones(torch.Float32, torch.CPU, shape...) }
		nan := torch.FromSlice([]float32{1, float32(math.NaN())}, 1, 2, 1)
		for want, cores := range map[string][]*torch.Tensor{
			"no cores":                    nil,
			"core 0 has shape [1 2]":      {f(1, 2)},
			"left rank is not the 3":      {f(1, 2, 3), f(2, 2, 1)},
			"right rank 2, want 1":        {f(1, 2, 2)},
			"a size is 0":                 {f(1, 0, 1)},
			"core 0 is not finite":        {nan},
			"want float32 or float64":     {torch.Ones(torch.BFloat16, torch.CPU, 1, 2, 1)},
			"core 1 is float64 on cpu":    {f(1, 2, 2), torch.Ones(torch.Float64, torch.CPU, 2, 2, 1)},
			"left rank is not the 1 of":   {f(2, 2, 1)},
			"core 1 has shape [2 2 1 1],": {f(1, 2, 2), f(2, 2, 1, 1)},
		} {
			if _, err := tt.New(cores...); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v does not say %q", err, want)
			}
		}
		x, err := tt.New(f(1, 2, 3), f(3, 4, 1))
		if err != nil {
			t.Fatal(err)
		}
		y, _ := tt.New(f(1, 2, 3), f(3, 5, 1))
		if _, err := tt.Add(x, y); err == nil {
			t.Error("sum of different dimensions")
		}
		if _, err := tt.Inner(x, y); err == nil {
			t.Error("inner product of different dimensions")
		}
		if _, err := x.Gauge(1, f(3, 3), f(3, 3)); err == nil {
			t.Error("gauge of a bond that is not there")
		}
		if _, err := x.Gauge(0, f(2, 2), f(2, 2)); err == nil {
			t.Error("gauge of another size")
		}
		for _, tr := range []tt.Truncation{{MaxRank: -1}, {MinRank: 3, MaxRank: 2}, {Cutoff: 1}, {Cutoff: math.NaN()}, {Error: -1}} {
			if _, _, err := x.Round(tr); err == nil {
				t.Errorf("%+v: no error", tr)
			}
		}
		huge, err := tt.New(f(1, 2, 1).MulScalar(1e30), f(1, 2, 1).MulScalar(1e30))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := huge.Round(tt.Truncation{}); err == nil || !strings.Contains(err.Error(), "too large for float32") {
			t.Errorf("overflow: %v", err)
		}
	})
}
