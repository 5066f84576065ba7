// Package factored is what methods have in common whose ΔW is a product of a few
// small tensors: checking what was asked for, making and reading the tensors,
// describing them, and computing with shared or separate factors. A method of
// this sort is a [Form] and a call of [Register].
package factored

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/torch"
)

// Settings is what decides the form of an adapter, a fresh one or a saved one.
type Settings struct {
	Architecture adapter.Architecture
	Targets      []adapter.Kind // in order; not empty, no kind twice; nil for a [Nonlinear]
	Rank         int64          // at least 1
	Ranks        []int64        // of a [ModeRanked]; nil: what it makes of Rank
	TTRank       int64          // 0: the method's choice
	Alpha        float64
}

// Leaf is one trainable tensor of a form.
type Leaf struct {
	Name  string // on disk
	Shape []int64
	Start Start
}

// Trained is a method with settings that are legal for it: the tensors that it
// trains and what a pass does with them. Tensors come in the order of Leaves.
type Trained interface {
	Leaves() []Leaf
	// Begin is [adapter.Adapter.Begin].
	Begin(tensors []*torch.Tensor, step adapter.Step) adapter.Pass
}

// Form is a method whose every ΔW is exactly a LoRA.
type Form interface {
	Trained
	// Factors is [adapter.Factored.Factors] of a site whose kind is a target.
	Factors(tensors []*torch.Tensor, site adapter.Site) (in, out *torch.Tensor)
}

// Nonlinear is a method that is no update of weights. It has its own places in
// the model, whatever the targets.
type Nonlinear interface {
	Trained
	Nonlinear() string // see [adapter.Nonlinear]
}

// TTRanked is a method with tensor trains inside its factors.
type TTRanked interface {
	Trained
	TTRank() int64 // that was asked for, or the method's choice
}

// ModeRanked is a method with a rank for each of its modes.
type ModeRanked interface {
	Trained
	Ranks() []int64 // that were asked for, or what the method makes of the rank
}

// Stacked is a form whose leaves are stacks of tensor trains, one for each layer
// ([adapter.TensorTrains]); what the method is sized by is the rank of all their
// bonds.
type Stacked interface {
	Form
	Stacks() []int // how many leaves each stack has
}

// Register adds a method. plan checks the settings without making a tensor.
func Register(m adapter.Method, plan func(Settings) (Form, error)) {
	p := planner{m, true, func(s Settings) (Trained, error) { return plan(s) }}
	p.register(func(made *trainable) adapter.Adapter {
		form := &product{made, made.form.(Form)}
		if s, ok := made.form.(Stacked); ok {
			return &stacked{form, p, s.Stacks()}
		}
		return form
	})
}

// RegisterNonlinear is Register for a method that is no update of weights.
func RegisterNonlinear(m adapter.Method, plan func(Settings) (Nonlinear, error)) {
	p := planner{m, false, func(s Settings) (Trained, error) { return plan(s) }}
	p.register(func(made *trainable) adapter.Adapter { return &nonlinear{made, made.form.(Nonlinear)} })
}

func (p planner) register(adapt func(*trainable) adapter.Adapter) {
	m := p.method
	made := func(t *trainable, err error) (adapter.Adapter, error) {
		if err != nil {
			return nil, err
		}
		return adapt(t), nil
	}
	m.New = func(spec adapter.Spec) (adapter.Adapter, error) { return made(p.fresh(spec)) }
	m.Open = func(saved *adapter.Saved, device torch.Device) (adapter.Adapter, error) {
		return made(p.open(saved, device))
	}
	m.Count = p.count
	adapter.Register(m)
}

// planner makes a method's adapters.
type planner struct {
	method   adapter.Method
	targeted bool // it adapts Settings.Targets
	plan     func(Settings) (Trained, error)
}

// trainable is a form and its tensors.
type trainable struct {
	method   adapter.Method
	settings Settings
	form     Trained
	leaves   []Leaf
	tensors  []*torch.Tensor
}

// product is an adapter of a [Form].
type product struct {
	*trainable
	form Form
}

// nonlinear is an adapter of a [Nonlinear].
type nonlinear struct {
	*trainable
	form Nonlinear
}

// planned is the adapter before it has tensors.
func (p planner) planned(s Settings) (*trainable, error) {
	if s.Targets = slices.Clone(s.Targets); !p.targeted {
		s.Targets = nil
	} else if len(s.Targets) == 0 {
		return nil, errors.New("no targets")
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	form, err := p.plan(s)
	if err != nil {
		return nil, err
	}
	if t, ok := form.(TTRanked); ok {
		s.TTRank = t.TTRank()
	} else if s.TTRank != 0 {
		return nil, fmt.Errorf("tt_rank %d: %s has no tensor trains inside its factors", s.TTRank, p.method.Name)
	}
	if m, ok := form.(ModeRanked); ok {
		s.Ranks = m.Ranks()
	} else if s.Ranks != nil {
		return nil, fmt.Errorf("ranks %v: %s has one rank", s.Ranks, p.method.Name)
	}
	return &trainable{method: p.method, settings: s, form: form, leaves: form.Leaves()}, nil
}

// check looks for what is wrong with any method.
func (s *Settings) check() error {
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

func asked(spec adapter.Spec) (Settings, error) {
	s := Settings{Architecture: spec.Architecture, Targets: spec.Targets, Rank: int64(spec.Rank), Alpha: spec.Alpha}
	if modes, ok := spec.Settings.(ModeRankSettings); ok {
		for _, rank := range modes.Ranks {
			s.Ranks = append(s.Ranks, int64(rank))
		}
		return s, nil
	}
	settings, err := adapter.SettingsOf[TensorTrainSettings](spec)
	s.TTRank = int64(settings.TTRank)
	return s, err
}

// count is the sum of the leaves' sizes; 0 where the spec is wrong.
func (p planner) count(spec adapter.Spec) int64 {
	settings, err := asked(spec)
	if err != nil {
		return 0
	}
	t, err := p.planned(settings)
	if err != nil {
		return 0
	}
	var total int64
	for _, leaf := range t.leaves {
		size := int64(1)
		for _, n := range leaf.Shape {
			size *= n
		}
		total += size
	}
	return total
}

func (p planner) fresh(spec adapter.Spec) (*trainable, error) {
	wrong := func(err error) error { return fmt.Errorf("%s: %w", p.method.Name, err) }
	if len(spec.Tasks) > 0 {
		return nil, wrong(fmt.Errorf("tasks %v: the method has no task mode", spec.Tasks))
	}
	settings, err := asked(spec)
	if err != nil {
		return nil, wrong(err)
	}
	t, err := p.planned(settings)
	if err != nil {
		return nil, wrong(err)
	}
	err = torch.Do(func() error {
		torch.Seed(spec.Seed)
		for _, leaf := range t.leaves {
			t.tensors = append(t.tensors, leaf.Start(leaf.Shape).To(spec.Device).SetRequiresGrad(true).Keep())
		}
		return nil
	})
	if err != nil {
		t.Free()
		return nil, wrong(err)
	}
	return t, nil
}

func (p planner) open(saved *adapter.Saved, device torch.Device) (*trainable, error) {
	c := saved.Config
	wrong := func(err error) error { return fmt.Errorf("%s: %w", saved.Dir, err) }
	targets, err := adapter.ParseKinds(c.Targets)
	if err != nil {
		return nil, wrong(err)
	}
	settings, err := p.saved(c, targets)
	if err != nil {
		return nil, wrong(err)
	}
	t, err := p.planned(settings)
	if err != nil {
		return nil, wrong(err)
	}
	for _, leaf := range t.leaves {
		tensor, err := saved.Tensor(leaf.Name, device, leaf.Shape...)
		if err == nil {
			t.tensors = append(t.tensors, tensor)
			err = torch.Do(func() error { tensor.SetRequiresGrad(true); return nil })
		}
		if err != nil {
			t.Free()
			return nil, err
		}
	}
	return t, nil
}

// saved is what decides the form of an adapter with that configuration.
func (p planner) saved(c adapter.Config, targets []adapter.Kind) (Settings, error) {
	s := Settings{Architecture: c.Architecture(), Targets: targets, TTRank: c.TTRank, Alpha: c.Alpha}
	switch _, modeRanked := p.method.Settings.Keys.(ModeRankSettings); {
	case modeRanked && len(c.Ranks) == len(p.method.Modes):
		s.Rank, s.Ranks = slices.Max(c.Ranks), c.Ranks
	case modeRanked:
		return s, fmt.Errorf("ranks %v: %s has one for each of %s", c.Ranks, p.method.Name, strings.Join(p.method.Modes, ", "))
	case len(c.Ranks) == 1:
		s.Rank = c.Ranks[0]
	default:
		return s, fmt.Errorf("ranks %v: %s has one", c.Ranks, p.method.Name)
	}
	return s, nil
}

// Config implements [adapter.Adapter].
func (t *trainable) Config() adapter.Config {
	c := adapter.Config{
		FormatVersion: adapter.FormatVersion, PEFTType: t.method.PEFTType, Method: t.method.Name, Modes: slices.Clone(t.method.Modes),
		Ranks: slices.Clone(t.settings.Ranks), TTRank: t.settings.TTRank, Alpha: t.settings.Alpha,
	}
	if c.Ranks == nil {
		c.Ranks = []int64{t.settings.Rank}
	}
	c.SetArchitecture(t.settings.Architecture)
	for _, k := range t.settings.Targets {
		c.Targets = append(c.Targets, k.String())
	}
	return c
}

// Parameters implements [adapter.Adapter].
func (t *trainable) Parameters() []adapter.Parameter {
	parameters := make([]adapter.Parameter, len(t.tensors))
	for i, tensor := range t.tensors {
		parameters[i] = adapter.Parameter{Name: t.leaves[i].Name, Tensor: tensor}
	}
	return parameters
}

// Begin implements [adapter.Adapter].
func (t *trainable) Begin(step adapter.Step) adapter.Pass { return t.form.Begin(t.tensors, step) }

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
func (t *trainable) Free() {
	for _, tensor := range t.tensors {
		tensor.Free()
	}
}

// Nonlinear implements [adapter.Nonlinear].
func (n *nonlinear) Nonlinear() string { return n.form.Nonlinear() }

// Delta implements [adapter.Adapter]: there is no update of weights.
func (n *nonlinear) Delta(adapter.Site) *torch.Tensor { return nil }
