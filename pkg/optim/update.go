package optim

import (
	"math"

	"github.com/metatt/metatt/pkg/torch"
)

// update is one step of AdamW with its numbers on the device.
type update struct {
	*AdamW
	staged  staged
	clip    *torch.Tensor // factor of the gradients; nil: 1
	clipped bool          // those in fp32 have it already
}

func (o *AdamW) update(norm *torch.Tensor, s staged) *update {
	u := &update{AdamW: o, staged: s}
	if limit := o.config.ClipNorm; limit > 0 {
		const eps = 1e-6 // PyTorch's guard against a zero norm
		u.clip = norm.AddScalar(eps).Reciprocal().MulScalar(limit).AtMost(1)
	}
	return u
}

// onDevice is the numbers of a span, each of one element.
type onDevice struct {
	weight1, weight2 *torch.Tensor // 1 - β
	keep             *torch.Tensor // 1 - lr λ; nil: 1
	step, correct    *torch.Tensor
}

func (u *update) of(k int) onDevice {
	number := func(i int64) *torch.Tensor { return u.staged.numbers.Select(0, int64(k)).Select(0, i) }
	d := onDevice{weight1: number(0), weight2: number(1), step: number(3), correct: number(4)}
	if u.staged.spans[k].keep != 1 {
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

// bounded: whatever the directions of values, moments and gradients, no value comes near
// what is not finite, so that largest, which takes as long as the update, need not be
// asked:
//
//	|θ'| ≤ |1 - lr λ| ‖θ‖ + lr/(1-β₁ᵗ) max(‖m‖, ‖g‖)/ε
//
// It reads numbers of the device.
func (u *update) bounded(norm *torch.Tensor) bool {
	read := torch.ToSlice[float32](torch.Stack(0, norm, u.values.NormFloat32(), u.first.NormFloat32(), u.second.NormFloat32(), u.second.Min()))
	gradient, value, first, second := float64(read[0]), float64(read[1]), float64(read[2]), float64(read[3])
	if least := read[4]; least < 0 {
		return false // √v may be no number
	}
	root := math.Sqrt(max(second, gradient*gradient))
	quotient := max(first, gradient) / float64(float32(u.config.Eps))
	fits := func(x, limit float64) bool { return 2*math.Abs(x) <= limit } // twice: of roundings; NaN does not
	for _, s := range u.staged.spans {
		// A factor that fp32 lacks makes NaN of zeros too.
		for _, x := range []float64{s.keep, s.step, s.correct, s.correct * root, quotient} {
			if !fits(x, math.MaxFloat32) {
				return false
			}
		}
		if !fits(math.Abs(s.keep)*value+math.Abs(s.step)*quotient, largestNorm) {
			return false
		}
	}
	return true
}

// largest is the largest |θ| that the update would come to.
func (u *update) largest() *torch.Tensor {
	all := []*torch.Tensor{u.healthy.ZerosLike()} // also of no span
	for k, s := range u.staged.spans {
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

// make changes values and moments, if all is healthy. Where reading waits for nothing
// that is asked; elsewhere an update that is not to be made changes nothing.
func (u *update) make() {
	numbers, guard := u.of, func(t *torch.Tensor) *torch.Tensor { return t }
	if u.reads {
		if u.healthy.Item() == 0 {
			return
		}
	} else {
		healthy, zero := u.healthy.GEScalar(1), u.healthy.ZerosLike()
		numbers = func(k int) onDevice { return u.guarded(u.of(k)) }
		guard = func(t *torch.Tensor) *torch.Tensor { return t.Where(healthy, zero) }
	}
	for k, s := range u.staged.spans {
		d := numbers(k)
		u.chunks(s, func(from, n int64) {
			g := guard(u.gradient(s, from, n)) // 0 · ∞ would be no number
			m := u.first.Narrow(0, from, n).LerpByInPlace(g, d.weight1)
			v := u.second.Narrow(0, from, n).LerpByInPlace(g.Square(), d.weight2)
			direction := guard(u.direction(m, v, d)) // 0/0 of an ε that fp32 lacks
			value := u.values.Narrow(0, from, n)
			if d.keep != nil {
				value.MulInPlace(d.keep)
			}
			value.AddInPlace(direction)
		})
	}
}
