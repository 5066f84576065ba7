package tt

import (
	"fmt"
	"math"

	"github.com/metatt/metatt/pkg/torch"
)

// Side is where a split leaves the singular values.
type Side int

// The two sides of a bond.
const (
	Left Side = iota
	Right
)

// Split is what splitting a pair did.
type Split struct {
	Spectrum  []float64 // of the pair, falling
	Kept      int64
	Discarded float64 // Σ s² that was dropped
}

// SplitPair multiplies cores b and b+1 and splits the product again by a
// truncated singular value decomposition, the singular values on the given side:
// one step of a DMRG sweep. The truncation is the best one of the pair; of the
// tensor it is that where the other cores are isometries towards the pair.
// tr.Error is of the pair's norm. The product is never formed: QR of both cores
// leaves a matrix of the bond's size.
func (t Train) SplitPair(b int, tr Truncation, side Side) (Train, Split, error) {
	if err := tr.Check(); err != nil {
		return Train{}, Split{}, err
	}
	if b < 0 || b >= t.Len()-1 {
		return Train{}, Split{}, fmt.Errorf("tensor train of %d cores has no bond %d", t.Len(), b)
	}
	var out Train
	var split Split
	var err error
	torch.NoGrad(func() {
		q, p := t.cores[b], t.cores[b+1]
		eye := torch.Eye(q.DType(), q.Device(), q.Size(2), q.Size(2))
		r, l := eye, eye
		if b >= t.left {
			q, r = leftQR(q)
		}
		if b+1 < t.Len()-t.right {
			l, p = rightLQ(p)
		}
		m := r.MatMul(l)
		if norm := m.Norm().Item(); math.IsNaN(norm) || math.IsInf(norm, 0) {
			err = fmt.Errorf("tensor train: the norm of pair %d is %v: the entries are too large for %s", b, norm, m.DType())
			return
		}
		floor := precision(m.DType())
		u, s, v := SVD(m)
		var total float64
		for _, value := range s {
			total += value * value
		}
		kept := tr.keep(s, tr.Error*tr.Error*total)
		split.Spectrum, split.Kept = s, int64(kept)
		for _, value := range s[kept:] {
			split.Discarded += value * value
		}
		s = s[:kept]
		u, v = u.Narrow(1, 0, int64(kept)), v.Narrow(1, 0, int64(kept))
		us, vs := u, v
		if side == Left {
			us = scaleColumns(u, s)
		} else {
			vs = scaleColumns(v, s)
		}
		// r l = u s vᵀ: G_b l v = q u s, and uᵀ r G_{b+1} = s vᵀ p.
		out = t.at(b, timesRight(q, us), timesLeft(vs.T(), p), func() (x, y *torch.Tensor) {
			x, y = exact(l).MatMul(exact(v)), exact(u).T().MatMul(exact(r))
			if side == Left {
				return x, scaleColumns(y.T(), inverses(s, floor)).T()
			}
			return scaleColumns(x, inverses(s, floor)), y
		})
		if side == Left {
			out = out.rightIsometry(b + 1)
		} else {
			out = out.leftIsometry(b)
		}
	})
	return out, split, err
}

// scaleColumns is m diag(s).
func scaleColumns(m *torch.Tensor, s []float64) *torch.Tensor {
	return m.Mul(torch.FromSlice(s).ToDType(m.DType()).To(m.Device()))
}

// Symmetric is X with the root of each bond's singular values on either side of
// it: S_{k-1}^{1/2} Γ_k S_k^{1/2} in Vidal's notation, where X = Γ_0 S_0 Γ_1 S_1 …
// A singular value that is zero to the dtype's precision counts as the smallest
// that is not, so that both sides stay finite and the tensor what it is.
func (t Train) Symmetric() (Train, error) {
	out, report, err := t.Round(Truncation{}) // left canonical
	if err != nil {
		return Train{}, err
	}
	if report.Norm == 0 {
		return t, nil
	}
	torch.NoGrad(func() {
		floor := precision(t.cores[0].DType())
		roots := make([][]float64, out.Len()-1)
		for b := out.Len() - 2; b >= 0; b-- {
			l, p := rightLQ(out.cores[b+1])
			u, s, v := SVD(l)
			us := scaleColumns(u, s)
			out = out.at(b, timesRight(out.cores[b], us), timesLeft(v.T(), p), func() (x, y *torch.Tensor) {
				return us, scaleColumns(exact(u), inverses(s, floor)).T()
			}).rightIsometry(b + 1)
			roots[b] = make([]float64, len(s))
			for i, value := range s {
				roots[b][i] = math.Sqrt(max(value, floor*s[0]))
			}
		}
		// Core k is Γ_k S_k now.
		for b, root := range roots {
			eye := torch.Eye(torch.Float64, t.cores[0].Device(), int64(len(root)), int64(len(root))).ToDType(t.cores[0].DType())
			x, y := scaleColumns(eye, inverses(root, 0)), scaleColumns(eye, root)
			out = out.at(b, timesRight(out.cores[b], x), timesLeft(y, out.cores[b+1]), func() (_, _ *torch.Tensor) { return x, y })
		}
	})
	return out, nil
}
