package dmrg

import (
	"fmt"
	"math"

	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/tt"
)

// EnrichOptions say how a tensor train grows.
type EnrichOptions struct {
	Grow int64 // components added to each bond, as far as its bound allows
	// Gradient is ∂L/∂core k of a tensor train, of core k's shape: a mean over training
	// batches.
	Gradient func(x tt.Train, k int) (*torch.Tensor, error)
}

// Enriched is x with more components at each bond and without a change of the
// tensor: the directions in which the loss falls the most among those that the
// bond cannot reach yet (subspace expansion, in physics Hubig et al. 2015).
//
// From the right: with the pair at bond b as one tensor Θ and every other core an
// isometry ([Open]), ∂L/∂Θ loses what the two cores' spaces hold already; of the
// rest, the leading right singular vectors become rows of core b+1 and core b
// gets zero columns for them. Those get a gradient at the next step. The result is
// right canonical to rounding, with zero slices in the core left of each bond.
//
// It returns how many components each bond has got: none where the gradient has
// nothing to tell. It runs inside [torch.Do].
func Enriched(x tt.Train, o EnrichOptions) (tt.Train, []int64, error) {
	added := make([]int64, x.Len()-1)
	for b := x.Len() - 2; b >= 0; b-- {
		opened, err := Open(x, b)
		if err != nil {
			return x, nil, err
		}
		gradient, err := o.Gradient(opened, b)
		if err != nil {
			return x, nil, err
		}
		if n := gradient.Norm().Item(); math.IsNaN(n) || math.IsInf(n, 0) {
			return x, nil, fmt.Errorf("dmrg: the gradient of bond %d has norm %v", b, n)
		}
		// x with its centre at core b: core b+1 is an isometry from the right.
		x = x.Canonical(b)
		cores := x.Cores()
		grow := min(o.Grow, pairBound(x.Dims(), x.Ranks(), b)-x.Ranks()[b])
		if grow < 1 {
			continue
		}
		var columns, rows *torch.Tensor
		torch.NoGrad(func() {
			left, right := cores[b], cores[b+1]
			present := right.Reshape(right.Size(0), -1)      // (r, n r'), orthonormal rows
			g := gradient.Reshape(-1, present.Size(1))       // (l n, n r')
			q := span(left.Reshape(-1, left.Size(2)))        // (l n, k), orthonormal columns
			g = g.Sub(q.MatMul(q.T().MatMul(g)))             // what core b+1 alone could not learn
			g = g.Sub(g.MatMul(present.T()).MatMul(present)) // nor core b
			v := leading(g, grow, gradient.Norm().Item())    // (n r', at most grow)
			// Once more: rounding has left something of the present rows.
			v, _ = v.Sub(present.T().MatMul(present.MatMul(v))).QR()
			grow = v.Size(1)
			rows = v.T().Reshape(grow, right.Size(1), right.Size(2))
			columns = torch.Zeros(left.DType(), left.Device(), left.Size(0), left.Size(1), grow)
		})
		if grow == 0 {
			continue // the loss falls in no direction that the bond cannot reach
		}
		if x, err = x.Widened(b, columns, rows); err != nil {
			return x, nil, err
		}
		added[b] = grow
	}
	return x, added, nil
}

// rounding is what a sum in fp32 cannot tell from zero, relative to its terms.
const rounding = 1e-6

// span is an orthonormal basis of the columns of m (rows, r), (rows, k): without
// those that carry no weight, (rows, 0).
func span(m *torch.Tensor) *torch.Tensor {
	q, r := m.QR()
	u, s, _ := tt.SVD(r)
	return q.MatMul(u.Narrow(1, 0, above(s, rounding*s[0])))
}

// leading is the right singular vectors of m (rows, columns), at most k and of
// those that are more than rounding of terms of size scale: (columns, at most k).
func leading(m *torch.Tensor, k int64, scale float64) *torch.Tensor {
	_, s, v := tt.SVD(m.RFactor())
	return v.Narrow(1, 0, min(k, above(s, rounding*scale)))
}

// above is how many of the falling values are above a floor.
func above(s []float64, floor float64) (n int64) {
	for _, value := range s {
		if value > floor {
			n++
		}
	}
	return n
}
