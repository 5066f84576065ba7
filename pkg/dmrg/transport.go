package dmrg

import (
	"fmt"

	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/tt"
)

// Moments is what becomes of Adam's moments of the cores in a sweep.
type Moments string

const (
	// Reset begins them anew, their step count too.
	Reset Moments = "reset"
	// Transport takes them along ([Transported]).
	Transport Moments = "transport"
)

// Moment is Adam's estimates of a core's gradient, both (r, n, r'): without
// correction for their start at zero, the weights that they have gathered so far
// being Weight1 = 1 − β₁ᵗ and Weight2 = 1 − β₂ᵗ.
type Moment struct {
	First, Second    *torch.Tensor // m and v
	Weight1, Weight2 float64
}

// Transported is the moments of the cores that gauges have made of others. For
// G'_k = Y_{k-1} G_k X_k the gradient goes the other way,
//
//	∂L/∂G' = X_{k-1}ᵀ ∂L/∂G Y_kᵀ
//
// and so does its mean, m. Its variance, v less m² once both are corrected, goes
// with squared entries as that of independent numbers would:
//
//	v' = (X∘X)ᵀ max(v − m², 0) (Y∘Y)ᵀ + m'²
//
// Where nothing but rounding comes through, of components that are new or that
// carried nothing, v is the mean of the core's others: next to nothing there would
// make Adam's first step as large as it can be. Moments that have gathered nothing stay nothing. It
// runs inside [torch.Do].
func Transported(gauges []tt.Gauge, moments []Moment) ([]Moment, error) {
	if len(moments) != len(gauges)+1 {
		return nil, fmt.Errorf("dmrg: moments of %d cores with %d bonds", len(moments), len(gauges))
	}
	out := make([]Moment, len(moments))
	torch.NoGrad(func() {
		for k, m := range moments {
			through := func(t *torch.Tensor, squared bool) *torch.Tensor {
				factor := func(g *torch.Tensor) *torch.Tensor {
					g = g.ToDType(t.DType()).To(t.Device())
					if squared {
						g = g.Square()
					}
					return g
				}
				if k > 0 {
					x := factor(gauges[k-1].X).T() // (r', r)
					t = x.MatMul(t.Reshape(t.Size(0), -1)).Reshape(x.Size(0), t.Size(1), t.Size(2))
				}
				if k < len(gauges) {
					y := factor(gauges[k].Y).T() // (r, r')
					t = t.Reshape(-1, t.Size(2)).MatMul(y).Reshape(t.Size(0), t.Size(1), y.Size(1))
				}
				return t
			}
			if m.Weight1 == 0 || m.Weight2 == 0 {
				out[k] = Moment{through(m.First, false), through(m.Second, true), m.Weight1, m.Weight2}
				continue
			}
			mean := m.First.MulScalar(1 / m.Weight1)
			variance := m.Second.MulScalar(1 / m.Weight2).Sub(mean.Square()).ReLU()
			first := through(m.First, false)
			second := through(variance, true).Add(first.MulScalar(1 / m.Weight1).Square()).MulScalar(m.Weight2)
			out[k] = Moment{first, filled(second), m.Weight1, m.Weight2}
		}
	})
	return out, nil
}

// filled is t, squares of gradients, with the mean of the others where it is zero
// or what rounding of the largest gradients leaves in fp32.
func filled(t *torch.Tensor) *torch.Tensor {
	const smallest = 1e-38 // of fp32's normal numbers
	known := t.GEScalar(max(smallest, 1e-14*t.Max().Item())).ToDType(t.DType())
	count := known.Sum().Item()
	if count == 0 || count == float64(t.Numel()) {
		return t
	}
	t = t.Mul(known)
	return t.Add(known.Neg().AddScalar(1).MulScalar(t.Sum().Item() / count))
}
