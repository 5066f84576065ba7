package lora

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/adapter/setting"
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
		Settings:     setting.Declaration{Keys: AdaSettings{}},
		Adopted:      adoptedAdaDropout,
		Count:        countAdaLoRA,
		New:          freshAdaLoRA,
		Open:         openAdaLoRA,
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
	model    adapter.Architecture
	targets  []adapter.Kind
	rank     int64 // in the end, on average
	initial  int64 // at the start
	alpha    float64
	dropout  float64
	schedule Schedule
	penalty  float64    // weight of the penalty
	decay    [2]float64 // of the smoothed sensitivity and uncertainty
	triplets []*triplet // by layer, then in the order of the targets
	bySite   map[adapter.Site]*triplet
	others   []*triplet // of what is no site, until they are folded
	pruned   bool       // ranks have fallen for good
}

// triplet is the tensors of one site.
type triplet struct {
	site   adapter.Site
	module string // its name in the model
	name   string
	down   *torch.Tensor // Q (r, In), lora_A
	up     *torch.Tensor // P (Out, r), lora_B
	values *torch.Tensor // Λ's diagonal (r, 1), lora_E
	live   []bool        // which of the initial components are left; nil: all
	// Smoothed sensitivity and uncertainty of each element of down, up and
	// values; nil once ranks have fallen.
	sensitivity, uncertainty [3]*torch.Tensor
}

func (t *triplet) tensors() [3]*torch.Tensor { return [3]*torch.Tensor{t.down, t.up, t.values} }

// initialRank is where the ranks start.
func initialRank(spec adapter.Spec, s Schedule) int64 {
	if s.InitialRank != 0 {
		return int64(s.InitialRank)
	}
	return int64(math.Ceil(initialRankShare * float64(spec.Rank)))
}

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
		model: spec.Architecture, targets: spec.Targets, rank: int64(spec.Rank), initial: initialRank(spec, settings.Schedule),
		alpha: spec.Alpha, dropout: settings.Dropout, schedule: settings.Schedule,
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
	return a.build(modulesOf(a.model, a.targets), func(*triplet) error { return nil }, func() error {
		torch.Seed(spec.Seed)
		draw := func(shape ...int64) *torch.Tensor {
			return torch.Randn(torch.Float32, torch.CPU, shape...).MulScalar(adaDeviation).To(spec.Device).Keep()
		}
		for _, t := range a.triplets {
			t.down, t.up = draw(a.initial, t.site.In), draw(t.site.Out, a.initial)
			t.values = torch.Zeros(torch.Float32, spec.Device, a.initial, 1).Keep()
		}
		return nil
	})
}

// build checks, has prepare look at each triplet, and lets fill make their tensors.
// On an error nothing is left.
func (a *adaLoRA) build(modules []module, prepare func(*triplet) error, fill func() error) (adapter.Adapter, error) {
	if len(a.targets) == 0 {
		return nil, fmt.Errorf("adalora: no targets")
	}
	if s := a.schedule; !(s.Hold >= 0 && s.Settle >= 0 && s.Hold+s.Settle < 1) {
		return nil, fmt.Errorf("adalora: hold %g and settle %g leave no steps for ranks to fall: their sum must be below 1", s.Hold, s.Settle)
	}
	if a.rank < 1 || a.initial < a.rank || a.initial > largestRank {
		return nil, fmt.Errorf("adalora: rank %d, from %d at the start: the rank is at least 1, and the start from there to %d", a.rank, a.initial, largestRank)
	}
	a.bySite = map[adapter.Site]*triplet{}
	for _, m := range modules {
		t := &triplet{site: m.Site, module: m.name, name: adapter.PEFTPrefix + m.name}
		if err := prepare(t); err != nil {
			return nil, fmt.Errorf("adalora: %w", err)
		}
		if m.Kind == noKind {
			a.others = append(a.others, t)
			continue
		}
		a.triplets, a.bySite[m.Site] = append(a.triplets, t), t
	}
	err := torch.Do(func() error {
		if err := fill(); err != nil {
			return err
		}
		for _, t := range a.triplets {
			for i, tensor := range t.tensors() {
				if !a.pruned {
					t.sensitivity[i], t.uncertainty[i] = tensor.ZerosLike().Keep(), tensor.ZerosLike().Keep()
				}
				tensor.SetRequiresGrad(true)
			}
		}
		return nil
	})
	if err != nil {
		a.Free()
		return nil, fmt.Errorf("adalora: %w", err)
	}
	return a, nil
}

// Fold implements [adapter.Folding].
func (a *adaLoRA) Fold(_ func(string) (*torch.Tensor, error), add func(string, *torch.Tensor) error) (err error) {
	err = foldEach(a.others, func(t *triplet) error { return add(t.module+".weight", a.scaledUp(t).MatMul(t.down)) })
	for _, t := range a.others {
		t.free()
	}
	a.others = nil
	return err
}

// Parameters implements [adapter.Adapter].
func (a *adaLoRA) Parameters() []adapter.Parameter {
	var list []adapter.Parameter
	for _, t := range a.triplets {
		list = append(list, adapter.Parameter{Name: t.name + adaDown, Tensor: t.down},
			adapter.Parameter{Name: t.name + adaUp, Tensor: t.up}, adapter.Parameter{Name: t.name + adaValues, Tensor: t.values})
	}
	return list
}

// Free implements [adapter.Adapter].
func (a *adaLoRA) Free() {
	for _, t := range slices.Concat(a.triplets, a.others) {
		t.free()
	}
}

func (t *triplet) free() {
	for _, tensor := range t.tensors() {
		tensor.Free()
	}
	t.forget()
}

// forget frees the importance.
func (t *triplet) forget() {
	for i := range t.sensitivity {
		t.sensitivity[i].Free()
		t.uncertainty[i].Free()
		t.sensitivity[i], t.uncertainty[i] = nil, nil
	}
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
		read := x
		if p.step.Training && p.dropout > 0 {
			read = x.Dropout(p.dropout)
		}
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
	for _, t := range a.triplets {
		r := t.down.Size(0)
		if r == 0 {
			continue
		}
		eye := torch.Eye(torch.Float32, t.down.Device(), r, r)
		terms = append(terms, t.down.MatMul(t.down.T()).Sub(eye).Norm(), t.up.T().MatMul(t.up).Sub(eye).Norm())
	}
	if terms == nil { // a budget so small that nothing is left
		return torch.Zeros(torch.Float32, a.triplets[0].down.Device())
	}
	return torch.Stack(0, terms...).Sum().MulScalar(a.penalty / float64(2*len(a.triplets)))
}
