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
	c := describe("adalora", "ADALORA", a.model, a.targets, a.rank, a.alpha, a.dropout)
	delete(c.PEFT, "r") // which PEFT warns that it ignores
	var pattern map[string][]bool
	if a.pruned {
		pattern = map[string][]bool{}
		for _, t := range a.triplets {
			pattern[a.model.Module(t.site)+adaValues] = t.live
		}
	}
	for key, value := range map[string]any{
		"lora_alpha": a.alpha, "lora_dropout": a.dropout, "init_lora_weights": true, "orth_reg_weight": orthogonality,
		"init_r": a.initial, "target_r": a.rank, "rank_pattern": pattern, "beta1": importanceDecay, "beta2": importanceDecay,
		"total_step": scheduleSteps, "tinit": int(a.schedule.Hold * scheduleSteps), "tfinal": int(a.schedule.Settle * scheduleSteps),
		"deltaT": max(1, a.schedule.Every),
	} {
		c.PEFT[key] = value
	}
	return c
}

func openAdaLoRA(s *adapter.Saved, device torch.Device) (adapter.Adapter, error) {
	c := s.Config
	targets, err := adapter.ParseKinds(c.Targets)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Dir, err)
	}
	a := &adaLoRA{model: c.Architecture(), targets: targets, alpha: c.Alpha, dropout: c.Dropout}
	if a.rank, err = readRank(c.PEFT, "target_r"); err == nil {
		a.initial, err = readRank(c.PEFT, "init_r")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Dir, err)
	}
	number := func(name string) float64 { n, _ := c.PEFT[name].(float64); return n }
	if total := number("total_step"); total > 0 {
		a.schedule.Hold, a.schedule.Settle = number("tinit")/total, number("tfinal")/total
	}
	a.schedule.InitialRank, a.schedule.Every = int(a.initial), int(number("deltaT"))
	pattern, pruned := c.PEFT["rank_pattern"].(map[string]any)
	a.pruned = pruned
	opened, err := a.build(func() (err error) {
		for _, t := range a.triplets {
			rank := a.initial
			if pruned {
				key := a.model.Module(t.site) + adaValues
				if t.live, err = liveComponents(pattern[key], a.initial); err != nil {
					return fmt.Errorf("rank_pattern: %s: %w", key, err)
				}
				rank = 0
				for _, alive := range t.live {
					if alive {
						rank++
					}
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
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Dir, err)
	}
	return opened, nil
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
