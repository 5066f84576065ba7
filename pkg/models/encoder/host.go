package encoder

import (
	"fmt"
	"slices"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/torch"
)

// stem is a backbone as a model and those beside it have it.
type stem struct {
	backbone *Backbone           // with own in the place of what others share
	whole    bool                // nobody shares the backbone: it is freed with the stem
	own      []adapter.Parameter // copies of tensors that others share
	replaced []adapter.Parameter // fp32 originals of what is not the checkpoint's
}

func (s *stem) free() {
	for _, p := range slices.Concat(s.own, s.replaced) {
		p.Tensor.Free()
	}
	if s.whole {
		s.backbone.Free()
	}
}

// Backbone implements [adapter.Backbone]: every tensor that is not the head's.
func (m *Model) Backbone() []adapter.Parameter {
	return slices.DeleteFunc(slices.Clone(m.backbone.weights), func(w adapter.Parameter) bool { return m.head.has(w.Name) })
}

// Projection implements [adapter.Backbone].
func (m *Model) Projection(site adapter.Site) (weight, bias *torch.Tensor) {
	l := m.backbone.layers[site.Layer].projection[site.Kind]
	return l.Weight, l.Bias
}

// Frozen is the number of elements that are not the head's.
func (m *Model) Frozen() int64 { return adapter.Count(m.Backbone()) }

// Own implements [adapter.Backbone]. A tensor that nobody shares is not copied.
func (m *Model) Own(which func(name string) bool) error {
	if m.whole {
		return nil
	}
	fresh := map[*torch.Tensor]*torch.Tensor{}
	var copies []adapter.Parameter
	err := torch.Do(func() error {
		for _, w := range m.Backbone() {
			if which(w.Name) && adapter.Find(w.Name, m.own) == nil {
				copied := w.Tensor.Detach().Clone().Keep()
				fresh[w.Tensor] = copied
				copies = append(copies, adapter.Parameter{Name: w.Name, Tensor: copied})
			}
		}
		return nil
	})
	m.own = append(m.own, copies...) // freed with the model, also after an error
	if err == nil {
		m.stem.backbone = m.backbone.with(fresh)
	}
	return err
}

// Replace puts a tensor of that name's shape in the place of the backbone's: one
// that an adapter's file brings, rounded into the model's dtype. It stays frozen,
// and [Model.Replaced] gives it back as it came. A backbone that others share
// stays as it is.
func (m *Model) Replace(name string, value *torch.Tensor) error {
	weight := adapter.Find(name, m.Backbone())
	if weight == nil {
		return fmt.Errorf("the model has no tensor %s", name)
	}
	if !slices.Equal(weight.Shape(), value.Shape()) {
		return fmt.Errorf("tensor %s has shape %v, the model's %v", name, value.Shape(), weight.Shape())
	}
	if err := m.Own(func(n string) bool { return n == name }); err != nil {
		return err
	}
	return torch.Do(func() error {
		torch.NoGrad(func() {
			adapter.Find(name, m.Backbone()).CopyFrom(value)
			original := value.ToDType(torch.Float32).To(torch.CPU).Clone().Keep()
			if k := slices.IndexFunc(m.replaced, func(r adapter.Parameter) bool { return r.Name == name }); k >= 0 {
				m.replaced[k].Tensor.Free()
				m.replaced[k].Tensor = original
			} else {
				m.replaced = append(m.replaced, adapter.Parameter{Name: name, Tensor: original})
			}
		})
		return nil
	})
}

// Replaced lists the tensors that [Model.Replace] put in the place of the
// checkpoint's, in fp32 on the CPU: they are to be stored with the adapter.
func (m *Model) Replaced() []adapter.Parameter { return m.replaced }

// Original is a new fp32 tensor, of the current scope, with what has replaced the
// backbone's tensor of that name, or what the checkpoint has of it, unrounded. It
// runs inside [torch.Do].
func (m *Model) Original(name string) (*torch.Tensor, error) {
	if t := adapter.Find(name, m.replaced); t != nil {
		return t.Clone(), nil
	}
	weight := adapter.Find(name, m.Backbone())
	if weight == nil {
		return nil, fmt.Errorf("the model has no tensor %s", name)
	}
	stored, ok := m.backbone.stored[name]
	if !ok { // it was made
		return weight.Detach().ToDType(torch.Float32).Clone(), nil
	}
	checkpoint, err := hf.OpenCheckpoint(m.backbone.dir)
	if err != nil {
		return nil, err
	}
	defer checkpoint.Close() // it was only read
	cpu, err := readStored(checkpoint, stored, weight.Shape())
	if err != nil {
		return nil, err
	}
	return cpu.ToDType(torch.Float32), nil
}
