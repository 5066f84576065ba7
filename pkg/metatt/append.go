package metatt

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/torch"
)

// appended is what is trained of a tensor train whose other tasks are frozen: the last
// task's slice of the task core, and the components by which the bonds beside it
// have grown. With l, r the sizes of those bonds before and k how much they grew,
// the last task's tensor train is
//
//	… [L, left] · slice · [R; right] …
//
// with L (·, n, l) and R (r, m, ·) the frozen neighbours of the task core. The
// other tasks never see left and right: their shapes, and so their bits, are what
// they were.
type appended struct {
	slice *torch.Tensor // (l+k, r+k)
	left  *torch.Tensor // (·, n, k); nil: the bonds have not grown
	right *torch.Tensor // (k, m, ·)
}

// leaves are named after the cores that they are parts of, which are core i and
// its neighbours.
func (a *appended) leaves(i int) []adapter.Parameter {
	p := []adapter.Parameter{{Name: coreName(i) + ".slice", Tensor: a.slice}}
	if a.left != nil {
		p = append(p, adapter.Parameter{Name: coreName(i-1) + ".grown", Tensor: a.left}, adapter.Parameter{Name: coreName(i+1) + ".grown", Tensor: a.right})
	}
	return p
}

func (a *appended) free() {
	for _, t := range []*torch.Tensor{a.slice, a.left, a.right} {
		if t != nil {
			t.Free()
		}
	}
}

// appendTask makes the saved tensor train with one task more.
func appendTask(m adapter.Method, saved *adapter.Saved, how adapter.Appending, device torch.Device) (adapter.Adapter, error) {
	wrong := func(err error) error { return fmt.Errorf("%s: %w", saved.Dir, err) }
	old, err := savedShape(saved.Config)
	if err != nil {
		return nil, wrong(err)
	}
	i, last := old.taskCore(), len(old.tasks)
	ranks, k := slices.Clone(old.ranks), int64(how.Grow)
	ranks[i-1], ranks[i] = ranks[i-1]+k, ranks[i]+k
	s, err := newShape(old.model, old.targets, old.modes, append(slices.Clone(old.tasks), how.Task), ranks)
	if err != nil {
		return nil, wrong(err)
	}
	if k > 0 {
		if err := s.checkBounds(); err != nil {
			return nil, wrong(err)
		}
	}
	couples := old.couples
	if k > 0 && couples == nil {
		couples = slices.Repeat([][2]int64{{old.ranks[i-1], old.ranks[i]}}, last)
	}
	if couples != nil {
		s.couples = append(slices.Clone(couples), [2]int64{ranks[i-1], ranks[i]})
	}
	t := &metaTT{shape: s, method: m, alpha: saved.Config.Alpha, init: saved.Config.Init}
	if err := t.read(saved, old, device); err != nil {
		return nil, err
	}
	err = torch.Do(func() error {
		torch.NoGrad(func() { t.appended = t.begin(i, how) })
		for _, p := range t.appended.leaves(i) {
			p.Tensor.SetRequiresGrad(true)
		}
		return nil
	})
	if err != nil {
		t.Free()
		return nil, wrong(err)
	}
	return t, nil
}

// begin is the start of a task that is appended to the cores, of which i is the
// task core. Components that are new are random, of the size of the neighbour's
// own; the slice's entries for them are zero, so that ΔW starts as how says and
// everything has a gradient from the second step on.
func (t *metaTT) begin(i int, how adapter.Appending) *appended {
	core, left, right := t.cores[i], t.cores[i-1], t.cores[i+1] // (l, T, r)
	l, tasks, r := core.Size(0), core.Size(1), core.Size(2)
	var slice *torch.Tensor
	switch how.Start {
	case adapter.StartZero:
		slice = torch.Zeros(torch.Float32, core.Device(), l, r)
	case adapter.StartMean:
		slice = core.SumDim(1).MulScalar(1 / float64(tasks))
	default:
		slice = core.Select(1, int64(slices.Index(t.tasks, how.Start))).Clone()
	}
	k := int64(how.Grow)
	if k == 0 {
		return &appended{slice: slice.Reshape(l, r).Contiguous().Keep()}
	}
	torch.Seed(how.Seed)
	random := func(like *torch.Tensor, shape ...int64) *torch.Tensor {
		size := like.Norm().Item() / math.Sqrt(float64(like.Numel()))
		if size == 0 { // nothing to compare with
			size = normalSigma
		}
		return torch.Randn(torch.Float32, torch.CPU, shape...).MulScalar(size).To(core.Device()).Keep()
	}
	whole := torch.Zeros(torch.Float32, core.Device(), l+k, r+k)
	whole.Narrow(0, 0, l).Narrow(1, 0, r).CopyFrom(slice)
	return &appended{
		slice: whole.Keep(),
		left:  random(left, left.Size(0), left.Size(1), k),
		right: random(right, k, right.Size(1), right.Size(2)),
	}
}

// freeze takes the last task out of cores that were read whole.
func (t *metaTT) freeze() error {
	i, last := t.taskCore(), len(t.tasks)-1
	l, r := t.ranks[i-1], t.ranks[i]
	if t.couples != nil {
		l, r = 0, 0
		for _, width := range t.couples[:last] {
			l, r = max(l, width[0]), max(r, width[1])
		}
	}
	left, core, right := t.cores[i-1], t.cores[i], t.cores[i+1]
	grownLeft, grownRight := left.Size(2)-l, right.Size(0)-r
	if grownLeft != grownRight {
		return fmt.Errorf("task_ranks %v: bonds before and behind the task core grow by the same", t.couples)
	}
	return torch.Do(func() error {
		torch.NoGrad(func() {
			t.appended = &appended{slice: core.Select(1, int64(last)).Clone().Keep()}
			t.cores[i] = core.Narrow(0, 0, l).Narrow(1, 0, int64(last)).Narrow(2, 0, r).Clone().Keep()
			core.Free()
			if grownLeft > 0 {
				t.appended.left, t.appended.right = left.Narrow(2, l, grownLeft).Clone().Keep(), right.Narrow(0, r, grownRight).Clone().Keep()
				t.cores[i-1], t.cores[i+1] = left.Narrow(2, 0, l).Clone().Keep(), right.Narrow(0, 0, r).Clone().Keep()
				left.Free()
				right.Free()
			}
		})
		for _, p := range t.appended.leaves(i) {
			p.Tensor.SetRequiresGrad(true)
		}
		return nil
	})
}

// whole is the cores as they are on disk: with the appended task, whose bonds the
// other tasks do not couple to.
func (t *metaTT) whole() []*torch.Tensor {
	cores := slices.Clone(t.cores)
	a := t.appended
	if a == nil {
		return cores
	}
	i := t.taskCore()
	torch.NoGrad(func() {
		core := t.cores[i] // (l, T, r)
		l, tasks, r := core.Size(0), core.Size(1), core.Size(2)
		grown := torch.Zeros(torch.Float32, core.Device(), a.slice.Size(0), tasks, a.slice.Size(1))
		grown.Narrow(0, 0, l).Narrow(2, 0, r).CopyFrom(core)
		cores[i] = torch.Cat(1, grown, a.slice.Unsqueeze(1))
		if a.left != nil {
			cores[i-1], cores[i+1] = torch.Cat(2, cores[i-1], a.left), torch.Cat(0, cores[i+1], a.right)
		}
	})
	return cores
}

// ofTask is a task's slice of core i and its neighbours, contiguous: shapes and
// strides, and so bits, do not depend on other tasks.
func (t *metaTT) ofTask(i, task int) (left, slice, right *torch.Tensor) {
	left, right = t.cores[i-1], t.cores[i+1]
	if a := t.appended; a != nil && task == len(t.tasks)-1 {
		if a.left != nil {
			left, right = torch.Cat(2, left, a.left), torch.Cat(0, right, a.right)
		}
		return left, a.slice, right
	}
	slice = t.cores[i].Select(1, int64(task)) // (l, r)
	if t.couples != nil {
		l, r := t.couples[task][0], t.couples[task][1]
		left, slice, right = left.Narrow(2, 0, l).Contiguous(), slice.Narrow(0, 0, l).Narrow(1, 0, r), right.Narrow(0, 0, r)
	}
	return left, slice.Contiguous(), right
}

// checkCouples looks for what is wrong with the tasks' shares of the bonds beside
// the task core, and with tasks that are frozen.
func (s shape) checkCouples(frozen []string) error {
	i := s.taskCore()
	if i < 0 {
		if s.couples != nil || frozen != nil {
			return errors.New("task_ranks and frozen_tasks are for a tensor train with a task mode")
		}
		return nil
	}
	if s.couples != nil && len(s.couples) != len(s.tasks) {
		return fmt.Errorf("task_ranks %v for %d tasks", s.couples, len(s.tasks))
	}
	for _, width := range s.couples {
		if width[0] < 1 || width[0] > s.ranks[i-1] || width[1] < 1 || width[1] > s.ranks[i] {
			return fmt.Errorf("task_ranks %v: of the bonds beside the task core, of ranks %d and %d, each task couples to one component or more", s.couples, s.ranks[i-1], s.ranks[i])
		}
	}
	if n := len(s.couples); n > 0 && (len(frozen) == 0 || s.couples[n-1] != [2]int64{s.ranks[i-1], s.ranks[i]}) {
		return fmt.Errorf("task_ranks %v: the last task couples to all of the ranks %d and %d, and the others are frozen", s.couples, s.ranks[i-1], s.ranks[i])
	}
	if last := len(s.tasks) - 1; len(frozen) > 0 && (last < 1 || !slices.Equal(frozen, s.tasks[:last])) {
		return fmt.Errorf("frozen_tasks %v of the tasks %v: all but the last are frozen, or none", frozen, s.tasks)
	}
	return nil
}

// checkZeros looks for entries by which a task couples to components beyond its
// own: they would be without effect.
func (t *metaTT) checkZeros(couples [][2]int64) error {
	i := t.taskCore()
	return torch.Do(func() (err error) {
		torch.NoGrad(func() {
			for task, width := range couples {
				slice := t.cores[i].Select(1, int64(task))
				padded := torch.Zeros(torch.Float32, slice.Device(), slice.Shape()...)
				padded.Narrow(0, 0, width[0]).Narrow(1, 0, width[1]).CopyFrom(slice.Narrow(0, 0, width[0]).Narrow(1, 0, width[1]))
				if !padded.Equal(slice) {
					err = fmt.Errorf("task_ranks: the slice of task %s couples to more than its %d and %d components", t.tasks[task], width[0], width[1])
				}
			}
		})
		return err
	})
}
