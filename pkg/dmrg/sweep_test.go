package dmrg_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/dmrg"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/torch/torchtest"
	"github.com/metatt/metatt/pkg/tt"
)

func random(t *testing.T, dtype torch.DType, dims, ranks []int64) tt.Train {
	t.Helper()
	bonds := slices.Concat([]int64{1}, ranks, []int64{1})
	cores := make([]*torch.Tensor, len(dims))
	for k, n := range dims {
		cores[k] = torch.Randn(dtype, torch.CPU, bonds[k], n, bonds[k+1])
	}
	x, err := tt.New(cores...)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// each runs f on tensor trains of odd shapes and every mode and balance.
func each(t *testing.T, f func(t *testing.T, x tt.Train, mode dmrg.Mode, balance dmrg.Balance)) {
	for i, c := range []struct{ dims, ranks []int64 }{
		{[]int64{5, 9}, []int64{3}},
		{[]int64{11, 1, 3, 7}, []int64{4, 4, 5}},
		{[]int64{13, 3, 2, 13}, []int64{6, 5, 6}},
		{[]int64{7, 4, 3, 2, 5}, []int64{6, 3, 4, 2}},
		{[]int64{3, 5, 4}, []int64{1, 1}},
	} {
		for _, mode := range []dmrg.Mode{dmrg.Canonical, dmrg.Paper} {
			for _, balance := range []dmrg.Balance{dmrg.None, dmrg.Scalar, dmrg.Sqrt} {
				t.Run(fmt.Sprint(c.dims, c.ranks, mode, balance), func(t *testing.T) {
					torchtest.Compute(t, func() {
						torch.Seed(uint64(i))
						f(t, random(t, torch.Float64, c.dims, c.ranks), mode, balance)
					})
				})
			}
		}
	}
}

func TestFullRankSweepsLeaveTheTensor(t *testing.T) {
	each(t, func(t *testing.T, x tt.Train, mode dmrg.Mode, balance dmrg.Balance) {
		for _, dtype := range []torch.DType{torch.Float32, torch.Float64} {
			x := x.To(dtype)
			y, report, err := dmrg.Sweep(x, dmrg.Options{Mode: mode, Truncation: tt.Truncation{}, Balance: balance})
			if err != nil {
				t.Fatal(err)
			}
			dense := x.Dense()
			if d := y.Dense().Sub(dense).Norm().Item(); d > 1e-5*dense.Norm().Item() || report.Error > 1e-5*report.Norm {
				t.Errorf("%s: the tensor changed by %v of %v, reported %v", dtype, d, report.Norm, report.Error)
			}
			for b, bond := range report.Bonds {
				if bond.After != y.Ranks()[b] || bond.Before != x.Ranks()[b] {
					t.Errorf("%s: bond %d: %d to %d, is %d to %d", dtype, b, bond.Before, bond.After, x.Ranks()[b], y.Ranks()[b])
				}
			}
		}
	})
}

// The error that is reported is the one that was made; for canonical sweeps it
// is what was discarded.
func TestTruncatingSweeps(t *testing.T) {
	each(t, func(t *testing.T, x tt.Train, mode dmrg.Mode, balance dmrg.Balance) {
		dense := x.Dense()
		norm := dense.Norm().Item()
		for _, tr := range []tt.Truncation{{MaxRank: 1}, {MaxRank: 2}, {Cutoff: 0.05}} {
			y, report, err := dmrg.Sweep(x, dmrg.Options{Mode: mode, Truncation: tr, Balance: balance})
			if err != nil {
				t.Fatal(err)
			}
			if d := y.Dense().Sub(dense).Norm().Item(); math.Abs(d-report.Error) > 1e-10*norm {
				t.Errorf("%+v: error %v, reported %v", tr, d, report.Error)
			}
			var discarded float64
			for b, bond := range report.Bonds {
				discarded += bond.Discarded
				if tr.MaxRank > 0 && bond.After > tr.MaxRank {
					t.Errorf("%+v: bond %d keeps %d", tr, b, bond.After)
				}
			}
			if mode == dmrg.Canonical && math.Abs(math.Sqrt(discarded)-report.Error) > 1e-10*norm {
				t.Errorf("%+v: discarded %v, error %v", tr, math.Sqrt(discarded), report.Error)
			}
		}
	})
}

func TestBalance(t *testing.T) {
	each(t, func(t *testing.T, x tt.Train, mode dmrg.Mode, balance dmrg.Balance) {
		for _, tr := range []tt.Truncation{{}, {MaxRank: 3}, {Cutoff: 0.05}} {
			y, _, err := dmrg.Sweep(x, dmrg.Options{Mode: mode, Truncation: tr, Balance: balance})
			if err != nil {
				t.Fatal(err)
			}
			balanced(t, y, balance)
		}
	})
}

// balanced checks that y's norm is shared in that way.
func balanced(t *testing.T, y tt.Train, balance dmrg.Balance) {
	t.Helper()
	cores := y.Cores()
	switch balance {
	case dmrg.Scalar:
		for k, core := range cores {
			if n, want := core.Norm().Item(), cores[0].Norm().Item(); math.Abs(n-want) > 1e-9*want {
				t.Errorf("core %d has norm %v, core 0 %v", k, n, want)
			}
		}
	case dmrg.Sqrt:
		// At the ends one side of the bond is one core: its Gram matrix is
		// the bond's singular values.
		spectra, err := y.Spectra()
		if err != nil {
			t.Fatal(err)
		}
		first, last := cores[0], cores[len(cores)-1]
		first, last = first.Reshape(-1, first.Size(2)), last.Reshape(last.Size(0), -1).T()
		for side, m := range map[int]*torch.Tensor{0: first, len(spectra) - 1: last} {
			gram := torch.ToSlice[float64](m.T().MatMul(m).Contiguous())
			s := spectra[side]
			for i := range s {
				for j := range s {
					want := 0.0
					if i == j {
						want = s[i]
					}
					if math.Abs(gram[i*len(s)+j]-want) > 1e-9*s[0] {
						t.Errorf("bond %d: Gram[%d,%d] is %v, want %v", side, i, j, gram[i*len(s)+j], want)
					}
				}
			}
		}
	}
}

// On average the paper's sweep is no better than the canonical one, and with one
// bond they are the same.
func TestCanonicalIsTheBetterOnAverage(t *testing.T) {
	torchtest.Compute(t, func() {
		torch.Seed(8)
		var ratio float64
		const trains = 40
		for range trains {
			x := random(t, torch.Float64, []int64{13, 4, 3, 13}, []int64{6, 6, 6})
			_, c, errC := dmrg.Sweep(x, dmrg.Options{Mode: dmrg.Canonical, Truncation: tt.Truncation{MaxRank: 3}, Balance: dmrg.None})
			_, p, errP := dmrg.Sweep(x, dmrg.Options{Mode: dmrg.Paper, Truncation: tt.Truncation{MaxRank: 3}, Balance: dmrg.None})
			if errC != nil || errP != nil {
				t.Fatal(errC, errP)
			}
			ratio += p.Error / c.Error / trains
		}
		if ratio < 1 {
			t.Errorf("the paper's error is %v of the canonical one", ratio)
		}
		matrix := random(t, torch.Float64, []int64{9, 8}, []int64{8})
		_, c, _ := dmrg.Sweep(matrix, dmrg.Options{Mode: dmrg.Canonical, Truncation: tt.Truncation{MaxRank: 3}, Balance: dmrg.None})
		_, p, _ := dmrg.Sweep(matrix, dmrg.Options{Mode: dmrg.Paper, Truncation: tt.Truncation{MaxRank: 3}, Balance: dmrg.None})
		if math.Abs(c.Error-p.Error) > 1e-10*c.Norm {
			t.Errorf("one bond: paper %v, canonical %v", p.Error, c.Error)
		}
	})
}

// Before training ΔW is zero, but its cores are not: nothing is lost.
func TestZeroTensorIsLeftAlone(t *testing.T) {
	torchtest.Compute(t, func() {
		x, err := tt.New(torch.Zeros(torch.Float32, torch.CPU, 1, 5, 3), torch.Randn(torch.Float32, torch.CPU, 3, 4, 1))
		if err != nil {
			t.Fatal(err)
		}
		for _, mode := range []dmrg.Mode{dmrg.Canonical, dmrg.Paper} {
			y, report, err := dmrg.Sweep(x, dmrg.Options{Mode: mode, Truncation: tt.Truncation{MaxRank: 1}, Balance: dmrg.Sqrt})
			if err != nil || !report.Skipped || !slices.Equal(y.Ranks(), []int64{3}) || !y.Cores()[1].Equal(x.Cores()[1]) {
				t.Errorf("%s: skipped %v, ranks %v, %v", mode, report.Skipped, y.Ranks(), err)
			}
		}
	})
}

func TestSchedule(t *testing.T) {
	s := dmrg.Schedule{MaxDim: []int64{8, 6, 4}, Cutoff: []float64{1e-3}}
	for sweep, want := range []tt.Truncation{{MaxRank: 8, Cutoff: 1e-3}, {MaxRank: 6, Cutoff: 1e-3}, {MaxRank: 4, Cutoff: 1e-3}, {MaxRank: 4, Cutoff: 1e-3}} {
		if got, err := s.Truncation(sweep); err != nil || got != want {
			t.Errorf("sweep %d: %+v (%v), want %+v", sweep, got, err, want)
		}
	}
	if _, err := (dmrg.Schedule{MinDim: []int64{5}, MaxDim: []int64{8, 4}}).Truncation(1); err == nil {
		t.Error("at least 5 but at most 4: no error")
	}
}

// A vector has no bond, and its sweep is told from it being none.
func TestOneCore(t *testing.T) {
	torchtest.Compute(t, func() {
		x := random(t, torch.Float32, []int64{5}, nil)
		for _, mode := range []dmrg.Mode{dmrg.Canonical, dmrg.Paper} {
			y, report, err := dmrg.Sweep(x, dmrg.Options{Mode: mode, Truncation: tt.Truncation{MaxRank: 1}, Balance: dmrg.Sqrt})
			if err != nil || math.Abs(report.Norm-x.Norm()) > 1e-6 || !y.Cores()[0].Equal(x.Cores()[0]) {
				t.Errorf("%s: %+v (%v)", mode, report, err)
			}
			if _, _, err := dmrg.Sweep(tt.Train{}, dmrg.Options{Mode: mode}); err == nil || !strings.Contains(err.Error(), "no cores") {
				t.Errorf("%s of nothing: %v", mode, err)
			}
		}
	})
}

func TestWrongWords(t *testing.T) {
	torchtest.Compute(t, func() {
		for _, ranks := range [][]int64{{}, {0}, {1, 1}} {
			if _, _, err := dmrg.Sweep(random(t, torch.Float32, []int64{3, 4}, []int64{2}), dmrg.Options{Mode: dmrg.Canonical, Ranks: ranks}); err == nil || !strings.Contains(err.Error(), "want one of 1 or more for each of 1 bonds") {
				t.Errorf("ranks %v: %v", ranks, err)
			}
		}
		x := random(t, torch.Float32, []int64{3, 4}, []int64{2})
		if _, _, err := dmrg.Sweep(x, dmrg.Options{Mode: "two-sites", Truncation: tt.Truncation{}, Balance: dmrg.None}); err == nil || !strings.Contains(err.Error(), `"two-sites" is neither canonical nor paper`) {
			t.Errorf("mode: %v", err)
		}
		if _, _, err := dmrg.Sweep(x, dmrg.Options{Mode: dmrg.Paper, Truncation: tt.Truncation{}, Balance: "even"}); err == nil || !strings.Contains(err.Error(), `"even" is none of none, scalar, sqrt`) {
			t.Errorf("balance: %v", err)
		}
	})
}
