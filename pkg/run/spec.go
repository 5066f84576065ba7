package run

import (
	"fmt"

	"github.com/metatt/metatt/pkg/adapter"
)

// newAdapter makes the adapter that the configuration describes, on the model.
func (a *assembly) newAdapter() (adapter.Adapter, error) {
	method, err := adapter.Lookup(a.config.Adapter.Method)
	if err != nil {
		return nil, invalid("adapter.method", err)
	}
	spec, err := a.spec(method)
	if err != nil {
		return nil, err
	}
	made, err := method.New(spec)
	if err != nil {
		return nil, invalid("adapter", err)
	}
	return made, adapter.Bind(made, a.model)
}

// spec is the adapter section as the method takes it, within adapter.budget.
func (a *assembly) spec(method adapter.Method) (adapter.Spec, error) {
	c := &a.config.Adapter
	targets, err := adapter.ParseKinds(c.Targets)
	if err != nil {
		return adapter.Spec{}, invalid("adapter.targets", err)
	}
	if c.Dropout > 0 && !method.Dropout {
		return adapter.Spec{}, invalid("adapter.dropout", fmt.Errorf("%s has none: leave the key out", method.Name))
	}
	if c.Alpha == nil {
		alpha := method.Alpha()
		c.Alpha = &alpha
	}
	spec := adapter.Spec{
		Architecture: a.model.Architecture(), Targets: targets, Rank: c.Rank, TTRank: c.TTRank, Alpha: *c.Alpha,
		Init: c.Init, Dropout: c.Dropout, Schedule: adapter.RankSchedule(c.AdaLoRA), Seed: uint64(a.config.Train.Seed), Device: a.device,
	}
	for _, rank := range c.Ranks {
		spec.Ranks = append(spec.Ranks, int64(rank))
	}
	if c.TaskAfter != "" {
		spec.Tasks, spec.TaskAfter = []string{a.task.Name}, c.TaskAfter
	}
	if c.Budget > 0 {
		if spec, err = a.fitBudget(method, spec); err != nil {
			return spec, invalid("adapter.budget", err)
		}
	}
	return spec, nil
}

// fitBudget chooses the size that adapter.budget allows, says so and puts it into
// the configuration.
func (a *assembly) fitBudget(method adapter.Method, spec adapter.Spec) (adapter.Spec, error) {
	c := &a.config.Adapter
	budget := int64(c.Budget)
	fit, err := adapter.FitBudget(method, spec, budget)
	if err != nil {
		return spec, err
	}
	key := "rank"
	if fit.Spec.TTRank != spec.TTRank {
		key = "tt_rank"
	}
	note := fmt.Sprintf("adapter.budget %d: adapter.%s %d, %d parameters", budget, key, fit.Size, fit.Count)
	if fit.Bounded && fit.Count < budget*9/10 {
		note += fmt.Sprintf("; no larger rank is legal, %d %% of the budget stays unused: not a comparison at equal parameters", 100-100*fit.Count/budget)
	}
	a.observer.Note(note)
	c.Rank, c.TTRank = fit.Spec.Rank, fit.Spec.TTRank
	return fit.Spec, nil
}
