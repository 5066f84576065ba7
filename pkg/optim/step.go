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
// elements of it, in the current scope: 1, or 0 where ‖g‖ is not [Finite], the
// loss (one element; nil: none is looked at) is no number, a value would not be Finite
// afterwards, or one of these was so in an earlier step: from then on values and moments
// stay what they were before it.
func (o *AdamW) Step(lr float64, loss *torch.Tensor, idle func(i int) bool) *torch.Tensor {
	o.Stage(lr, idle)
	return o.Queue(loss)
}

// Stage is what of [AdamW.Step] is the host's: it counts the update and puts its numbers
// on the device, where the next Queue finds them. same: they stand where those of the last
// Stage did, of the same ranges, so that a CUDA graph of a Queue makes this update, too.
func (o *AdamW) Stage(lr float64, idle func(i int) bool) (same bool) {
	torch.NoGrad(func() {
		torch.Scoped(func() { same = o.stage(o.ranges(lr, idle)) })
	})
	return same
}

// Queue is what of [AdamW.Step] is the device's.
func (o *AdamW) Queue(loss *torch.Tensor) *torch.Tensor {
	var outcome *torch.Tensor
	torch.NoGrad(func() {
		torch.Scoped(func() {
			if torch.AdamWServed(o.values.Device()) {
				outcome = o.fused(loss).Escape()
				return
			}
			norm := o.norm()
			o.require(norm, largestNorm)
			if loss != nil {
				o.require(loss.Abs(), math.MaxFloat32)
			}
			u := o.update(norm, o.staged)
			if !(o.reads && u.bounded(norm)) {
				o.require(u.largest(), largestNorm)
			}
			u.make()
			outcome = torch.Stack(0, norm, o.healthy).Escape()
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

// Uncount takes back that the last update, which was refused, was counted.
func (o *AdamW) Uncount(idle func(i int) bool) {
	for i := range o.progress {
		if idle == nil || !idle(i) {
			o.progress[i].Steps--
		}
	}
}

// Overflown names the first parameter that the update last refused would have taken
// beyond what is [Finite]; empty: none. It waits for the device.
func (o *AdamW) Overflown(lr float64, idle func(i int) bool) (name string) {
	o.Uncount(idle) // ranges counts again
	torch.NoGrad(func() {
		torch.Scoped(func() {
			norm := o.norm() // of all, before any is clipped
			for _, i := range o.sequence {
				if idle != nil && idle(i) {
					continue
				}
				spans := o.ranges(lr, func(j int) bool { return j != i })
				spans[0].to = spans[0].from + o.places[i].size
				if u := o.update(norm, staged{spans, o.numbers(spans)}); !Finite(u.largest().Item()) && name == "" {
					name = o.parameters[i].Name
				}
			}
		})
	})
	return name
}

// FirstNotFinite is the place of the first tensor whose norm is not [Finite], or
// -1. It waits for the device. It runs inside [torch.Do].
func FirstNotFinite(tensors []*torch.Tensor) int {
	var places []int
	var norms []*torch.Tensor
	found := -1
	torch.NoGrad(func() {
		torch.Scoped(func() {
			for i, t := range tensors {
				if t.Numel() > 0 {
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
