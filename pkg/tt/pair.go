package tt

import (
	"fmt"
	"math"
	"slices"

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
	// Dropped is what the tensor was more than it is: t = result + Dropped. The
	// train of no cores where everything was kept.
	Dropped Train
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
		g, h := t.cores[b], t.cores[b+1]
		eye := torch.Eye(g.DType(), g.Device(), g.Size(2), g.Size(2))
		q, r, l, p := g, eye, eye, h // g = q r, h = l p; of q and p only that one which becomes the isometry
		switch {
		case b < t.left:
		case side == Right:
			q, r = leftQR(g)
		default:
			r = leftR(g)
		}
		switch {
		case b+1 >= t.Len()-t.right:
		case side == Left:
			l, p = rightLQ(h)
		default:
			l = rightL(h)
		}
		m := r.MatMul(l)
		if norm := m.Norm().Item(); math.IsNaN(norm) || math.IsInf(norm, 0) {
			err = fmt.Errorf("tensor train: the norm of pair %d is %v: the entries are too large for %s", b, norm, m.DType())
			return
		}
		u, s, v := SVD(m)
		split.Spectrum, split.Kept = s, int64(tr.keep(s, tr.Error*tr.Error*Weight(s)))
		split.Discarded = Weight(s[split.Kept:])
		// part is of with n of the pair's singular values.
		part := func(of Train, from, n int64) Train {
			u, v := u.Narrow(1, from, n), v.Narrow(1, from, n)
			gauge := func() (x, y *torch.Tensor) {
				x, y = exact(l).MatMul(exact(v)), exact(u).T().MatMul(exact(r))
				inverse := inverses(s[from:from+n], precision(m.DType()))
				if side == Left {
					return x, scaleColumns(y.T(), inverse).T()
				}
				return scaleColumns(x, inverse), y
			}
			if side == Right { // s vᵀ p = uᵀ r h
				return of.at(b, timesRight(q, u), timesLeft(u.T().MatMul(r), h), gauge).leftIsometry(b)
			}
			return of.at(b, timesRight(g, l.MatMul(v)), timesLeft(v.T(), p), gauge).rightIsometry(b + 1) // q u s = g l v
		}
		out = part(t, 0, split.Kept)
		rest := int64(len(s)) - split.Kept
		if b <= t.left && b+2 >= t.Len()-t.right { // all other cores are isometries: s is the tensor's
			out.schmidt = make([][]float64, t.Len()-1)
			if rest == 0 {
				copy(out.schmidt, t.schmidt)
			}
			out.schmidt[b] = s[:split.Kept]
		}
		if rest > 0 {
			untracked := t
			untracked.gauges = nil
			split.Dropped = part(untracked, split.Kept, rest)
		}
	})
	return out, split, err
}

// scaleColumns is m diag(s).
func scaleColumns(m *torch.Tensor, s []float64) *torch.Tensor {
	return m.Mul(vector(s, m))
}

// vector is s of like's dtype, on its device.
func vector(s []float64, like *torch.Tensor) *torch.Tensor {
	return torch.FromSlice(s).ToDType(like.DType()).To(like.Device())
}

// Symmetric is X with the root of each bond's singular values on either side of
// it: S_{k-1}^{1/2} Γ_k S_k^{1/2} in Vidal's notation, where X = Γ_0 S_0 Γ_1 S_1 …
// A singular value that is zero to the dtype's precision counts as the smallest
// that is not, so that both sides stay finite and the tensor what it is.
func (t Train) Symmetric() (Train, error) {
	out := t
	if unknown := func(s []float64) bool { return s == nil }; t.schmidt == nil || slices.ContainsFunc(t.schmidt, unknown) {
		if t.left > t.right { // rounding begins with the isometries that are there
			out, err := t.reversed().Symmetric()
			return out.reversed(), err
		}
		var err error
		if out, _, err = t.Round(Truncation{}); err != nil {
			return Train{}, err
		}
	}
	spectra, center := out.schmidt, min(out.left, out.Len()-1)
	if len(spectra) > 0 && spectra[0][0] == 0 { // X is zero
		return t, nil
	}
	torch.NoGrad(func() {
		floor := precision(t.cores[0].DType())
		for b, s := range spectra {
			roots := make([]float64, len(s))
			for i, value := range s {
				roots[i] = math.Sqrt(max(value, floor*s[0]))
			}
			// Core k is S_{k-1} Γ_k up to the centre and Γ_k S_k from there.
			first, second := roots, inverses(roots, 0)
			if b >= center {
				first, second = second, first
			}
			left := out.cores[b].Mul(vector(first, out.cores[b]))
			right := out.cores[b+1].Mul(vector(second, out.cores[b]).Reshape(-1, 1, 1))
			out = out.at(b, left, right, func() (x, y *torch.Tensor) {
				eye := torch.Eye(torch.Float64, torch.CPU, int64(len(s)), int64(len(s)))
				return scaleColumns(eye, first), scaleColumns(eye, second)
			})
		}
	})
	return out, nil
}

// reversed is t with its modes in the other order.
func (t Train) reversed() Train {
	out := Train{cores: make([]*torch.Tensor, len(t.cores)), left: t.right, right: t.left}
	torch.NoGrad(func() {
		for k, core := range t.cores {
			out.cores[len(t.cores)-1-k] = core.Permute(2, 1, 0)
		}
		out.gauges = slices.Clone(t.gauges)
		slices.Reverse(out.gauges)
		for b, g := range out.gauges {
			out.gauges[b] = Gauge{X: g.Y.T(), Y: g.X.T()}
		}
	})
	return out
}
