package encoder

import (
	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/torch"
)

// join makes query, key and value of each layer parts of one tensor (3·hidden, hidden),
// so that they are one product: their own tensors are views of it.
func (b *Backbone) join() error {
	return torch.Do(func() error {
		for i := range b.layers {
			l := &b.layers[i]
			hidden := b.architecture.Hidden
			weights, biases := torch.Empty(b.dtype, b.device, 3*hidden*hidden), torch.Empty(b.dtype, b.device, 3*hidden)
			for k, kind := range adapter.Joined {
				l.projection[kind].Weight.MoveInto(weights, int64(k)*hidden*hidden)
				l.projection[kind].Bias.MoveInto(biases, int64(k)*hidden)
			}
			l.joined = &Linear{weights.Reshape(3*hidden, hidden).Keep(), biases.Keep()}
		}
		return nil
	})
}

// together is query, key and value as one layer: of the tensor that they are parts of, as
// long as they are and it is frozen, else of a copy of them. So they are one product
// whatever is trained or has taken their place, and frozen ones give the same bits.
func (l *layer) together() Linear {
	side := func(of func(Linear) *torch.Tensor) *torch.Tensor {
		whole, parts, together := of(*l.joined), make([]*torch.Tensor, len(adapter.Joined)), true
		offset := int64(0)
		for i, kind := range adapter.Joined {
			parts[i] = of(l.projection[kind])
			together = together && !parts[i].RequiresGrad() && parts[i].Aliases(whole, offset)
			offset += parts[i].Numel()
		}
		if together {
			return whole
		}
		return torch.Cat(0, parts...)
	}
	return Linear{side(func(l Linear) *torch.Tensor { return l.Weight }), side(func(l Linear) *torch.Tensor { return l.Bias })}
}

// free releases the joined tensors.
func (l *layer) free() {
	if l.joined != nil {
		l.joined.Weight.Free()
		l.joined.Bias.Free()
	}
}
