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

// stackOf is tensor trains of those dimensions, all bonds of one rank.
func stackOf(t *testing.T, trains int, dims []int64, rank int64) (dmrg.Stack, []tt.Train) {
	t.Helper()
	all := make([]tt.Train, trains)
	cores := make([][]*torch.Tensor, len(dims))
	for i := range all {
		all[i] = random(t, torch.Float64, dims, slices.Repeat([]int64{rank}, len(dims)-1))
		for k, core := range all[i].Cores() {
			cores[k] = append(cores[k], core)
		}
	}
	stacked := make([]*torch.Tensor, len(dims))
	for k := range stacked {
		stacked[k] = torch.Stack(0, cores[k]...)
	}
	s, err := dmrg.NewStack(stacked)
	if err != nil {
		t.Fatal(err)
	}
	return s, all
}

// Every tensor train of a stack is truncated as it would be alone, to one rank for all.
func TestSweepStacks(t *testing.T) {
	torchtest.Compute(t, func() {
		torch.Seed(2)
		a, trainsA := stackOf(t, 3, []int64{4, 3, 5}, 3)
		b, trainsB := stackOf(t, 3, []int64{3, 7, 2, 4}, 3)
		for _, mode := range []dmrg.Mode{dmrg.Canonical, dmrg.Paper} {
			o := dmrg.Options{Mode: mode, Truncation: tt.Truncation{MaxRank: 2}}
			swept, report, err := dmrg.SweepStacks([]dmrg.Stack{a, b}, o, nil)
			if err != nil {
				t.Fatal(err)
			}
			var squares, errors float64
			for s, trains := range [][]tt.Train{trainsA, trainsB} {
				for i, x := range trains {
					y, r, err := dmrg.Sweep(x, o)
					if err != nil {
						t.Fatal(err)
					}
					squares, errors = squares+r.Norm*r.Norm, errors+r.Error*r.Error
					for k, core := range y.Cores() {
						close(t, string(mode), swept[s][k].Select(0, int64(i)), core, 1e-12)
					}
				}
			}
			if math.Abs(report.Norm-math.Sqrt(squares)) > 1e-9 || math.Abs(report.Error-math.Sqrt(errors)) > 1e-9 || len(report.Bonds) != 5 {
				t.Errorf("%s: error %v of norm %v at %d bonds, want %v of %v at 5", mode, report.Error, report.Norm, len(report.Bonds), math.Sqrt(errors), math.Sqrt(squares))
			}
			var first float64
			for _, s := range report.Bonds[0].Spectrum {
				first += s * s
			}
			if mode == dmrg.Canonical {
				var want float64
				for _, x := range trainsA {
					want += x.Norm() * x.Norm()
				}
				if math.Abs(first-want) > 1e-9*want {
					t.Errorf("a bond of the first stack weighs %v, its tensor trains %v", first, want)
				}
			}
		}
	})
}

// A cutoff gives the rank that the neediest tensor train needs; the others are filled up.
func TestStacksShareOneRank(t *testing.T) {
	torchtest.Compute(t, func() {
		torch.Seed(4)
		low, trains := stackOf(t, 2, []int64{5, 3, 6}, 1)
		high, _ := stackOf(t, 2, []int64{5, 3, 6}, 2)
		cores := make([]*torch.Tensor, 3) // a stack of ranks 1 and 2, written with 3
		for k := range cores {
			core := func(s dmrg.Stack, i int64) *torch.Tensor {
				x := s[k].Select(0, i)
				for dim, wanted := range map[int]bool{0: k > 0, 2: k < 2} {
					if wanted {
						shape := x.Shape()
						shape[dim] = 3 - shape[dim]
						x = torch.Cat(dim, x, torch.Zeros(torch.Float64, torch.CPU, shape...))
					}
				}
				return x
			}
			cores[k] = torch.Stack(0, core(low, 0), core(high, 1))
		}
		mixed, err := dmrg.NewStack(cores)
		if err != nil {
			t.Fatal(err)
		}
		swept, report, err := dmrg.SweepStacks([]dmrg.Stack{mixed}, dmrg.Options{Mode: dmrg.Canonical, Truncation: tt.Truncation{Cutoff: 1e-12}, Balance: dmrg.Sqrt}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := swept[0][1].Shape(); !slices.Equal(got, []int64{2, 2, 3, 2}) || report.Error > 1e-10*report.Norm {
			t.Errorf("core of shape %v, error %v", got, report.Error)
		}
		x, err := tt.New(swept[0][0].Select(0, 0), swept[0][1].Select(0, 0), swept[0][2].Select(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		close(t, "the narrower tensor train", x.Dense(), trains[0].Dense(), 1e-10)

		zero, _ := stackOf(t, 2, []int64{5, 3, 6}, 2)
		zero[2] = zero[2].MulScalar(0)
		same, report, err := dmrg.SweepStacks([]dmrg.Stack{zero}, dmrg.Options{Mode: dmrg.Paper, Truncation: tt.Truncation{MaxRank: 1}}, nil)
		if err != nil || !report.Skipped || !same[0][0].Equal(zero[0]) {
			t.Errorf("before training: skipped %v, %v", report.Skipped, err)
		}
		half := dmrg.Stack{zero[0], zero[1], torch.Stack(0, zero[2].Select(0, 0), zero[2].Select(0, 1).AddScalar(1))}
		swept, _, err = dmrg.SweepStacks([]dmrg.Stack{half}, dmrg.Options{Mode: dmrg.Canonical, Truncation: tt.Truncation{MaxRank: 1}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !swept[0][0].Select(0, 0).Equal(zero[0].Select(0, 0).Narrow(2, 0, 1)) {
			t.Error("a tensor train that is zero lost its directions")
		}
	})
}

// A budget lowers the shared rank, a probe that sees it raises it again.
func TestStacksWithinBudgetAndProbe(t *testing.T) {
	torchtest.Compute(t, func() {
		torch.Seed(9)
		s, _ := stackOf(t, 2, []int64{5, 3, 6}, 4)
		o := dmrg.Options{Mode: dmrg.Canonical, Budget: 2 * (5*2 + 2*3*2 + 2*6)}
		swept, _, err := dmrg.SweepStacks([]dmrg.Stack{s}, o, nil)
		if err != nil || swept[0][1].Size(1) != 2 {
			t.Fatalf("rank %d (%v), the budget is that of 2", swept[0][1].Size(1), err)
		}
		ranks := func(stacks []dmrg.Stack) (float64, error) { return -float64(stacks[0][1].Size(1)), nil }
		o.Tol = 1.5 // of a loss that is minus the rank: one rank may be lost
		if swept, _, err = dmrg.SweepStacks([]dmrg.Stack{s}, o, ranks); err != nil || swept[0][1].Size(1) != 2 {
			t.Errorf("rank %d (%v): the budget holds whatever the probe says", swept[0][1].Size(1), err)
		}
		o.Budget, o.MaxRank = 0, 2
		swept, report, err := dmrg.SweepStacks([]dmrg.Stack{s}, o, ranks)
		if err != nil || swept[0][1].Size(1) != 3 || report.Probe.Undone != 1 || report.Probe.Before != -4 || report.Probe.After != -3 {
			t.Errorf("rank %d, probe %+v (%v)", swept[0][1].Size(1), report.Probe, err)
		}
	})
}

func TestWrongStacks(t *testing.T) {
	torchtest.Compute(t, func() {
		s, _ := stackOf(t, 2, []int64{3, 4}, 2)
		if _, err := dmrg.NewStack([]*torch.Tensor{s[0], s[1].Narrow(0, 0, 1)}); err == nil || !strings.Contains(err.Error(), "want (2, left, n, right)") {
			t.Errorf("stacks of 2 and of 1: %v", err)
		}
		if _, err := dmrg.NewStack([]*torch.Tensor{s[0], s[1].Narrow(1, 0, 1)}); err == nil {
			t.Error("ranks that do not fit together")
		}
		if _, _, err := dmrg.SweepStacks([]dmrg.Stack{s}, dmrg.Options{Mode: dmrg.Canonical, Budget: 13}, nil); err == nil || !strings.Contains(err.Error(), "have 14 entries at rank 1") {
			t.Errorf("a budget that no rank meets: %v", err)
		}
		if _, _, err := dmrg.SweepStacks([]dmrg.Stack{s}, dmrg.Options{Mode: dmrg.Canonical, Ranks: []int64{1}}, nil); err == nil {
			t.Error("a rank for each bond")
		}
		if _, _, err := dmrg.SweepStacks([]dmrg.Stack{s}, dmrg.Options{Mode: dmrg.Canonical, Truncation: tt.Truncation{Error: 0.1}}, nil); err == nil || !strings.Contains(err.Error(), "error") {
			t.Errorf("a bound on the error: %v", err)
		}
		if _, _, err := dmrg.SweepStacks([]dmrg.Stack{{}}, dmrg.Options{Mode: dmrg.Canonical}, nil); err == nil || !strings.Contains(err.Error(), "no tensor trains") {
			t.Errorf("no tensor trains: %v", err)
		}
		if n := dmrg.StackEntries([]dmrg.Stack{{}, s}, 1); n != 14 {
			t.Errorf("%d entries at rank 1", n)
		}
		if _, _, err := dmrg.SweepStacks([]dmrg.Stack{s}, dmrg.Options{Mode: dmrg.Enrich}, nil); err == nil {
			t.Error("a mode that is no truncation")
		}
	})
}
