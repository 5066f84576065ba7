package lora

import (
	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/torch"
)

// magnitude is what DoRA has beside a pair: it keeps the direction of each row
// of W + sBA and trains its length m.
type magnitude struct {
	length *torch.Tensor // m (Out), trained
	fresh  bool          // m is still to be set, to the lengths of W's rows

	weight, bias *torch.Tensor // the model's
	squares      *torch.Tensor // ‖W‖² by rows, fp32 (Out)
}

func (m *magnitude) free() {
	m.length.Free()
	m.squares.Free()
}

// measure takes the weight W that the lengths are of. It runs in a scope.
func (m *magnitude) measure(weight *torch.Tensor) {
	m.weight = weight
	m.squares = weight.Detach().ToDType(torch.Float32).Square().SumDim(1).Keep()
}

// dora is pairs with magnitudes. It reads the weights of its sites.
type dora struct{ *lowRank }

// Bind implements [adapter.Bound]: a fresh m is the lengths of W's rows.
func (l dora) Bind(b adapter.Backbone) error {
	torch.NoGrad(func() {
		for _, p := range l.sites {
			m := p.magnitude
			weight, bias := b.Projection(p.site)
			m.bias = bias
			torch.Scoped(func() {
				m.measure(weight)
				if m.fresh {
					m.length.CopyFrom(m.squares.Sqrt())
					m.fresh = false
				}
			})
		}
	})
	return nil
}

// gain is m/‖W + sBA‖ by rows, (Out). The norm is a constant for autograd, as
// section 4.3 of the paper has it. It is worked out as
//
//	‖w + b A‖² = ‖w‖² + 2 w·(b A) + ‖b A‖²  of each row, b a row of s B,
//
// so that no matrix of W's size is made.
func (p *pair) gain() *torch.Tensor {
	var norm *torch.Tensor
	torch.NoGrad(func() {
		up, down := p.up.MulScalar(p.scale), p.down
		// w·(b A) = (w Aᵀ)·b; a bf16 W is multiplied as it is stored.
		cross := p.weight.Linear(down.ToDType(p.weight.DType()), nil).ToDType(torch.Float32).Mul(up).SumDim(1)
		own := up.MatMul(down.MatMul(down.T())).Mul(up).SumDim(1)
		norm = p.squares.Add(cross.MulScalar(2)).Add(own).Sqrt()
		norm = norm.Add(norm.LEScalar(0).ToDType(norm.DType())) // of a row of zeros, as pruning leaves them: 0/0 else
	})
	return p.length.Div(norm)
}

// rescale changes the frozen output y = x Wᵀ + b in place to x Wᵀ ∘ g + b and
// returns g ∘ up, for g = m/‖W + sBA‖. With dropout, read is not what y was
// computed from, and PEFT lets W read it too.
func (p *pair) rescale(y *torch.Tensor, dropped bool, read, up *torch.Tensor) *torch.Tensor {
	gain := p.gain()
	var product *torch.Tensor // x Wᵀ, (tokens, Out)
	if dropped {
		product = read.Linear(p.weight, nil)
	} else {
		product = y.Sub(p.bias)
	}
	// Adding (g-1) x Wᵀ leaves y bit for bit where g is 1, as it is at the start.
	y.AddProductInPlace(product, gain.AddScalar(-1).ToDType(y.DType()))
	return up.Mul(gain.Unsqueeze(1))
}

// rescaledDelta is ((g-1) ∘ W + g ∘ sBA)ᵀ, (In, Out).
func (p *pair) rescaledDelta() *torch.Tensor {
	gain := p.gain() // (Out), over the columns
	return p.weight.ToDType(torch.Float32).T().Mul(gain.AddScalar(-1)).Add(p.product().Mul(gain))
}
