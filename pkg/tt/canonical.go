package tt

import (
	"github.com/metatt/metatt/pkg/torch"
)

// Canonical is X in mixed canonical form with core center in the middle (0 for
// the right canonical form, Len-1 for the left one): cores before it are
// isometries from the left, Σ_{l,n} G[l,n,i] G[l,n,j] = δ_ij, cores behind it
// from the right, and ‖X‖ is the norm of the middle core. A rank that is more
// than the rows of a core that becomes an isometry falls to their number. center
// is clipped to the train.
func (t Train) Canonical(center int) Train {
	center = max(0, min(center, t.Len()-1))
	out := t
	torch.NoGrad(func() {
		for b := t.left; b < center; b++ {
			q, r := leftQR(out.cores[b])
			out = out.at(b, q, timesLeft(r, out.cores[b+1]), func() (x, y *torch.Tensor) { return pseudoInverse(r), r }).leftIsometry(b)
		}
		for b := t.Len() - 2 - out.right; b >= center; b-- {
			l, q := rightLQ(out.cores[b+1])
			out = out.at(b, timesRight(out.cores[b], l), q, func() (x, y *torch.Tensor) { return l, pseudoInverse(l) }).rightIsometry(b + 1)
		}
	})
	return out
}

// leftIsometry is t of which core k is known to be an isometry from the left.
func (t Train) leftIsometry(k int) Train {
	if t.left == k {
		t.left = k + 1
	}
	return t
}

// rightIsometry is t of which core k is known to be an isometry from the right.
func (t Train) rightIsometry(k int) Train {
	if t.Len()-1-t.right == k {
		t.right++
	}
	return t
}

// leftQR is a core (l, n, r) as q (l, n, k), an isometry from the left, times
// r (k, r).
func leftQR(core *torch.Tensor) (q, r *torch.Tensor) {
	q, r = core.Reshape(-1, core.Size(2)).QR()
	return q.Reshape(core.Size(0), core.Size(1), q.Size(1)), r
}

// rightLQ is a core (l, n, r) as l (l, k) times q (k, n, r), an isometry from
// the right.
func rightLQ(core *torch.Tensor) (l, q *torch.Tensor) {
	qt, rt := core.Reshape(core.Size(0), -1).T().QR() // (n r, k), (k, l)
	return rt.T(), qt.T().Reshape(qt.Size(1), core.Size(1), core.Size(2))
}

// leftR is the r of [leftQR] alone.
func leftR(core *torch.Tensor) *torch.Tensor { return core.Reshape(-1, core.Size(2)).RFactor() }

// rightL is the l of [rightLQ] alone.
func rightL(core *torch.Tensor) *torch.Tensor {
	return core.Reshape(core.Size(0), -1).T().RFactor().T()
}

// Spectra is the singular values of each bond, falling: those of X unfolded to
// (n_0 ⋯ n_b, n_{b+1} ⋯ n_{d-1}), as many as the bond has rank. Σ s² is ‖X‖² at
// every bond.
func (t Train) Spectra() ([][]float64, error) {
	_, report, err := t.Round(Truncation{})
	return report.Spectra, err
}

// SVD is the thin singular value decomposition of a small matrix, computed in
// fp64 on the CPU whatever the device: u (m, k), s falling, v (n, k), in the
// matrix's dtype on its device. The largest entry of each column of u is positive,
// so that equal input gives equal output.
func SVD(m *torch.Tensor) (u *torch.Tensor, s []float64, v *torch.Tensor) {
	u64, s64, v64 := m.To(torch.CPU).ToDType(torch.Float64).SVD()
	s = torch.ToSlice[float64](s64)
	rows, columns := int(u64.Size(0)), len(s)
	entries := torch.ToSlice[float64](u64.Contiguous())
	signs := make([]float64, columns)
	for j := range columns {
		largest := 0.0
		for i := range rows {
			if e := entries[i*columns+j]; e*e > largest*largest {
				largest = e
			}
		}
		if signs[j] = 1; largest < 0 {
			signs[j] = -1
		}
	}
	flip := torch.FromSlice(signs)
	back := func(x *torch.Tensor) *torch.Tensor { return x.Mul(flip).ToDType(m.DType()).To(m.Device()) }
	return back(u64), s, back(v64)
}
