package lora

import (
	"fmt"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/torch"
)

// open makes the pairs of a file.
func (v variant) open(s *adapter.Saved, device torch.Device) (adapter.Adapter, error) {
	base, err := ofSaved[*pair](v.name, s, loraKeys)
	if err != nil {
		return nil, err
	}
	if v.magnitudes { // a DoRA may have either scale
		v.rootScale, _ = s.Config.PEFT["use_rslora"].(bool)
	}
	l := &lowRank{variant: v, adapted: base, rank: s.Config.Ranks[0], alpha: s.Config.Alpha}
	modules, err := savedModules(s, downSuffix, upSuffix)
	if err != nil {
		return nil, err
	}
	ranks, err := readPattern(s, "rank_pattern")
	if err != nil {
		return nil, err
	}
	alphas, err := readPattern(s, "alpha_pattern")
	if err != nil {
		return nil, err
	}
	biased, _ := s.Config.PEFT["lora_bias"].(bool)
	size := func(p *pair) error {
		value := ranks.of(s.PEFTModule(p.module), float64(l.rank))
		rank := int64(value)
		if float64(rank) != value {
			return fmt.Errorf("rank_pattern gives %s %v, not a rank", p.module, value)
		}
		if shape := s.Shape(p.name + downSuffix); len(shape) == 2 && shape[0] != rank {
			return fmt.Errorf("%s has rank %d, the configuration gives it %d", p.module, shape[0], rank)
		}
		return p.size(v, alphas.of(s.PEFTModule(p.module), l.alpha), rank)
	}
	a, err := l.make(modules, size, func() error {
		for _, p := range l.all() {
			if err := p.read(s, device, biased, v.magnitudes); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		ranks.noteUnused(s)
		alphas.noteUnused(s)
	}
	return a, err
}

// read makes the tensors of a file.
func (p *pair) read(s *adapter.Saved, device torch.Device, biased, magnitudes bool) (err error) {
	if p.down, err = s.Tensor(p.name+downSuffix, device, p.rank, p.site.In); err != nil {
		return err
	}
	if p.up, err = s.Tensor(p.name+upSuffix, device, p.site.Out, p.rank); err != nil {
		return err
	}
	if biased && s.Shape(p.name+biasSuffix) != nil { // what this build wrote has folded it
		if p.upBias, err = s.Tensor(p.name+biasSuffix, device, p.site.Out); err != nil {
			return err
		}
	}
	if magnitudes {
		p.magnitude = &magnitude{}
		p.length, err = s.Tensor(p.name+lengthSuffix, device, p.site.Out)
	}
	return err
}
