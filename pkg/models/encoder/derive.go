package encoder

import (
	"slices"

	"github.com/metatt/metatt/pkg/torch"
)

// with is the backbone with other tensors in the place of some, by what they
// replace. All others are shared, and b is as it was.
func (b *Backbone) with(fresh map[*torch.Tensor]*torch.Tensor) *Backbone {
	derived := *b
	derived.layers, derived.weights = slices.Clone(b.layers), slices.Clone(b.weights)
	if b.pooler != nil {
		pooler := *b.pooler
		derived.pooler = &pooler
	}
	for _, tensor := range derived.tensors() {
		if t, ok := fresh[*tensor]; ok {
			*tensor = t
		}
	}
	return &derived
}

// tensors is every place that holds a tensor.
func (b *Backbone) tensors() []**torch.Tensor {
	all := []**torch.Tensor{&b.word, &b.position, &b.token, &b.norm.weight, &b.norm.bias}
	for i := range b.layers {
		l := &b.layers[i]
		for k := range l.projection {
			all = append(all, &l.projection[k].Weight, &l.projection[k].Bias)
		}
		all = append(all, &l.attentionNorm.weight, &l.attentionNorm.bias, &l.outputNorm.weight, &l.outputNorm.bias)
	}
	if b.pooler != nil {
		all = append(all, &b.pooler.Weight, &b.pooler.Bias)
	}
	for i := range b.weights {
		all = append(all, &b.weights[i].Tensor)
	}
	return all
}
