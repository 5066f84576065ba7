package tt

import (
	"fmt"
	"math"
	"slices"

	"github.com/metatt/metatt/pkg/torch"
)

// Gauge is what happened at one bond: cores b and b+1 became G_b X and Y G_{b+1}
// with X (r, r'), Y (r', r) and Y X = 1. Where r' < r, X Y is the projector onto
// what was kept. A component that carried nothing to the dtype's precision, or is
// new, comes from nothing: its column of X or its row of Y is zero. Both are fp64
// on the CPU.
type Gauge struct{ X, Y *torch.Tensor }

// Tracked is t whose results remember how they came out of it: all that
// [Train.Canonical], [Train.Round], [Train.SplitPair], [Train.Symmetric] and
// [Train.EqualNorms] do to it. It is for those who have other tensors to bring
// along, as an optimizer has its moments.
func (t Train) Tracked() Train {
	gauges := make([]Gauge, max(0, len(t.cores)-1))
	for b, r := range t.Ranks() {
		eye := torch.Eye(torch.Float64, torch.CPU, r, r)
		gauges[b] = Gauge{eye, eye}
	}
	t.gauges = gauges
	return t
}

// Gauges is what was done to a tracked train at each bond: core k is now
// Y_{k-1} G_k X_k of the core G_k that it was. nil for a train that is not
// tracked.
func (t Train) Gauges() []Gauge { return slices.Clone(t.gauges) }

// at is t with other cores at bond b. gauge is called where t is tracked.
func (t Train) at(b int, left, right *torch.Tensor, gauge func() (x, y *torch.Tensor)) Train {
	changed := t.with(b, left, right)
	if t.gauges != nil {
		x, y := gauge()
		changed.gauges = slices.Clone(t.gauges)
		g := &changed.gauges[b]
		g.X, g.Y = g.X.MatMul(exact(x)), exact(y).MatMul(g.Y)
	}
	return changed
}

// exact is a bond's matrix as gauges are computed.
func exact(m *torch.Tensor) *torch.Tensor { return m.To(torch.CPU).ToDType(torch.Float64) }

// pseudoInverse is Moore and Penrose's of a bond's matrix: of what is nothing but
// rounding nothing comes back.
func pseudoInverse(m *torch.Tensor) *torch.Tensor {
	u, s, v := SVD(exact(m))
	return scaleColumns(v, inverses(s, precision(m.DType()))).MatMul(u.T())
}

// inverses is 1/s of falling values, and 0 below floor·s[0].
func inverses(s []float64, floor float64) []float64 {
	inverse := make([]float64, len(s))
	for i, value := range s {
		if value > floor*s[0] {
			inverse[i] = 1 / value
		}
	}
	return inverse
}

// precision is the relative size below which a number of a sum is rounding.
func precision(dtype torch.DType) float64 {
	if dtype == torch.Float32 {
		return 1e-7
	}
	return 1e-15
}

// Gauge inserts x x⁻¹ at bond b, which leaves X as it is: x (r_b, r_b) must be
// well-conditioned, and inverse its inverse.
func (t Train) Gauge(b int, x, inverse *torch.Tensor) (Train, error) {
	if b < 0 || b >= t.Len()-1 {
		return Train{}, fmt.Errorf("tensor train of %d cores has no bond %d", t.Len(), b)
	}
	left, right := t.cores[b], t.cores[b+1]
	for _, m := range []*torch.Tensor{x, inverse} {
		if want := []int64{left.Size(2), left.Size(2)}; !slices.Equal(m.Shape(), want) {
			return Train{}, fmt.Errorf("gauge of bond %d: a matrix of shape %v, want %v", b, m.Shape(), want)
		}
	}
	var changed Train
	torch.NoGrad(func() {
		changed = t.at(b, timesRight(left, x), timesLeft(inverse, right), func() (_, _ *torch.Tensor) { return x, inverse })
	})
	return changed, nil
}

// EqualNorms is X with a factor to each core so that all have the same norm.
// Of a core that is zero there is no such factor: X is returned as it is.
func (t Train) EqualNorms() Train {
	norms := make([]float64, len(t.cores))
	var logs float64
	torch.NoGrad(func() {
		for k, core := range t.cores {
			norms[k] = core.Norm().Item()
			logs += math.Log(norms[k])
		}
	})
	if math.IsInf(logs, 0) || math.IsNaN(logs) {
		return t
	}
	mean := math.Exp(logs / float64(len(norms)))
	out := t
	torch.NoGrad(func() {
		for b := range t.Len() - 1 {
			factor := mean / norms[b] // what core b lacks goes to it, and comes from the next
			norms[b+1] /= factor
			out = out.at(b, out.cores[b].MulScalar(factor), out.cores[b+1].MulScalar(1/factor), func() (x, y *torch.Tensor) {
				r := t.cores[b].Size(2)
				eye := torch.Eye(torch.Float64, torch.CPU, r, r)
				return eye.MulScalar(factor), eye.MulScalar(1 / factor)
			})
		}
	})
	return out
}

// Widened is t with more components at bond b: columns (r_b, n_b, k) behind those
// of core b, and rows (k, n_{b+1}, r_{b+2}) behind those of core b+1. The tensor
// stays what it is where either are zeros. To the gauges of a tracked train the
// new components come from nothing.
func (t Train) Widened(b int, columns, rows *torch.Tensor) (Train, error) {
	if b < 0 || b >= t.Len()-1 {
		return Train{}, fmt.Errorf("tensor train of %d cores has no bond %d", t.Len(), b)
	}
	left, right := t.cores[b], t.cores[b+1]
	if c := columns.Shape(); len(c) != 3 || c[0] != left.Size(0) || c[1] != left.Size(1) {
		return Train{}, fmt.Errorf("bond %d: columns of shape %v for a core of shape %v", b, c, left.Shape())
	}
	r, k := left.Size(2), columns.Size(2)
	if c := rows.Shape(); len(c) != 3 || c[0] != k || c[1] != right.Size(1) || c[2] != right.Size(2) {
		return Train{}, fmt.Errorf("bond %d: %d rows of shape %v for a core of shape %v", b, k, c, right.Shape())
	}
	var wider Train
	torch.NoGrad(func() {
		wider = t.at(b, torch.Cat(2, left, columns), torch.Cat(0, right, rows), func() (x, y *torch.Tensor) {
			x = torch.Eye(torch.Float64, torch.CPU, r, r+k)
			return x, x.T()
		})
	})
	return wider, nil
}
