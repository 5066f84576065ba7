// Package tt is tensor-train algebra (Oseledets 2011; in physics matrix product
// states with open boundaries): canonical forms, bond spectra, truncation, norms.
// It knows nothing of learning.
//
// Everything runs inside [torch.Do], records nothing for autograd, and leaves
// its operands as they are; what it returns belongs to the current scope.
package tt

import (
	"fmt"
	"math"
	"slices"

	"github.com/metatt/metatt/pkg/torch"
)

// Train is a tensor X of shape (n_0 … n_{d-1}) as cores G_k (r_k, n_k, r_{k+1})
// with r_0 = r_d = 1:
//
//	X[i_0 … i_{d-1}] = G_0[:, i_0, :] G_1[:, i_1, :] … G_{d-1}[:, i_{d-1}, :]
//
// Bond b is the one between cores b and b+1. The zero Train, of no cores, stands
// for the number 0.
type Train struct {
	cores  []*torch.Tensor
	gauges []Gauge // of a tracked train, by bond
	// The first left cores are known to be isometries from the left, the last
	// right ones from the right: work that need not be done again.
	left, right int
	// The singular values of X at each bond, where they are known and the bond is in
	// the basis of their vectors; otherwise nil. They stand in the first core that
	// is not known to be an isometry from the left.
	schmidt [][]float64
}

// New makes a train of cores, which stay their owner's. They must fit together,
// be finite, fp32 or fp64, and on one device.
func New(cores ...*torch.Tensor) (Train, error) {
	if len(cores) == 0 {
		return Train{}, fmt.Errorf("tensor train: no cores")
	}
	right := int64(1)
	detached := make([]*torch.Tensor, len(cores))
	for k, core := range cores {
		shape := core.Shape()
		switch {
		case len(shape) != 3:
			return Train{}, fmt.Errorf("tensor train: core %d has shape %v, want (left, n, right)", k, shape)
		case slices.Min(shape) < 1:
			return Train{}, fmt.Errorf("tensor train: core %d has shape %v: a size is 0", k, shape)
		case shape[0] != right:
			return Train{}, fmt.Errorf("tensor train: core %d has shape %v, its left rank is not the %d of the core before", k, shape, right)
		case core.DType() != torch.Float32 && core.DType() != torch.Float64:
			return Train{}, fmt.Errorf("tensor train: core %d is %s, want float32 or float64", k, core.DType())
		case core.DType() != cores[0].DType() || core.Device() != cores[0].Device():
			return Train{}, fmt.Errorf("tensor train: core %d is %s on %s, core 0 %s on %s", k, core.DType(), core.Device(), cores[0].DType(), cores[0].Device())
		}
		right = shape[2]
		detached[k] = core.Detach()
		if largest := detached[k].Abs().Max().Item(); math.IsNaN(largest) || math.IsInf(largest, 0) {
			return Train{}, fmt.Errorf("tensor train: core %d is not finite", k)
		}
	}
	if right != 1 {
		return Train{}, fmt.Errorf("tensor train: the last core has right rank %d, want 1", right)
	}
	return Train{cores: detached}, nil
}

// Cores are the train's, to be read.
func (t Train) Cores() []*torch.Tensor { return slices.Clone(t.cores) }

// Len is d, the number of cores.
func (t Train) Len() int { return len(t.cores) }

// Dims is n_0 … n_{d-1}.
func (t Train) Dims() []int64 {
	dims := make([]int64, len(t.cores))
	for k, core := range t.cores {
		dims[k] = core.Size(1)
	}
	return dims
}

// Ranks is the ranks of the d-1 bonds.
func (t Train) Ranks() []int64 {
	ranks := make([]int64, max(0, len(t.cores)-1))
	for b := range ranks {
		ranks[b] = t.cores[b].Size(2)
	}
	return ranks
}

// Parameters is the number of entries of all cores.
func (t Train) Parameters() int64 {
	var n int64
	for _, core := range t.cores {
		n += core.Numel()
	}
	return n
}

// Bound is the largest rank that bond b of a tensor of these dimensions can
// have: the product of those on the smaller side. It is 1 outside of the train.
func Bound(dims []int64, b int) int64 {
	product := func(dims []int64) int64 {
		n := int64(1)
		for _, d := range dims {
			if d < 1 {
				return 0
			}
			if n > math.MaxInt64/d {
				return math.MaxInt64
			}
			n *= d
		}
		return n
	}
	left := max(0, min(b+1, len(dims)))
	return min(product(dims[:left]), product(dims[left:]))
}

// To is the train in that dtype.
func (t Train) To(dtype torch.DType) Train {
	return t.mapped(func(core *torch.Tensor) *torch.Tensor { return core.ToDType(dtype) })
}

func (t Train) mapped(f func(*torch.Tensor) *torch.Tensor) Train {
	cores := make([]*torch.Tensor, len(t.cores))
	torch.NoGrad(func() {
		for k, core := range t.cores {
			cores[k] = f(core)
		}
	})
	return Train{cores: cores}
}

// with is the train with other cores from k on; its gauges stay.
func (t Train) with(k int, cores ...*torch.Tensor) Train {
	changed := slices.Clone(t.cores)
	copy(changed[k:], cores)
	return Train{cores: changed, gauges: t.gauges, left: min(t.left, k), right: min(t.right, len(changed)-k-len(cores))}
}

// Scale is factor · X, the factor in the first core.
func (t Train) Scale(factor float64) Train {
	if t.Len() == 0 {
		return t
	}
	var scaled Train
	torch.NoGrad(func() { scaled = t.with(0, t.cores[0].MulScalar(factor)) })
	return scaled
}

// Dense is X itself, (n_0 … n_{d-1}).
func (t Train) Dense() *torch.Tensor {
	if t.Len() == 0 {
		return torch.Zeros(torch.Float64, torch.CPU)
	}
	var x *torch.Tensor // (n_0 ⋯ n_k, r)
	torch.NoGrad(func() {
		x = t.cores[0].Reshape(-1, t.cores[0].Size(2))
		for _, core := range t.cores[1:] {
			x = x.MatMul(core.Reshape(core.Size(0), -1)).Reshape(-1, core.Size(2)) // (…, r) x (r, n r')
		}
		x = x.Reshape(t.Dims()...)
	})
	return x
}

// Add is a + b, whose ranks are the sums of theirs.
func Add(a, b Train) (Train, error) {
	if !slices.Equal(a.Dims(), b.Dims()) {
		return Train{}, fmt.Errorf("tensor trains of dimensions %v and %v cannot be added", a.Dims(), b.Dims())
	}
	last := a.Len() - 1
	sum := make([]*torch.Tensor, a.Len())
	torch.NoGrad(func() {
		for k, x := range a.cores {
			y := b.cores[k]
			switch {
			case last == 0:
				sum[k] = x.Add(y)
			case k == 0:
				sum[k] = torch.Cat(2, x, y)
			case k == last:
				sum[k] = torch.Cat(0, x, y)
			default: // block diagonal
				n := x.Size(1)
				zeros := func(left, right int64) *torch.Tensor { return torch.Zeros(x.DType(), x.Device(), left, n, right) }
				sum[k] = torch.Cat(0, torch.Cat(2, x, zeros(x.Size(0), y.Size(2))), torch.Cat(2, zeros(y.Size(0), x.Size(2)), y))
			}
		}
	})
	return Train{cores: sum}, nil
}

// Inner is ⟨a, b⟩ = Σ a[i] b[i], contracted from the left in fp64 without forming
// either.
func Inner(a, b Train) (float64, error) {
	if !slices.Equal(a.Dims(), b.Dims()) {
		return 0, fmt.Errorf("tensor trains of dimensions %v and %v have no inner product", a.Dims(), b.Dims())
	}
	if a.Len() == 0 {
		return 0, nil
	}
	var value float64
	torch.NoGrad(func() {
		e := innerStart(a)
		for k, x := range a.cores {
			e = innerStep(e, x.ToDType(torch.Float64), b.cores[k].ToDType(torch.Float64))
		}
		value = e.Item()
	})
	return value, nil
}

func innerStart(t Train) *torch.Tensor {
	return torch.Ones(torch.Float64, t.cores[0].Device(), 1, 1)
}

// innerStep takes e (r_a, r_b), the product of what is left of two cores, past
// them: (r_a', r_b').
func innerStep(e, x, y *torch.Tensor) *torch.Tensor {
	ey := e.MatMul(y.Reshape(y.Size(0), -1)).Reshape(-1, y.Size(2)) // (r_a n, r_b')
	return x.Reshape(-1, x.Size(2)).T().MatMul(ey)
}

// Norm is ‖X‖, the Frobenius norm, through QR decompositions: unlike √⟨X, X⟩ it
// keeps its relative accuracy when terms of X cancel.
func (t Train) Norm() float64 {
	if t.Len() == 0 {
		return 0
	}
	center := min(t.left, t.Len()-1)
	var norm float64
	torch.NoGrad(func() {
		k := max(center, t.Len()-1-t.right)
		core := t.cores[k] // times all behind it, in an orthonormal basis of those
		for ; k > center; k-- {
			core = timesRight(t.cores[k-1], rightL(core))
		}
		norm = core.Norm().Item()
	})
	return norm
}

// Distance is ‖a − b‖, from inner products, or where those cancel, of trains that
// are nearly equal, through QR decompositions of the difference.
func Distance(a, b Train) (float64, error) {
	if !slices.Equal(a.Dims(), b.Dims()) {
		return 0, fmt.Errorf("tensor trains of dimensions %v and %v have no distance", a.Dims(), b.Dims())
	}
	if a.Len() == 0 {
		return 0, nil
	}
	var aa, ab, bb float64
	torch.NoGrad(func() {
		eaa, eab, ebb := innerStart(a), innerStart(a), innerStart(a)
		for k := range a.cores {
			x, y := a.cores[k].ToDType(torch.Float64), b.cores[k].ToDType(torch.Float64)
			eaa, eab, ebb = innerStep(eaa, x, x), innerStep(eab, x, y), innerStep(ebb, y, y)
		}
		aa, ab, bb = eaa.Item(), eab.Item(), ebb.Item()
	})
	// Sums of fp64 are off by 1e-15 of the largest term or so: of a square of this
	// size, and of its root, six digits are right.
	if square := aa + bb - 2*ab; square > 1e-8*(aa+bb) {
		return math.Sqrt(square), nil
	}
	difference, err := Add(a, b.Scale(-1))
	if err != nil {
		return 0, err
	}
	return difference.Norm(), nil
}

// timesRight is core (l, n, r) times m (r, r'), at its right bond.
func timesRight(core, m *torch.Tensor) *torch.Tensor {
	return core.Reshape(-1, core.Size(2)).MatMul(m).Reshape(core.Size(0), core.Size(1), m.Size(1))
}

// timesLeft is m (l', l) times core (l, n, r), at its left bond.
func timesLeft(m, core *torch.Tensor) *torch.Tensor {
	return m.MatMul(core.Reshape(core.Size(0), -1)).Reshape(m.Size(0), core.Size(1), core.Size(2))
}
