package optim

import (
	"math"

	"github.com/metatt/metatt/pkg/torch"
)

// largestNorm is the largest norm of gradients that an update is made with: fp32 holds
// its square, as second moments are squares.
var largestNorm = math.Sqrt(math.MaxFloat32)

// Finite reports whether a norm is one that fp32 can go on from.
func Finite(norm float64) bool { return norm <= largestNorm }

// chunk is the number of elements that the CPU takes through all operations of an
// update at a time: they stay in its cache.
const chunk = 1 << 17

// Step makes one update with the gradients that were added up, at that learning rate;
// a parameter for which idle says so stays as it is, its moments too (nil: none). It
// runs inside [torch.Do]:
//
//	g ← g · min(1, limit / (‖g‖ + 1e-6)), of all parameters' gradients together
//	θ ← θ (1 - lr λ);  m ← β₁m + (1-β₁)g;  v ← β₂v + (1-β₂)g²
//	θ ← θ - lr/(1-β₁ᵗ) · m / (√(v/(1-β₂ᵗ)) + ε)
//
// with t the parameter's own updates, lr times its scale, and times t/w for the
// first w of a parameter that is warmed up anew.
//
// Nothing waits for the device. ‖g‖ and whether the update was made come back as two
// elements of it, kept, for the caller to free: 1, or 0 where ‖g‖ is not [Finite], the
// loss (one element; nil: none is looked at) is no number, a value would not be Finite
// afterwards, or one of these was so in an earlier step: from then on values and moments
// stay what they were before it.
func (o *AdamW) Step(lr float64, loss *torch.Tensor, idle func(i int) bool) *torch.Tensor {
	var outcome *torch.Tensor
	torch.NoGrad(func() {
		torch.Scoped(func() {
			norm := o.norm()
			o.require(norm, largestNorm)
			if loss != nil {
				o.require(loss.Abs(), math.MaxFloat32)
			}
			u := o.update(norm, o.ranges(lr, idle))
			o.require(u.largest(), largestNorm)
			u.make()
			outcome = torch.Stack(0, norm, o.healthy).Keep()
		})
	})
	return outcome
}

// require makes a number of at most limit a condition of this and all later updates.
func (o *AdamW) require(number *torch.Tensor, limit float64) {
	o.healthy.MulInPlace(number.LEScalar(limit).ToDType(torch.Float32))
}

// norm is that of all gradients together.
func (o *AdamW) norm() *torch.Tensor {
	norms := make([]*torch.Tensor, len(o.gradients))
	for i, g := range o.gradients {
		norms[i] = g.NormFloat32()
	}
	if len(norms) == 1 {
		return norms[0]
	}
	return torch.Stack(0, norms...).Norm()
}

// rates are the numbers of an update that are the same for a range of parameters.
type rates struct {
	keep    float64 // 1 - lr λ
	step    float64 // lr/(1-β₁ᵗ)
	correct float64 // 1/√(1-β₂ᵗ)
}

// span is a range of the values, of one dtype of leaves, with its rates.
type span struct {
	rates
	from, to int64
	dtype    int
	start    int64 // of that dtype's values
}

// ranges counts the update of each parameter that is not idle, and gathers those that
// lie side by side and have the same rates.
func (o *AdamW) ranges(lr float64, idle func(i int) bool) []span {
	var spans []span
	for _, i := range o.sequence {
		if idle != nil && idle(i) {
			continue
		}
		p, at := &o.progress[i], o.places[i]
		p.Steps++
		rate := lr * o.scale[i]
		if p.Steps < p.Rewarm {
			rate *= float64(p.Steps) / float64(p.Rewarm)
		}
		correct1, correct2 := o.weights(p.Steps)
		r := rates{keep: 1, step: rate / correct1, correct: 1 / math.Sqrt(correct2)}
		if !o.parameters[i].Undecayed {
			r.keep -= rate * o.config.WeightDecay
		}
		end := at.offset + aligned(at.size)
		if last := len(spans) - 1; last >= 0 && spans[last].rates == r && spans[last].to == at.offset && spans[last].dtype == at.dtype {
			spans[last].to = end
			continue
		}
		spans = append(spans, span{rates: r, from: at.offset, to: end, dtype: at.dtype, start: at.start})
	}
	return spans
}

// update is one step of AdamW with its numbers on the device.
type update struct {
	*AdamW
	clip    *torch.Tensor // factor of the gradients; nil: 1
	clipped bool          // those in fp32 have it already
	spans   []span
	numbers *torch.Tensor // (spans, 5)
}

func (o *AdamW) update(norm *torch.Tensor, spans []span) *update {
	u := &update{AdamW: o, spans: spans}
	if limit := o.config.ClipNorm; limit > 0 {
		const eps = 1e-6 // PyTorch's guard against a zero norm
		u.clip = norm.AddScalar(eps).Reciprocal().MulScalar(limit).AtMost(1)
	}
	// All numbers go up in one copy.
	const numbers = 5
	host := make([]float32, 0, numbers*len(spans))
	for _, s := range spans {
		host = append(host, float32(1-o.config.Beta1), float32(1-o.config.Beta2), float32(s.keep), float32(-s.step), float32(s.correct))
	}
	u.numbers = torch.Upload(host, o.values.Device(), int64(len(spans)), numbers)
	return u
}

// onDevice is the numbers of a span, each of one element.
type onDevice struct {
	weight1, weight2 *torch.Tensor // 1 - β
	keep             *torch.Tensor // 1 - lr λ; nil: 1
	step, correct    *torch.Tensor
}

func (u *update) of(k int) onDevice {
	number := func(i int64) *torch.Tensor { return u.numbers.Select(0, int64(k)).Select(0, i) }
	d := onDevice{weight1: number(0), weight2: number(1), step: number(3), correct: number(4)}
	if u.spans[k].keep != 1 {
		d.keep = number(2)
	}
	return d
}

// guarded is d where all is healthy, else the numbers of an update that changes nothing.
func (u *update) guarded(d onDevice) onDevice {
	d.weight1, d.weight2, d.step = d.weight1.Mul(u.healthy), d.weight2.Mul(u.healthy), d.step.Mul(u.healthy)
	if d.keep != nil {
		d.keep = d.keep.Where(u.healthy.GEScalar(1), u.healthy.ZerosLike().AddScalar(1))
	}
	return d
}

// chunks calls f with the ranges of a span's elements that are worked on together.
func (u *update) chunks(s span, f func(from, n int64)) {
	length := s.to - s.from
	if u.values.Device() == torch.CPU {
		length = chunk
	}
	for from := s.from; from < s.to; from += length {
		torch.Scoped(func() { f(from, min(length, s.to-from)) })
	}
}

// largest is the largest |θ| that the update would come to.
func (u *update) largest() *torch.Tensor {
	all := []*torch.Tensor{u.healthy.ZerosLike()} // also of no span
	for k, s := range u.spans {
		d := u.of(k)
		u.chunks(s, func(from, n int64) { all = append(all, u.next(s, d, from, n).MaxAbs().Escape()) })
	}
	u.clipped = true
	return torch.Stack(0, all...).MaxAbs()
}

// next is the n values from there on as they would be after the update.
func (u *update) next(s span, d onDevice, from, n int64) *torch.Tensor {
	g := u.gradient(s, from, n)
	m := u.first.Narrow(0, from, n).Lerp(g, d.weight1)
	v := u.second.Narrow(0, from, n).Lerp(g.Square(), d.weight2)
	value := u.values.Narrow(0, from, n)
	if d.keep != nil {
		value = value.Mul(d.keep)
	}
	return u.direction(m, v, d).AddInPlace(value)
}

// direction is -lr/(1-β₁ᵗ) · m / (√(v/(1-β₂ᵗ)) + ε).
func (u *update) direction(m, v *torch.Tensor, d onDevice) *torch.Tensor {
	return m.Div(v.Sqrt().MulInPlace(d.correct).AddScalarInPlace(u.config.Eps)).MulInPlace(d.step)
}

// gradient is n elements of the gradient in fp32, clipped: those in fp32 in their place.
func (u *update) gradient(s span, from, n int64) *torch.Tensor {
	stored := u.gradients[s.dtype].Narrow(0, from-s.start, n)
	g := stored.ToDType(torch.Float32)
	if u.clip != nil && !(u.clipped && stored.DType() == torch.Float32) {
		g.MulInPlace(u.clip)
	}
	return g
}

// make changes values and moments.
func (u *update) make() {
	healthy, zero := u.healthy.GEScalar(1), u.healthy.ZerosLike()
	for k, s := range u.spans {
		d := u.guarded(u.of(k))
		u.chunks(s, func(from, n int64) {
			g := u.gradient(s, from, n).Where(healthy, zero) // 0 · ∞ would be no number
			m := u.first.Narrow(0, from, n).LerpByInPlace(g, d.weight1)
			v := u.second.Narrow(0, from, n).LerpByInPlace(g.Square(), d.weight2)
			direction := u.direction(m, v, d).Where(healthy, zero) // 0/0 of an ε that fp32 lacks
			value := u.values.Narrow(0, from, n)
			if d.keep != nil {
				value.MulInPlace(d.keep)
			}
			value.AddInPlace(direction)
		})
	}
}

// Overflown names the first parameter that the update last refused would have taken
// beyond what is [Finite]; empty: none. It waits for the device.
func (o *AdamW) Overflown(lr float64, idle func(i int) bool) (name string) {
	torch.NoGrad(func() {
		torch.Scoped(func() {
			for _, i := range o.sequence {
				if idle != nil && idle(i) {
					continue
				}
				o.progress[i].Steps-- // which ranges counts again
				spans := o.ranges(lr, func(j int) bool { return j != i })
				spans[0].to = spans[0].from + o.places[i].size
				if u := o.update(o.norm(), spans); !Finite(u.largest().Item()) && name == "" {
					name = o.parameters[i].Name
				}
			}
		})
	})
	return name
}

// FirstNotFinite is the place of the first tensor whose norm is not [Finite], or
// -1. Nil tensors are passed over. It waits for the device. It runs inside [torch.Do].
func FirstNotFinite(tensors []*torch.Tensor) int {
	var places []int
	var norms []*torch.Tensor
	found := -1
	torch.NoGrad(func() {
		torch.Scoped(func() {
			for i, t := range tensors {
				if t != nil && t.Numel() > 0 {
					places, norms = append(places, i), append(norms, t.NormFloat32())
				}
			}
			if len(norms) == 0 {
				return
			}
			for i, norm := range torch.ToSlice[float32](torch.Stack(0, norms...)) {
				if !Finite(float64(norm)) {
					found = places[i]
					return
				}
			}
		})
	})
	return found
}
