// Package factored is what methods have in common whose ΔW is a product of a few
// small tensors: checking what was asked for, making and reading the tensors,
// describing them, and computing with shared or separate factors. A method of
// this sort is a [Form] and a call of [Register].
package factored

import (
	"errors"
	"fmt"
	"slices"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/torch"
)

// Settings is what decides the form of an adapter, a fresh one or a saved one.
type Settings struct {
	Architecture adapter.Architecture
	Targets      []adapter.Kind // in order; not empty, no kind twice
	Rank         int64          // at least 1
	TTRank       int64          // 0: the method's choice
	Alpha        float64
}

// Leaf is one trainable tensor of a form.
type Leaf struct {
	Name  string // on disk
	Shape []int64
	Start Start
}

// Form is a method with settings that are legal for it; its every ΔW is exactly
// a LoRA. Tensors come in the order of Leaves.
type Form interface {
	Leaves() []Leaf
	// Begin is [adapter.Adapter.Begin].
	Begin(tensors []*torch.Tensor, step adapter.Step) adapter.Pass
	// Factors is [adapter.Factored.Factors] of a site whose kind is a target.
	Factors(tensors []*torch.Tensor, site adapter.Site) (in, out *torch.Tensor)
}

// TTRanked is a form with trains inside its factors.
type TTRanked interface {
	Form
	TTRank() int64 // that was asked for, or the method's choice
}

// Register adds a method. plan checks the settings without making a tensor.
func Register(m adapter.Method, plan func(Settings) (Form, error)) {
	m.New = func(spec adapter.Spec) (adapter.Adapter, error) { return fresh(m, plan, spec) }
	m.Open = func(saved *adapter.Saved, device torch.Device) (adapter.Adapter, error) {
		return open(m, plan, saved, device)
	}
	m.Count = func(spec adapter.Spec) int64 { return count(m, plan, spec) }
	adapter.Register(m)
}

// product is an adapter: a form and its tensors.
type product struct {
	method   adapter.Method
	settings Settings
	form     Form
	leaves   []Leaf
	tensors  []*torch.Tensor
}

func newProduct(m adapter.Method, plan func(Settings) (Form, error), s Settings) (*product, error) {
	s.Targets = slices.Clone(s.Targets)
	if err := s.check(); err != nil {
		return nil, err
	}
	form, err := plan(s)
	if err != nil {
		return nil, err
	}
	if t, ok := form.(TTRanked); ok {
		s.TTRank = t.TTRank()
	} else if s.TTRank != 0 {
		return nil, fmt.Errorf("tt_rank %d: %s has no trains inside its factors", s.TTRank, m.Name)
	}
	return &product{method: m, settings: s, form: form, leaves: form.Leaves()}, nil
}

// check looks for what is wrong with any method.
func (s *Settings) check() error {
	if len(s.Targets) == 0 {
		return errors.New("no targets")
	}
	for i, kind := range s.Targets {
		if !slices.Contains(adapter.Kinds(), kind) {
			return fmt.Errorf("target %s does not exist", kind)
		}
		if slices.Contains(s.Targets[:i], kind) {
			return fmt.Errorf("target %s is listed twice", kind)
		}
	}
	a := s.Architecture
	if a.Hidden < 1 || a.Layers < 1 || a.Intermediate < 1 {
		return fmt.Errorf("a model of %s has nothing to adapt", a)
	}
	if s.Rank < 1 {
		return fmt.Errorf("rank %d: it is at least 1", s.Rank)
	}
	return nil
}

func asked(spec adapter.Spec) Settings {
	return Settings{
		Architecture: spec.Architecture, Targets: spec.Targets, Rank: int64(spec.Rank), TTRank: int64(spec.TTRank), Alpha: spec.Alpha,
	}
}

// count is the sum of the leaves' sizes; 0 where the spec is wrong.
func count(m adapter.Method, plan func(Settings) (Form, error), spec adapter.Spec) int64 {
	p, err := newProduct(m, plan, asked(spec))
	if err != nil {
		return 0
	}
	var total int64
	for _, leaf := range p.leaves {
		size := int64(1)
		for _, n := range leaf.Shape {
			size *= n
		}
		total += size
	}
	return total
}

func fresh(m adapter.Method, plan func(Settings) (Form, error), spec adapter.Spec) (adapter.Adapter, error) {
	wrong := func(err error) error { return fmt.Errorf("%s: %w", m.Name, err) }
	switch {
	case spec.Init != "":
		return nil, wrong(fmt.Errorf("init %q: the method has one start and no notation for others", spec.Init))
	case spec.Ranks != nil:
		return nil, wrong(fmt.Errorf("ranks %v: the method has one rank, not one for each bond", spec.Ranks))
	case len(spec.Tasks) > 0:
		return nil, wrong(fmt.Errorf("tasks %v: the method has no task mode", spec.Tasks))
	}
	p, err := newProduct(m, plan, asked(spec))
	if err != nil {
		return nil, wrong(err)
	}
	err = torch.Do(func() error {
		torch.Seed(spec.Seed)
		for _, leaf := range p.leaves {
			p.tensors = append(p.tensors, leaf.Start(leaf.Shape).To(spec.Device).SetRequiresGrad(true).Keep())
		}
		return nil
	})
	if err != nil {
		p.Free()
		return nil, wrong(err)
	}
	return p, nil
}

func open(m adapter.Method, plan func(Settings) (Form, error), saved *adapter.Saved, device torch.Device) (adapter.Adapter, error) {
	c := saved.Config
	wrong := func(err error) error { return fmt.Errorf("%s: %w", saved.Dir, err) }
	targets, err := adapter.ParseKinds(c.Targets)
	if err != nil {
		return nil, wrong(err)
	}
	if len(c.Ranks) != 1 {
		return nil, wrong(fmt.Errorf("ranks %v: %s has one", c.Ranks, m.Name))
	}
	p, err := newProduct(m, plan, Settings{
		Architecture: c.Architecture(), Targets: targets, Rank: c.Ranks[0], TTRank: c.TTRank, Alpha: c.Alpha,
	})
	if err != nil {
		return nil, wrong(err)
	}
	for _, leaf := range p.leaves {
		t, err := saved.Tensor(leaf.Name, device, leaf.Shape...)
		if err == nil {
			p.tensors = append(p.tensors, t)
			err = torch.Do(func() error { t.SetRequiresGrad(true); return nil })
		}
		if err != nil {
			p.Free()
			return nil, err
		}
	}
	return p, nil
}

// Config implements [adapter.Adapter].
func (p *product) Config() adapter.Config {
	c := adapter.Config{
		FormatVersion: adapter.FormatVersion, PEFTType: p.method.PEFTType, Method: p.method.Name, Modes: slices.Clone(p.method.Modes),
		Ranks: []int64{p.settings.Rank}, TTRank: p.settings.TTRank, Alpha: p.settings.Alpha,
	}
	c.SetArchitecture(p.settings.Architecture)
	for _, k := range p.settings.Targets {
		c.Targets = append(c.Targets, k.String())
	}
	return c
}

// Parameters implements [adapter.Adapter].
func (p *product) Parameters() []adapter.Parameter {
	parameters := make([]adapter.Parameter, len(p.tensors))
	for i, t := range p.tensors {
		parameters[i] = adapter.Parameter{Name: p.leaves[i].Name, Tensor: t}
	}
	return parameters
}

// Begin implements [adapter.Adapter].
func (p *product) Begin(step adapter.Step) adapter.Pass { return p.form.Begin(p.tensors, step) }

// Delta implements [adapter.Adapter].
func (p *product) Delta(site adapter.Site) *torch.Tensor {
	if !slices.Contains(p.settings.Targets, site.Kind) {
		return nil
	}
	in, out := p.form.Factors(p.tensors, site)
	return in.MatMul(out)
}

// Factors implements [adapter.Factored].
func (p *product) Factors(site adapter.Site) (in, out *torch.Tensor) {
	if !slices.Contains(p.settings.Targets, site.Kind) {
		return nil, nil
	}
	return p.form.Factors(p.tensors, site)
}

// Free implements [adapter.Adapter].
func (p *product) Free() {
	for _, t := range p.tensors {
		t.Free()
	}
}
