package dmrg

import (
	"fmt"
	"math"

	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/tt"
)

// Stack is many trains of the same modes and ranks at once, core k of shape
// (trains, r_k, n_k, r_{k+1}): those of one weight matrix in all layers.
type Stack []*torch.Tensor

// NewStack makes a stack of cores, which stay their owner's; each train must be
// one ([tt.New]).
func NewStack(cores []*torch.Tensor) (Stack, error) {
	s := Stack(cores)
	for k, core := range cores {
		if n := len(core.Shape()); n != 4 || core.Size(0) != cores[0].Size(0) {
			return nil, fmt.Errorf("dmrg: core %d of a stack has shape %v, want (%d, left, n, right)", k, core.Shape(), cores[0].Size(0))
		}
	}
	for i := range s.trains() {
		if _, err := s.train(i); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s Stack) trains() int64 {
	if len(s) == 0 {
		return 0
	}
	return s[0].Size(0)
}

// train is one of them.
func (s Stack) train(i int64) (tt.Train, error) {
	cores := make([]*torch.Tensor, len(s))
	torch.NoGrad(func() {
		for k, core := range s {
			cores[k] = core.Detach().Select(0, i)
		}
	})
	return tt.New(cores...)
}

// SweepStacks truncates every train of every stack to one rank for all of their
// bonds, as methods have whose trains share it. A cutoff gives the smallest rank
// that drops no more than it from any bond; of a budget the caller makes a
// MaxRank. The report has a bond for each of each stack, whose singular values
// and weights are the roots of their squares' sums over the trains. Trains
// that are narrower are filled up with zeros.
func SweepStacks(stacks []Stack, o Options) ([]Stack, Report, error) {
	if o.Ranks != nil || o.Budget != 0 {
		return nil, Report{}, fmt.Errorf("dmrg: trains that share one rank have no limit for each bond")
	}
	rank, err := sharedRank(stacks, o.Truncation)
	if err != nil {
		return nil, Report{}, err
	}
	o.Truncation = tt.Truncation{MaxRank: rank}
	var report Report
	var squares, errors float64
	swept := make([]Stack, len(stacks))
	for s, stack := range stacks {
		bonds := make([]Bond, len(stack)-1)
		var weights [][]float64 // Σ s² of each bond
		trains := make([]tt.Train, stack.trains())
		for i := range trains {
			x, err := stack.train(int64(i))
			if err != nil {
				return nil, report, err
			}
			y, r, err := truncate(x, o)
			if err != nil {
				return nil, report, err
			}
			if r.Skipped { // a zero train keeps the first of its directions
				trains[i], err = narrowed(x, rank)
			} else {
				trains[i], err = Balanced(y, o.Balance)
			}
			if err != nil {
				return nil, report, err
			}
			squares += r.Norm * r.Norm
			errors += r.Error * r.Error
			if weights == nil {
				weights = make([][]float64, len(bonds))
			}
			for b, bond := range r.Bonds {
				bonds[b].Before, bonds[b].After = bond.Before, rank
				bonds[b].Discarded += bond.Discarded
				for n, value := range bond.Spectrum {
					if n == len(weights[b]) {
						weights[b] = append(weights[b], 0)
					}
					weights[b][n] += value * value
				}
			}
		}
		for b, w := range weights {
			for _, square := range w {
				bonds[b].Spectrum = append(bonds[b].Spectrum, math.Sqrt(square))
			}
		}
		report.Bonds = append(report.Bonds, bonds...)
		torch.NoGrad(func() { swept[s] = stacked(trains, rank) })
	}
	report.Norm, report.Error = math.Sqrt(squares), math.Sqrt(errors)
	if report.Norm == 0 {
		report.Skipped = true
		for b := range report.Bonds {
			report.Bonds[b].After = report.Bonds[b].Before
		}
		return stacks, report, nil
	}
	return swept, report, nil
}

// narrowed is x with the first components of every bond.
func narrowed(x tt.Train, rank int64) (tt.Train, error) {
	cores := x.Cores()
	torch.NoGrad(func() {
		for k, core := range cores {
			left, right := min(rank, core.Size(0)), min(rank, core.Size(2))
			cores[k] = core.Narrow(0, 0, left).Narrow(2, 0, right)
		}
	})
	return tt.New(cores...)
}

// sharedRank is the rank that all bonds of all trains get: the largest that one
// of them needs, within the truncation and no larger than before.
func sharedRank(stacks []Stack, tr tt.Truncation) (int64, error) {
	var rank, before int64
	for _, stack := range stacks {
		for i := range stack.trains() {
			x, err := stack.train(i)
			if err != nil {
				return 0, err
			}
			for _, r := range x.Ranks() {
				before = max(before, r)
			}
			if tr.Cutoff == 0 {
				continue
			}
			spectra, err := x.Spectra()
			if err != nil {
				return 0, err
			}
			for _, s := range spectra {
				rank = max(rank, tr.Keep(s))
			}
		}
	}
	if tr.Cutoff == 0 {
		rank = before
	}
	rank = min(max(rank, tr.MinRank, 1), before)
	if tr.MaxRank > 0 {
		rank = min(rank, tr.MaxRank)
	}
	return rank, nil
}

// stacked is the trains as one stack of that rank at every bond.
func stacked(trains []tt.Train, rank int64) Stack {
	var stack Stack
	last := trains[0].Len() - 1
	for k := range trains[0].Len() {
		cores := make([]*torch.Tensor, len(trains))
		for i, x := range trains {
			core := x.Cores()[k]
			if k > 0 {
				core = padded(core, 0, rank)
			}
			if k < last {
				core = padded(core, 2, rank)
			}
			cores[i] = core
		}
		stack = append(stack, torch.Stack(0, cores...))
	}
	return stack
}

// padded is t with zeros up to size along dim.
func padded(t *torch.Tensor, dim int, size int64) *torch.Tensor {
	shape := t.Shape()
	if shape[dim] >= size {
		return t
	}
	shape[dim] = size - shape[dim]
	return torch.Cat(dim, t, torch.Zeros(t.DType(), t.Device(), shape...))
}
