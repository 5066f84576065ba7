package lora

import (
	"fmt"
	"slices"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/torch"
)

// largestRank bounds what a file, or VeRA, may ask for. A rank above the smaller side of a
// matrix is no mistake, only waste.
const largestRank = 1 << 16

// at is where the tensors of a module belong.
type at struct {
	site   adapter.Site
	module string // its name in the model
	name   string // the module's, as PEFT stores it
}

func (m module) at() at { return at{m.Site, m.name, adapter.PEFTPrefix + m.name} }

// entry is the tensors of one module. Those that are not made yet are nil.
type entry interface{ free() }

// adapted is what all methods here are: an entry for each module that is adapted.
type adapted[E entry] struct {
	method  string
	model   adapter.Architecture
	targets []adapter.Kind
	dropout float64
	sites   []E // by layer, then in the order of the targets
	bySite  map[adapter.Site]E
	others  []E // of what is no site, until they are folded
}

// ofSpec has no entries yet.
func ofSpec[E entry](method string, spec adapter.Spec, dropout float64) adapted[E] {
	return adapted[E]{method: method, model: spec.Architecture, targets: spec.Targets, dropout: dropout}
}

// ofSaved has no entries yet. keys are what the method does with PEFT's.
func ofSaved[E entry](method string, s *adapter.Saved, keys map[string]key) (adapted[E], error) {
	targets, err := adapter.ParseKinds(s.Config.Targets)
	if err != nil {
		return adapted[E]{}, err
	}
	if n := len(s.Config.Ranks); n != 1 {
		return adapted[E]{}, fmt.Errorf("%d ranks, %s has one", n, method)
	}
	// A folder of ours says these twice, for PEFT and for us.
	for _, twice := range []struct {
		key, ours string
		value     float64
	}{{"lora_alpha", "alpha", s.Config.Alpha}, {"lora_dropout", "dropout", s.Config.Dropout}, {"vera_dropout", "dropout", s.Config.Dropout}} {
		if value, is := s.Config.PEFT[twice.key].(float64); is && value != twice.value {
			return adapted[E]{}, fmt.Errorf("%s is %v, and %s %v: they mean the same, and PEFT and this program would make two models of it", twice.key, value, twice.ours, twice.value)
		}
	}
	return adapted[E]{method: method, model: s.Config.Architecture(), targets: targets, dropout: s.Config.Dropout}, checkKeys(s, keys)
}

// opener has every error of open name the folder.
func opener(open func(*adapter.Saved, torch.Device) (adapter.Adapter, error)) func(*adapter.Saved, torch.Device) (adapter.Adapter, error) {
	return func(s *adapter.Saved, device torch.Device) (adapter.Adapter, error) {
		a, err := open(s, device)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Dir, err)
		}
		return a, nil
	}
}

// build has prepare make and check an entry for each module, then fill their
// tensors, and the parameters of the whole trained. On an error nothing is left.
func (a *adapted[E]) build(whole adapter.Adapter, modules []module, prepare func(at) (E, error), fill func() error) error {
	if len(a.targets) == 0 {
		return fmt.Errorf("%s: no targets", a.method)
	}
	for _, m := range modules {
		e, err := prepare(m.at())
		if err != nil {
			return fmt.Errorf("%s: %w", a.method, err)
		}
		a.add(m.Site, e)
	}
	err := torch.Do(func() error {
		if err := fill(); err != nil {
			return err
		}
		for _, p := range whole.Parameters() {
			p.Tensor.SetRequiresGrad(true)
		}
		return nil
	})
	if err != nil {
		whole.Free()
		return fmt.Errorf("%s: %w", a.method, err)
	}
	return nil
}

func (a *adapted[E]) add(site adapter.Site, e E) {
	if site.Kind == noKind {
		a.others = append(a.others, e)
		return
	}
	if a.bySite == nil {
		a.bySite = map[adapter.Site]E{}
	}
	a.sites, a.bySite[site] = append(a.sites, e), e
}

// all is the entries, those of sites first.
func (a *adapted[E]) all() []E { return slices.Concat(a.sites, a.others) }

// Free implements [adapter.Adapter].
func (a *adapted[E]) Free() {
	for _, e := range a.all() {
		e.free()
	}
}

// foldOthers hands out the updates of what is no site, which are gone then.
func (a *adapted[E]) foldOthers(hand func(E) error) error {
	err := foldEach(a.others, hand)
	a.dropOthers()
	return err
}

func (a *adapted[E]) dropOthers() {
	for _, e := range a.others {
		e.free()
	}
	a.others = nil
}

// foldEach hands out, one by one, what is to be put into the model's tensors, until
// that fails.
func foldEach[E any](all []E, hand func(E) error) (err error) {
	torch.NoGrad(func() {
		for _, one := range all {
			if torch.Scoped(func() { err = hand(one) }); err != nil {
				return
			}
		}
	})
	return err
}

// describe is the part of the config that the family shares. All targets of every
// layer are adapted, or some.
func (a *adapted[E]) describe(peftType string, rank int64, alpha float64) adapter.Config {
	c := adapter.Config{
		FormatVersion: adapter.FormatVersion, PEFTType: peftType, Method: a.method,
		Ranks: []int64{rank}, Alpha: alpha, Dropout: a.dropout,
		PEFT: map[string]any{
			"r": rank, "target_modules": TargetModules(a.targets), "fan_in_fan_out": false, "inference_mode": true,
		},
	}
	c.SetArchitecture(a.model)
	for _, kind := range a.targets {
		c.Targets = append(c.Targets, kind.String())
	}
	if all := modulesOf(a.model, a.targets); len(a.sites) < len(all) {
		for _, m := range all {
			if _, ok := a.bySite[m.Site]; ok {
				c.Modules = append(c.Modules, m.name)
			}
		}
		c.PEFT["target_modules"] = c.Modules
	}
	return c.WithModel(nil, nil)
}
