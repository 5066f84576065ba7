package dmrg_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/metatt/metatt/pkg/dmrg"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/torch/torchtest"
	"github.com/metatt/metatt/pkg/tt"
)

// numpyCase is a random tensor train and what parity/trains.py makes of it, from the
// definitions and on dense tensors.
type numpyCase struct {
	Dims, Ranks      []int64
	Kept             int64
	Cores            [][]float64
	Norm             float64
	Spectra          [][]float64
	Canonical, Paper struct {
		Dense, Discarded []float64
		Error            float64
	}
	Budget      int64
	BudgetRanks []int64 `json:"budget_ranks"`
	Gradient    []float64
	Grown       []float64 // projector onto the direction that the last bond gets
}

func (c numpyCase) train(t *testing.T, dtype torch.DType) tt.Train {
	t.Helper()
	bonds := slices.Concat([]int64{1}, c.Ranks, []int64{1})
	cores := make([]*torch.Tensor, len(c.Dims))
	for k, n := range c.Dims {
		cores[k] = torch.FromSlice(c.Cores[k], bonds[k], n, bonds[k+1]).ToDType(dtype)
	}
	x, err := tt.New(cores...)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestAgreesWithNumPy(t *testing.T) {
	text, err := os.ReadFile("testdata/numpy.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []numpyCase
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		for dtype, tolerance := range map[torch.DType]float64{torch.Float32: torchtest.Default, torch.Float64: 1e-10} {
			t.Run(fmt.Sprint(c.Dims, c.Ranks, dtype), func(t *testing.T) {
				torchtest.Compute(t, func() { c.check(t, dtype, tolerance) })
			})
		}
	}
}

func (c numpyCase) check(t *testing.T, dtype torch.DType, tolerance float64) {
	x := c.train(t, dtype)
	spectra, err := x.Spectra()
	if err != nil {
		t.Fatal(err)
	}
	for b, want := range c.Spectra {
		torchtest.Close(t, fmt.Sprintf("spectrum %d", b), spectra[b][:len(want)], want, tolerance)
	}
	for mode, want := range map[dmrg.Mode]struct {
		Dense, Discarded []float64
		Error            float64
	}{dmrg.Canonical: c.Canonical, dmrg.Paper: c.Paper} {
		y, report, err := dmrg.Sweep(x, dmrg.Options{Mode: mode, Truncation: tt.Truncation{MaxRank: c.Kept}})
		if err != nil {
			t.Fatal(err)
		}
		torchtest.Close(t, string(mode), torchtest.Values(y.Dense()), want.Dense, tolerance)
		if math.Abs(report.Norm-c.Norm) > tolerance*c.Norm || math.Abs(report.Error-want.Error) > tolerance*c.Norm {
			t.Errorf("%s: error %v of norm %v, want %v of %v", mode, report.Error, report.Norm, want.Error, c.Norm)
		}
		for b, bond := range report.Bonds {
			if d := bond.Discarded - want.Discarded[b]; math.Abs(d) > tolerance*c.Norm*c.Norm {
				t.Errorf("%s: %v discarded at bond %d, want %v", mode, bond.Discarded, b, want.Discarded[b])
			}
		}
	}
	y, _, err := dmrg.Sweep(x.Canonical(0).Canonical(x.Len()-1), dmrg.Options{Mode: dmrg.Canonical, Budget: c.Budget})
	if err != nil || !slices.Equal(y.Ranks(), c.BudgetRanks) {
		t.Errorf("budget %d: ranks %v, want %v (%v)", c.Budget, y.Ranks(), c.BudgetRanks, err)
	}
	if dtype != torch.Float64 {
		return // the gradients below are taken in fp64
	}
	gradient := torch.FromSlice(c.Gradient)
	grown, added, err := dmrg.Enriched(x, dmrg.EnrichOptions{Grow: 1, Gradient: func(y tt.Train, k int) (*torch.Tensor, error) { return gradients(y, gradient)[k], nil }})
	if err != nil {
		t.Fatal(err)
	}
	last := grown.Cores()[grown.Len()-1]
	if b := len(added) - 1; added[b] == 1 {
		v := last.Narrow(0, last.Size(0)-1, 1).Reshape(1, -1)
		torchtest.Close(t, "direction of the last bond", torchtest.Values(v.T().MatMul(v)), c.Grown, 1e-9)
	} else {
		t.Errorf("bond %d did not grow", b)
	}
}
