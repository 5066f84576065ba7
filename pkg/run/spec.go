package run

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/config"
)

// newAdapter makes the adapter that the configuration describes, on the model.
func (a *assembly) newAdapter() (adapter.Adapter, error) {
	method, err := adapter.Lookup(a.config.Adapter.Method)
	if err != nil {
		return nil, config.Invalid("adapter.method", err)
	}
	for _, key := range a.config.Idle() {
		a.observer.Note(fmt.Sprintf("%s is not for %s: not used", key, method.Name))
	}
	spec, err := a.spec(method)
	if err != nil {
		return nil, err
	}
	made, err := method.New(spec)
	if err != nil {
		return nil, config.Invalid("adapter", err)
	}
	return made, adapter.Bind(made, a.first())
}

// spec is the adapter section as the method takes it, within adapter.budget.
func (a *assembly) spec(method adapter.Method) (adapter.Spec, error) {
	c := &a.config.Adapter
	targets, err := adapter.ParseKinds(c.Targets)
	if err != nil {
		return adapter.Spec{}, config.Invalid("adapter.targets", err)
	}
	alpha := method.Alpha()
	scale := alpha
	if !slices.Contains(method.Settings.Idle, "alpha") {
		c.Alpha = cmp.Or(c.Alpha, &alpha)
		scale = *c.Alpha
	}
	spec := adapter.Spec{
		Architecture: a.first().Architecture(), Targets: targets, Rank: c.Rank, Alpha: scale,
		Settings: c.Settings(method.Name), Seed: uint64(a.config.Train.Seed), Device: a.device,
	}
	if settings, ok := spec.Settings.(adapter.TaskSettings); ok && settings.TaskMode() {
		spec.Tasks = a.names()
	}
	if c.Budget > 0 && !slices.Contains(method.Settings.Idle, "budget") {
		if spec, err = a.fitBudget(method, spec); err != nil {
			return spec, config.Invalid("adapter.budget", err)
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
	note := fmt.Sprintf("adapter.budget %d: adapter.%s %d, %d parameters", budget, cmp.Or(method.Settings.Size, "rank"), fit.Size, fit.Count)
	if fit.Bounded && fit.Count < budget*9/10 {
		note += fmt.Sprintf("; no larger rank is legal, %d %% of the budget stays unused: not a comparison at equal parameters", 100-100*fit.Count/budget)
	}
	a.observer.Note(note)
	c.Rank = fit.Spec.Rank
	c.Adopt(method.Name, fit.Spec.Settings)
	return fit.Spec, nil
}
