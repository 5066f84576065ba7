package lora

import (
	"fmt"
	"math"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/adapter/setting"
	"github.com/metatt/metatt/pkg/torch"
)

// veraDStart is where λ_d starts: the paper's and PEFT's d_initial.
const veraDStart = 0.1

// What PEFT calls VeRA's tensors: the shared ones, and behind a module's name.
const (
	veraDown  = "base_model.vera_A"
	veraUp    = "base_model.vera_B"
	veraD     = ".vera_lambda_d"
	veraB     = ".vera_lambda_b"
	veraDName = "vera_lambda_d"
)

func init() {
	adapter.Register(adapter.Method{
		Name:     "vera",
		Summary:  "ΔW = λ_b ∘ B (λ_d ∘ A), A and B random, frozen and shared; Σ Dout + r; arXiv 2310.11454",
		PEFTType: "VERA",
		Settings: setting.Declaration{Keys: declared.Keys, Training: declared.Training, Idle: []string{"alpha"}}, // its vectors are its scale
		Adopted:  adoptedDropout,
		Count:    countVeRA,
		New:      freshVeRA,
		Open:     opener(openVeRA),
		Adopt: func(s *adapter.Saved) (bool, error) {
			if err := checkKeys(s, veraKeys); err != nil {
				return false, err
			}
			return true, adoptKeys(s, "r", "", "vera_dropout", veraDName)
		},
	})
}

// vera shares one pair of frozen matrices among all sites, of the largest sizes:
// a smaller site uses the first columns of A and the first rows of B.
type vera struct {
	adapted[*scales]
	rank int64
	seed uint64
	down *torch.Tensor // A (r, largest In), frozen
	up   *torch.Tensor // B (largest Out, r), frozen
}

// scales is the trained vectors of a module.
type scales struct {
	at
	d *torch.Tensor // λ_d (r)
	b *torch.Tensor // λ_b (Out)
}

func (s *scales) free() {
	s.d.Free()
	s.b.Free()
}

// countVeRA is Out + r for each site.
func countVeRA(spec adapter.Spec) (n int64) {
	for _, kind := range spec.Targets {
		n += spec.Architecture.Site(0, kind).Out + int64(spec.Rank)
	}
	return n * int64(spec.Architecture.Layers)
}

func freshVeRA(spec adapter.Spec) (adapter.Adapter, error) {
	settings, err := adapter.SettingsOf[Settings](spec)
	if err != nil {
		return nil, fmt.Errorf("vera: %w", err)
	}
	v := &vera{adapted: ofSpec[*scales]("vera", spec, settings.Dropout), rank: int64(spec.Rank), seed: spec.Seed}
	return v.make(modulesOf(v.model, v.targets), func(in, out int64) error {
		v.draw(spec.Device, in, out)
		for _, s := range v.sites {
			s.d = torch.Ones(torch.Float32, spec.Device, v.rank).MulScalar(veraDStart).Keep()
			s.b = torch.Zeros(torch.Float32, spec.Device, s.site.Out).Keep()
		}
		return nil
	})
}

// draw makes A and B of the seed: Kaiming-uniform for ReLU by the number of
// columns, as PEFT draws them of its projection_prng_key, number by number.
func (v *vera) draw(device torch.Device, in, out int64) {
	uniform := func(rows, columns int64) *torch.Tensor {
		bound := math.Sqrt(6 / float64(columns))
		return torch.Uniform(torch.Float32, torch.CPU, -bound, bound, rows, columns).To(device).Keep()
	}
	torch.Seed(v.seed)
	v.down, v.up = uniform(v.rank, in), uniform(out, v.rank)
}

// make builds the adapter; fill is given the largest In and Out.
func (v *vera) make(modules []module, fill func(in, out int64) error) (adapter.Adapter, error) {
	if v.rank < 1 || v.rank > largestRank {
		return nil, fmt.Errorf("vera: rank %d is not between 1 and %d", v.rank, largestRank)
	}
	var in, out int64
	for _, m := range modules {
		in, out = max(in, m.In), max(out, m.Out)
	}
	err := v.build(v, modules, func(where at) (*scales, error) { return &scales{at: where}, nil }, func() error { return fill(in, out) })
	if err != nil {
		return nil, err
	}
	return v, nil
}

// Parameters implements [adapter.Adapter].
func (v *vera) Parameters() []adapter.Parameter {
	var list []adapter.Parameter
	for _, s := range v.sites {
		list = append(list, adapter.Parameter{Name: s.name + veraD, Tensor: s.d}, adapter.Parameter{Name: s.name + veraB, Tensor: s.b})
	}
	return list
}

// Buffers implements [adapter.Buffered].
func (v *vera) Buffers() []adapter.Parameter {
	return []adapter.Parameter{{Name: veraDown, Tensor: v.down}, {Name: veraUp, Tensor: v.up}}
}

// Free implements [adapter.Adapter].
func (v *vera) Free() {
	v.down.Free()
	v.up.Free()
	v.adapted.Free()
}

// Fold implements [adapter.Folding].
func (v *vera) Fold(_ func(string) (*torch.Tensor, error), add func(string, *torch.Tensor) error) error {
	return v.foldOthers(func(s *scales) error {
		return add(s.module+".weight", v.scaledUp(s).MatMul(v.down.Narrow(1, 0, s.site.In)))
	})
}

// Begin implements [adapter.Adapter].
func (v *vera) Begin(step adapter.Step) adapter.Pass {
	return &veraPass{v, step, v.down.ToDType(step.DType)}
}

type veraPass struct {
	*vera
	step adapter.Step
	cast *torch.Tensor // A in the run's dtype
}

// Apply implements [adapter.Pass]. x Aᵀ is the same for all sites that read x,
// dropout included; λ_d joins B rather than tokens.
func (p *veraPass) Apply(sites []adapter.Site, x *torch.Tensor, frozen []*torch.Tensor) []*torch.Tensor {
	var reduced *torch.Tensor // (tokens, r)
	for i, site := range sites {
		s, adapted := p.bySite[site]
		if !adapted {
			continue
		}
		if reduced == nil {
			reduced = p.step.Drop(site, x, p.dropout).Linear(p.cast.Narrow(1, 0, site.In), nil)
		}
		frozen[i].AddMatMulInPlace(reduced, p.scaledUp(s).ToDType(p.step.DType).T())
	}
	return frozen
}

// scaledUp is λ_b ∘ B ∘ λ_d, (Out, r).
func (v *vera) scaledUp(s *scales) *torch.Tensor {
	return v.up.Narrow(0, 0, s.site.Out).Mul(s.b.Unsqueeze(1)).Mul(s.d)
}

// Factors implements [adapter.Factored].
func (v *vera) Factors(site adapter.Site) (in, out *torch.Tensor) {
	s, adapted := v.bySite[site]
	if !adapted {
		return nil, nil
	}
	return v.down.Narrow(1, 0, site.In).T(), v.scaledUp(s).T()
}

// Delta implements [adapter.Adapter].
func (v *vera) Delta(site adapter.Site) *torch.Tensor {
	in, out := v.Factors(site)
	if in == nil {
		return nil
	}
	return in.MatMul(out)
}
