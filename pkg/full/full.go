// Package full trains the backbone itself, the upper end of every comparison:
// all of its tensors (full fine-tuning), or its biases alone (BitFit,
// arXiv 2106.10199).
package full

import (
	"fmt"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/adapter/setting"
	"github.com/metatt/metatt/pkg/torch"
)

// method is which tensors are trained.
type method struct {
	name, peftType string
	trains         func(name string) bool
}

func init() {
	for _, m := range []struct {
		method
		summary string
	}{
		{method{"full", "FULL", func(string) bool { return true }}, "every tensor of the backbone"},
		{method{"bitfit", "BITFIT", func(name string) bool { return strings.HasSuffix(name, ".bias") }}, "every bias of the backbone; arXiv 2106.10199"},
	} {
		adapter.Register(adapter.Method{
			Name: m.name, Summary: m.summary, PEFTType: m.peftType, Settings: setting.Declaration{Idle: []string{"rank", "budget", "alpha", "targets"}},
			New: func(s adapter.Spec) (adapter.Adapter, error) {
				return &trainer{method: m.method, model: s.Architecture}, nil
			},
			Open: m.open,
		})
	}
}

// trainer holds fp32 masters of the backbone's tensors. Where the model is
// fp32 they are the model's tensors themselves.
type trainer struct {
	method
	model   adapter.Architecture
	saved   []adapter.Parameter // what a file had, until it is put into the model
	masters []adapter.Parameter
	leaves  []*torch.Tensor // the model's
}

func (m method) open(s *adapter.Saved, device torch.Device) (adapter.Adapter, error) {
	t := &trainer{method: m, model: s.Config.Architecture()}
	for _, name := range s.Names() {
		if !strings.HasPrefix(name, t.model.ModelType+".") || !m.trains(name) || s.Config.Pooler && strings.HasPrefix(name, t.model.ModelType+".pooler.") {
			continue // the head's
		}
		tensor, err := s.Tensor(name, device, s.Shape(name)...)
		if err != nil {
			t.Free()
			return nil, err
		}
		t.saved = append(t.saved, adapter.Parameter{Name: name, Tensor: tensor})
	}
	if t.saved == nil {
		return nil, fmt.Errorf("%s: no tensor of the backbone is in it", s.Dir)
	}
	return t, nil
}

// Bind implements [adapter.Bound]. What was saved goes into the model.
func (t *trainer) Bind(b adapter.Backbone) error {
	if err := b.Own(t.trains); err != nil {
		return err
	}
	saved := map[string]*torch.Tensor{}
	for _, p := range t.saved {
		saved[p.Name] = p.Tensor
	}
	var trained []adapter.Parameter
	for _, p := range b.Backbone() {
		if !t.trains(p.Name) {
			continue
		}
		trained = append(trained, p)
		value, ok := saved[p.Name]
		switch {
		case t.saved == nil:
		case !ok:
			return fmt.Errorf("%s: tensor %s is missing", t.name, p.Name)
		case !slices.Equal(value.Shape(), p.Tensor.Shape()):
			return fmt.Errorf("%s: tensor %s has shape %v, the model's %v", t.name, p.Name, value.Shape(), p.Tensor.Shape())
		}
	}
	for _, p := range t.saved {
		if !slices.ContainsFunc(trained, func(t adapter.Parameter) bool { return t.Name == p.Name }) {
			return fmt.Errorf("%s: the model has no tensor %s", t.name, p.Name)
		}
	}
	// Nothing is changed before everything is known to fit.
	torch.NoGrad(func() {
		for _, p := range trained {
			master := p.Tensor
			if master.DType() != torch.Float32 {
				master = master.ToDType(torch.Float32).Keep()
			}
			if value, ok := saved[p.Name]; ok {
				master.CopyFrom(value)
			}
			t.masters = append(t.masters, adapter.Parameter{Name: p.Name, Tensor: master})
			t.leaves = append(t.leaves, p.Tensor.SetRequiresGrad(true))
		}
	})
	t.freeSaved()
	t.Publish()
	return nil
}

// Leaves implements [adapter.BackboneTrainer].
func (t *trainer) Leaves() []*torch.Tensor { return t.leaves }

// Publish implements [adapter.BackboneTrainer].
func (t *trainer) Publish() {
	torch.NoGrad(func() {
		for i, p := range t.masters {
			if p.Tensor != t.leaves[i] {
				t.leaves[i].CopyFrom(p.Tensor)
			}
		}
	})
}

// Config implements [adapter.Adapter].
func (t *trainer) Config() adapter.Config {
	c := adapter.Config{FormatVersion: adapter.FormatVersion, PEFTType: t.peftType, Method: t.name}
	c.SetArchitecture(t.model)
	return c
}

// Parameters implements [adapter.Adapter].
func (t *trainer) Parameters() []adapter.Parameter { return t.masters }

// Begin implements [adapter.Adapter]: the model is the adapter.
func (t *trainer) Begin(adapter.Step) adapter.Pass { return t }

// ApplyJoined implements [adapter.JoinedPass].
func (t *trainer) ApplyJoined(_ int, _, frozen *torch.Tensor) *torch.Tensor { return frozen }

// Apply implements [adapter.Pass].
func (t *trainer) Apply(_ []adapter.Site, _ *torch.Tensor, frozen []*torch.Tensor) []*torch.Tensor {
	return frozen
}

// Delta implements [adapter.Adapter]: nothing is added to the model's weights.
func (t *trainer) Delta(adapter.Site) *torch.Tensor { return nil }

// Free implements [adapter.Adapter]. The model keeps what it learned.
func (t *trainer) Free() {
	t.freeSaved()
	for i, p := range t.masters {
		if p.Tensor != t.leaves[i] {
			p.Tensor.Free()
		}
	}
	t.masters, t.leaves = nil, nil
}

func (t *trainer) freeSaved() {
	for _, p := range t.saved {
		p.Tensor.Free()
	}
	t.saved = nil
}
