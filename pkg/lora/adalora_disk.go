package lora

import (
	"fmt"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/torch"
)

// scheduleSteps stands for all steps where PEFT wants numbers of them: the
// schedule is in shares.
const scheduleSteps = 1_000_000

// Config implements [adapter.Adapter]. Before the schedule is through there is
// no rank_pattern.
func (a *adaLoRA) Config() adapter.Config {
	c := a.describe("ADALORA", a.rank, a.alpha)
	delete(c.PEFT, "r") // which PEFT warns that it ignores
	var pattern map[string][]bool
	if a.pruned {
		pattern = map[string][]bool{}
		for _, t := range a.sites {
			if t.live != nil {
				pattern[t.module+adaValues] = t.live
			}
		}
	}
	for key, value := range map[string]any{
		"lora_alpha": a.alpha, "lora_dropout": a.dropout, "init_lora_weights": true, "orth_reg_weight": a.penalty,
		"init_r": a.initial, "target_r": a.rank, "rank_pattern": pattern, "beta1": a.decay[0], "beta2": a.decay[1],
		"total_step": scheduleSteps, "tinit": stepsOf(a.schedule.Hold, scheduleSteps), "tfinal": stepsOf(a.schedule.Settle, scheduleSteps),
		"deltaT": max(1, a.schedule.Every),
	} {
		c.PEFT[key] = value
	}
	return c
}

// stepsOf are the whole steps in a share of them; 0.29 of 100 are 29, though the product is a
// bit less.
func stepsOf(share float64, total int) int {
	return int(share * float64(total) * (1 + 1e-12))
}

func openAdaLoRA(s *adapter.Saved, device torch.Device) (adapter.Adapter, error) {
	base, err := ofSaved[*triplet]("adalora", s, adaLoRAKeys)
	if err != nil {
		return nil, err
	}
	a := &adaLoRA{adapted: base, alpha: s.Config.Alpha}
	if err := a.readSchedule(s.Config.PEFT); err != nil {
		return nil, err
	}
	return a.read(s, device)
}

// readSchedule reads ranks and what training goes on with.
func (a *adaLoRA) readSchedule(keys map[string]any) (err error) {
	if a.rank, err = readRank(keys, "target_r"); err != nil {
		return err
	}
	if a.initial, err = readRank(keys, "init_r"); err != nil {
		return err
	}
	number := func(name string, otherwise float64) float64 {
		if n, ok := keys[name].(float64); ok {
			return n
		}
		return otherwise
	}
	if total := number("total_step", 0); total > 0 {
		a.schedule.Hold, a.schedule.Settle = number("tinit", 0)/total, number("tfinal", 0)/total
	}
	a.schedule.InitialRank, a.schedule.Every = int(a.initial), int(number("deltaT", 1))
	a.penalty = number("orth_reg_weight", orthogonality)
	a.decay = [2]float64{number("beta1", importanceDecay), number("beta2", importanceDecay)}
	if a.penalty < 0 || min(a.decay[0], a.decay[1]) <= 0 || max(a.decay[0], a.decay[1]) >= 1 {
		return fmt.Errorf("orth_reg_weight %g, beta1 %g, beta2 %g: want 0 or more, and between 0 and 1", a.penalty, a.decay[0], a.decay[1])
	}
	return nil
}

// read makes the triplets of a file.
func (a *adaLoRA) read(s *adapter.Saved, device torch.Device) (adapter.Adapter, error) {
	modules, err := savedModules(s, adaDown, adaUp)
	if err != nil {
		return nil, err
	}
	// An empty pattern says nothing, as in PEFT.
	pattern, _ := s.Config.PEFT["rank_pattern"].(map[string]any)
	a.pruned = len(pattern) > 0
	used := 0
	prepare := func(t *triplet) error {
		key := s.PEFTModule(t.module) + adaValues
		value, ok := pattern[key]
		if !ok { // all of the initial ones
			return nil
		}
		used++
		var err error
		if t.live, err = liveComponents(value, a.initial); err != nil {
			return fmt.Errorf("rank_pattern: %s: %w", key, err)
		}
		return nil
	}
	opened, err := a.make(modules, prepare, func() (err error) {
		for _, t := range a.all() {
			rank := a.initial
			for _, alive := range t.live {
				if !alive {
					rank--
				}
			}
			if t.down, err = s.Tensor(t.name+adaDown, device, rank, t.site.In); err != nil {
				return err
			}
			if t.up, err = s.Tensor(t.name+adaUp, device, t.site.Out, rank); err != nil {
				return err
			}
			if t.values, err = s.Tensor(t.name+adaValues, device, rank, 1); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && used < len(pattern) {
		s.Note("rank_pattern: %d of its %d entries are of no adapted module", len(pattern)-used, len(pattern))
	}
	return opened, err
}

// liveComponents reads which of a site's initial components are left.
func liveComponents(value any, initial int64) ([]bool, error) {
	list, _ := value.([]any)
	if int64(len(list)) != initial {
		return nil, fmt.Errorf("%d values, init_r is %d", len(list), initial)
	}
	live := make([]bool, len(list))
	for i, v := range list {
		var ok bool
		if live[i], ok = v.(bool); !ok {
			return nil, fmt.Errorf("value %d is %v, not true or false", i, v)
		}
	}
	return live, nil
}
