package dmrg

import (
	"fmt"
	"math"
	"slices"

	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/tt"
)

// Stack is many tensor trains of the same modes and ranks at once, core k of shape
// (tensor trains, r_k, n_k, r_{k+1}): those of one weight matrix in all layers.
type Stack []*torch.Tensor

// NewStack makes a stack of cores, which stay their owner's; each tensor train must be
// one ([tt.New]).
func NewStack(cores []*torch.Tensor) (Stack, error) {
	if len(cores) == 0 || len(cores[0].Shape()) != 4 || cores[0].Size(0) < 1 {
		return nil, fmt.Errorf("dmrg: a stack of no tensor trains")
	}
	s := make(Stack, len(cores))
	for k, core := range cores {
		s[k] = core.Detach()
		if n := len(core.Shape()); n != 4 || core.Size(0) != cores[0].Size(0) {
			return nil, fmt.Errorf("dmrg: core %d of a stack has shape %v, want (%d, left, n, right)", k, core.Shape(), cores[0].Size(0))
		}
	}
	for i := range s.count() {
		if _, err := s.at(i); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s Stack) count() int64 {
	if len(s) == 0 {
		return 0
	}
	return s[0].Size(0)
}

// at is one of them.
func (s Stack) at(i int64) (tt.Train, error) {
	cores := make([]*torch.Tensor, len(s))
	torch.NoGrad(func() {
		for k, core := range s {
			cores[k] = core.Detach().Select(0, i)
		}
	})
	return tt.New(cores...)
}

// SweepStacks truncates every tensor train of every stack to one rank for all of their
// bonds, as methods have whose tensor trains share it: the largest that a bond needs by
// the cutoff, that the budget of all entries together has room for. The report
// has a bond for each of each stack, whose singular values are the roots of the
// squares' sums over its tensor trains. Tensor trains that are narrower are filled up with
// zeros; where all are zero, nothing is done. probe is the loss with such stacks,
// for o.Tol; o.Probe is not called. It runs inside [torch.Do].
func SweepStacks(stacks []Stack, o Options, probe func([]Stack) (float64, error)) ([]Stack, Report, error) {
	if o.Ranks != nil {
		return nil, Report{}, fmt.Errorf("dmrg: tensor trains that share one rank have no limit for each bond")
	}
	if err := o.Check(); err != nil {
		return nil, Report{}, err
	}
	if o.Error != 0 {
		return nil, Report{}, fmt.Errorf("dmrg: tensor trains that share one rank have no bound on the error of all bonds together")
	}
	for _, s := range stacks {
		if len(s) == 0 {
			return nil, Report{}, fmt.Errorf("dmrg: a stack of no tensor trains")
		}
	}
	rank, most, err := o.sharedRank(stacks)
	if err != nil {
		return nil, Report{}, err
	}
	if probe == nil || o.Tol == 0 {
		return sweptTo(stacks, rank, o)
	}
	loss, err := probed(probe, stacks)
	if err != nil {
		return nil, Report{}, err
	}
	for undone := 0; ; undone++ {
		swept, report, err := sweptTo(stacks, rank, o)
		if err != nil || report.Skipped {
			return swept, report, err
		}
		after, err := probed(probe, swept)
		if err != nil {
			return nil, report, err
		}
		report.Probe = &Probe{Before: loss, After: after, Undone: undone}
		if after <= loss+o.Tol || rank == most {
			return swept, report, nil
		}
		rank += (most - rank + 1) / 2
	}
}

// sweptTo is the stacks truncated to one rank.
func sweptTo(stacks []Stack, rank int64, o Options) ([]Stack, Report, error) {
	o.Truncation, o.Budget = tt.Truncation{MaxRank: rank}, 0
	var report Report
	var squares, errors float64
	swept := make([]Stack, len(stacks))
	for s, stack := range stacks {
		bonds := make([]Bond, len(stack)-1)
		var weights [][]float64 // Σ s² of each bond
		all := make([]tt.Train, stack.count())
		for i := range all {
			x, err := stack.at(int64(i))
			if err != nil {
				return nil, report, err
			}
			y, r, err := truncate(x, o)
			if err != nil {
				return nil, report, err
			}
			if r.Skipped { // a zero tensor train keeps the first of its directions
				all[i], err = narrowed(x, rank)
			} else {
				all[i], err = Balanced(y, o.Balance)
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
		torch.NoGrad(func() { swept[s] = stacked(all, rank) })
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

// sharedRank is the rank that all bonds of all tensor trains get, and the largest one
// that they have and the budget allows.
func (o Options) sharedRank(stacks []Stack) (rank, most int64, err error) {
	rank = max(o.MinRank, 1)
	for _, stack := range stacks {
		for i := range stack.count() {
			x, err := stack.at(i)
			if err != nil {
				return 0, 0, err
			}
			for _, r := range x.Ranks() {
				most = max(most, r)
			}
			if o.Cutoff == 0 {
				continue
			}
			spectra, err := x.Spectra()
			if err != nil {
				return 0, 0, err
			}
			for _, s := range spectra {
				rank = max(rank, o.Keep(s))
			}
		}
	}
	if o.Cutoff == 0 {
		rank = most
	}
	if o.MaxRank > 0 {
		rank = min(rank, o.MaxRank)
	}
	for ; o.Budget > 0 && StackEntries(stacks, most) > o.Budget; most-- {
		if most <= max(1, o.MinRank) {
			return 0, 0, fmt.Errorf("dmrg: budget %d: the tensor trains have %d entries at rank %d", o.Budget, StackEntries(stacks, most), most)
		}
	}
	return min(rank, most), most, nil
}

// StackEntries is the number of entries of stacks whose bonds have all that rank.
func StackEntries(stacks []Stack, rank int64) (n int64) {
	for _, stack := range stacks {
		dims := make([]int64, len(stack))
		for k, core := range stack {
			dims[k] = core.Size(2)
		}
		n += stack.count() * Entries(dims, slices.Repeat([]int64{rank}, max(0, len(stack)-1)))
	}
	return n
}

// stacked is the tensor trains as one stack of that rank at every bond.
func stacked(all []tt.Train, rank int64) Stack {
	var stack Stack
	last := all[0].Len() - 1
	for k := range all[0].Len() {
		cores := make([]*torch.Tensor, len(all))
		for i, x := range all {
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
