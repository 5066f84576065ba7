package adapter

import "github.com/metatt/metatt/pkg/torch"

// Merged is a backbone that holds an adapter's updates in its weights, with the
// weights that they took the place of.
type Merged struct {
	weights   []*torch.Tensor // the backbone's
	originals []*torch.Tensor // in the same order; kept
}

// Merge makes W + Deltaᵀ of the weight W (Out, In) of every site of an
// architecture, in fp32 and rounded once into the backbone's dtype: the backbone
// alone is the adapted model then. An adapter for which that cannot be true is an
// error, and nothing is changed. The adapter is not needed any more; the caller
// ends with Unmerge or Free. It runs inside [torch.Do]; where that fails half-way,
// the weights are what they were.
func Merge(a Adapter, model Architecture, backbone Backbone) (*Merged, error) {
	if err := CheckMergeable(a); err != nil {
		return nil, err
	}
	weights := map[string]bool{}
	for layer := range model.Layers {
		for _, kind := range Kinds() {
			weights[model.Module(model.Site(layer, kind))+".weight"] = true
		}
	}
	if err := backbone.Own(func(name string) bool { return weights[name] }); err != nil {
		return nil, err
	}
	m := &Merged{}
	whole := false
	defer func() {
		if !whole {
			m.Unmerge()
		}
	}()
	torch.NoGrad(func() {
		for layer := range model.Layers {
			for _, kind := range Kinds() {
				torch.Scoped(func() {
					site := model.Site(layer, kind)
					delta := a.Delta(site)
					if delta == nil {
						return
					}
					weight, _ := backbone.Projection(site)
					sum := weight.ToDType(torch.Float32).Add(delta.T())
					m.originals = append(m.originals, weight.Clone().Keep())
					m.weights = append(m.weights, weight)
					weight.CopyFrom(sum)
				})
			}
		}
	})
	whole = true
	return m, nil
}

// Unmerge puts the original weights back, bit for bit, and frees what was kept. A
// second call does nothing. It runs inside [torch.Do].
func (m *Merged) Unmerge() {
	torch.NoGrad(func() {
		for i, weight := range m.weights {
			weight.CopyFrom(m.originals[i])
		}
	})
	m.Free()
}

// Free gives the original weights up: the backbone stays merged.
func (m *Merged) Free() {
	for _, original := range m.originals {
		original.Free()
	}
	m.weights, m.originals = nil, nil
}
