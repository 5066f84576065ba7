package optim

import (
	"slices"

	"github.com/metatt/metatt/pkg/torch"
)

// staged is the ranges of an update and what they are updated with.
type staged struct {
	spans   []span
	numbers *torch.Tensor // (spans, 5), see [AdamW.numbers]
}

// stage makes them those of the next update.
func (o *AdamW) stage(spans []span) (same bool) {
	numbers, before := o.numbers(spans), o.staged
	o.staged.spans = spans
	same = before.numbers != nil && slices.EqualFunc(before.spans, spans, func(a, b span) bool {
		// Whether values decay at all is no number.
		decays := (a.keep != 1) == (b.keep != 1)
		a.rates, b.rates = rates{}, rates{}
		return decays && a == b
	})
	if same {
		before.numbers.CopyFrom(numbers)
		return true
	}
	before.numbers.Free()
	o.staged.numbers = numbers.Keep()
	return false
}

// unstage forgets them.
func (o *AdamW) unstage() {
	o.staged.numbers.Free()
	o.staged = staged{}
}

// numbers is those of each span, (spans, 5), in one copy to the device: 1 - β₁, 1 - β₂,
// 1 - lr λ, -lr/(1-β₁ᵗ) and 1/√(1-β₂ᵗ).
func (o *AdamW) numbers(spans []span) *torch.Tensor {
	const numbers = 5
	host := make([]float32, 0, numbers*len(spans))
	for _, s := range spans {
		host = append(host, float32(1-o.config.Beta1), float32(1-o.config.Beta2), float32(s.keep), float32(-s.step), float32(s.correct))
	}
	return torch.Upload(host, o.values.Device(), int64(len(spans)), numbers)
}
