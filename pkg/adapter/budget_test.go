package adapter_test

import (
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	_ "github.com/metatt/metatt/pkg/methods"
	"github.com/metatt/metatt/pkg/torch"
)

// The largest rank within the budget is found: one more is over it, or illegal.
func TestFitBudget(t *testing.T) {
	small := adapter.Architecture{ModelType: "bert", Hidden: 48, Layers: 3, Heads: 4, Intermediate: 96}
	for _, m := range adapter.Methods() {
		for _, budget := range []int64{700, 3001, 9000, 1 << 20} {
			spec := adapter.Spec{
				Architecture: small, Targets: []adapter.Kind{adapter.Query, adapter.FFNUp}, Rank: 4, Alpha: m.Alpha(), Device: torch.CPU,
			}
			if m.Name == "vera" {
				spec.Targets = []adapter.Kind{adapter.Query, adapter.Value}
			}
			fit, err := adapter.FitBudget(m, spec, budget)
			if err != nil {
				if !strings.Contains(err.Error(), "has at least") && !strings.Contains(err.Error(), "has no rank") {
					t.Errorf("%s, %d: %v", m.Name, budget, err)
				}
				continue
			}
			count := func(size int) (int64, error) {
				s := spec
				if s.Rank = size; m.Sized != nil {
					s = m.Sized(spec, size)
				}
				a, err := m.New(s)
				if err != nil {
					return 0, err
				}
				defer a.Free()
				if m.Count != nil {
					return m.Count(s), nil
				}
				return adapter.Count(a.Parameters()), nil
			}
			if n, err := count(fit.Size); err != nil || n != fit.Count || n > budget {
				t.Errorf("%s, %d: size %d has %d parameters (%v), reported %d", m.Name, budget, fit.Size, n, err, fit.Count)
			}
			if n, err := count(fit.Size + 1); (err != nil) != fit.Bounded || err == nil && n <= budget {
				t.Errorf("%s, %d: size %d has %d parameters (%v), but %d was chosen, bounded %v", m.Name, budget, fit.Size+1, n, err, fit.Size, fit.Bounded)
			}
		}
	}
}

func TestBudgetBelowTheSmallest(t *testing.T) {
	m, err := adapter.Lookup("lora")
	if err != nil {
		t.Fatal(err)
	}
	base := adapter.Architecture{ModelType: "bert", Hidden: 768, Layers: 12, Heads: 12, Intermediate: 3072}
	_, err = adapter.FitBudget(m, adapter.Spec{Architecture: base, Targets: []adapter.Kind{adapter.Query, adapter.Value}, Alpha: 16, Device: torch.CPU}, 20000)
	if err == nil || !strings.Contains(err.Error(), "lora has at least 36864 parameters, the budget is 20000") {
		t.Error(err)
	}
}
