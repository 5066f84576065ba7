package lora

import (
	"fmt"
	"math"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/torch"
)

// What PEFT calls AdaLoRA's tensors, behind a module's name.
const (
	adaDown   = ".lora_A"
	adaUp     = ".lora_B"
	adaValues = ".lora_E"
)

const (
	adaDeviation     = 0.02 // of the start of P and Q
	orthogonality    = 0.5  // weight of the penalty, PEFT's orth_reg_weight, unless a file has another
	importanceDecay  = 0.85 // of the smoothed sensitivity and uncertainty, the paper's β₁ and β₂, likewise
	initialRankShare = 1.5  // of the rank, the paper's initial budget
)

func init() {
	adapter.Register(adapter.Method{
		Name:         "adalora",
		Summary:      "ΔW = (α/r₀) P Λ Q, ranks fall from r₀ to r on average by importance; Σ r(Din + Dout + 1) in the end; arXiv 2303.10512",
		PEFTType:     "ADALORA",
		DefaultAlpha: defaultAlpha,
		Settings:     adaDeclared,
		Adopted:      adoptedSchedule,
		Count:        countAdaLoRA,
		New:          freshAdaLoRA,
		Open:         opener(openAdaLoRA),
		Adopt: func(s *adapter.Saved) (bool, error) {
			if err := checkKeys(s, adaLoRAKeys); err != nil {
				return false, err
			}
			return true, adoptKeys(s, "target_r", "lora_alpha", "lora_dropout", strings.TrimPrefix(adaDown, "."))
		},
	})
}

// adaLoRA is a singular value decomposition a site. Ranks are those of the
// start until the schedule is through; on the way the least important values
// are put to zero, from where they may come back, as the paper has it. Then
// what is zero goes for good, from memory as well.
type adaLoRA struct {
	adapted[*triplet]
	rank     int64 // in the end, on average
	initial  int64 // at the start
	alpha    float64
	schedule Schedule
	penalty  float64    // weight of the penalty
	decay    [2]float64 // of the smoothed sensitivity and uncertainty
	pruned   bool       // ranks have fallen for good
}

// initialRank is where the ranks start.
func initialRank(spec adapter.Spec, s Schedule) int64 {
	if s.InitialRank != 0 {
		return int64(s.InitialRank)
	}
	return defaultInitialRank(int64(spec.Rank))
}

// defaultInitialRank is where ranks start that are to fall to that.
func defaultInitialRank(rank int64) int64 { return int64(math.Ceil(initialRankShare * float64(rank))) }

// countAdaLoRA is r₀ (In + Out + 1) for each site, the most there ever are.
func countAdaLoRA(spec adapter.Spec) (n int64) {
	settings, err := adapter.SettingsOf[AdaSettings](spec)
	if err != nil {
		return 0
	}
	for _, kind := range spec.Targets {
		site := spec.Architecture.Site(0, kind)
		n += initialRank(spec, settings.Schedule) * (site.In + site.Out + 1)
	}
	return n * int64(spec.Architecture.Layers)
}

func freshAdaLoRA(spec adapter.Spec) (adapter.Adapter, error) {
	settings, err := adapter.SettingsOf[AdaSettings](spec)
	if err != nil {
		return nil, fmt.Errorf("adalora: %w", err)
	}
	a := &adaLoRA{
		adapted: ofSpec[*triplet]("adalora", spec, settings.Dropout), rank: int64(spec.Rank), initial: initialRank(spec, settings.Schedule),
		alpha: spec.Alpha, schedule: settings.Schedule,
		penalty: orthogonality, decay: [2]float64{importanceDecay, importanceDecay},
	}
	limit := a.initial
	for _, kind := range a.targets {
		site := a.model.Site(0, kind)
		limit = min(limit, site.In, site.Out)
	}
	if a.initial > limit {
		largest := limit
		if a.schedule.InitialRank == 0 {
			largest = int64(float64(limit) / initialRankShare)
		}
		return nil, fmt.Errorf("adalora: rank %d, from %d at the start: the rank is between 1 and %d, and the start from there to %d, the smallest side of a matrix", a.rank, a.initial, largest, limit)
	}
	return a.make(modulesOf(a.model, a.targets), func(*triplet) error { return nil }, func() error {
		torch.Seed(spec.Seed)
		draw := func(shape ...int64) *torch.Tensor {
			return torch.Randn(torch.Float32, torch.CPU, shape...).MulScalar(adaDeviation).To(spec.Device).Keep()
		}
		for _, t := range a.sites {
			t.down, t.up = draw(a.initial, t.site.In), draw(t.site.Out, a.initial)
			t.values = torch.Zeros(torch.Float32, spec.Device, a.initial, 1).Keep()
		}
		return nil
	})
}

// make checks and builds the adapter; prepare looks at each triplet before fill
// makes their tensors.
func (a *adaLoRA) make(modules []module, prepare func(*triplet) error, fill func() error) (adapter.Adapter, error) {
	if err := a.schedule.check(); err != nil {
		return nil, err
	}
	if a.rank < 1 || a.initial < a.rank || a.initial > largestRank {
		return nil, fmt.Errorf("adalora: rank %d, from %d at the start: the rank is at least 1, and the start from there to %d", a.rank, a.initial, largestRank)
	}
	err := a.build(a, modules, func(where at) (*triplet, error) {
		t := &triplet{at: where}
		return t, prepare(t)
	}, func() error {
		if err := fill(); err != nil || a.pruned {
			return err
		}
		for _, t := range a.sites {
			for i, tensor := range t.tensors() {
				t.sensitivity[i], t.uncertainty[i] = tensor.ZerosLike().Keep(), tensor.ZerosLike().Keep()
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// Fold implements [adapter.Folding].
func (a *adaLoRA) Fold(_ func(string) (*torch.Tensor, error), add func(string, *torch.Tensor) error) error {
	return a.foldOthers(func(t *triplet) error { return add(t.module+".weight", a.scaledUp(t).MatMul(t.down)) })
}

// Parameters implements [adapter.Adapter].
func (a *adaLoRA) Parameters() []adapter.Parameter {
	var list []adapter.Parameter
	for _, t := range a.sites {
		list = append(list, adapter.Parameter{Name: t.name + adaDown, Tensor: t.down},
			adapter.Parameter{Name: t.name + adaUp, Tensor: t.up}, adapter.Parameter{Name: t.name + adaValues, Tensor: t.values})
	}
	return list
}

// scale is α/r₀, whatever the ranks fall to. The small number is PEFT's.
func (a *adaLoRA) scale() float64 { return a.alpha / (float64(a.initial) + 1e-5) }

// scaledUp is s P Λ, (Out, r).
func (a *adaLoRA) scaledUp(t *triplet) *torch.Tensor {
	return t.up.Mul(t.values.T().MulScalar(a.scale()))
}

// Begin implements [adapter.Adapter].
func (a *adaLoRA) Begin(step adapter.Step) adapter.Pass { return &adaPass{a, step} }

type adaPass struct {
	*adaLoRA
	step adapter.Step
}

// Apply implements [adapter.Pass]. A site that has no rank left costs nothing.
func (p *adaPass) Apply(sites []adapter.Site, x *torch.Tensor, frozen []*torch.Tensor) []*torch.Tensor {
	for i, site := range sites {
		t, adapted := p.bySite[site]
		if !adapted || t.down.Size(0) == 0 {
			continue
		}
		read := p.step.Drop(site, x, p.dropout)
		reduced := read.Linear(t.down.ToDType(p.step.DType), nil) // (tokens, In) x (In, r)
		frozen[i].AddMatMulInPlace(reduced, p.scaledUp(t).ToDType(p.step.DType).T())
	}
	return frozen
}

// Factors implements [adapter.Factored].
func (a *adaLoRA) Factors(site adapter.Site) (in, out *torch.Tensor) {
	t, adapted := a.bySite[site]
	if !adapted {
		return nil, nil
	}
	return t.down.T(), a.scaledUp(t).T()
}

// Delta implements [adapter.Adapter].
func (a *adaLoRA) Delta(site adapter.Site) *torch.Tensor {
	in, out := a.Factors(site)
	if in == nil {
		return nil
	}
	return in.MatMul(out)
}

// Penalty implements [adapter.Regularized]: half, or what a file has, of the mean over all P and Q of
// ‖PᵀP - I‖ and ‖QQᵀ - I‖, as PEFT adds it.
func (a *adaLoRA) Penalty() *torch.Tensor {
	var terms []*torch.Tensor
	for _, t := range a.sites {
		r := t.down.Size(0)
		if r == 0 {
			continue
		}
		eye := torch.Eye(torch.Float32, t.down.Device(), r, r)
		terms = append(terms, t.down.MatMul(t.down.T()).Sub(eye).Norm(), t.up.T().MatMul(t.up).Sub(eye).Norm())
	}
	if terms == nil { // a budget so small that nothing is left
		return torch.Zeros(torch.Float32, a.sites[0].down.Device())
	}
	return torch.Stack(0, terms...).Sum().MulScalar(a.penalty / float64(2*len(a.sites)))
}
