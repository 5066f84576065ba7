// Package lora implements the LoRA family, each method as PEFT computes and
// stores it: LoRA (arXiv 2106.09685), rsLoRA (2312.03732), DoRA (2402.09353)
// and VeRA (2310.11454).
package lora

import (
	"fmt"
	"math"
	"slices"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/torch"
)

// variant tells the methods apart that are a pair of thin matrices a site.
type variant struct {
	name       string
	rootScale  bool // α/√r in the place of α/r
	magnitudes bool // DoRA: rows of W + ΔW are rescaled to trained lengths
}

// defaultAlpha is the LoRA paper's for RoBERTa at rank 8.
const defaultAlpha = 16

func init() {
	for _, m := range []struct {
		variant
		summary string
	}{
		{variant{name: "lora"}, "ΔW = (α/r) B A at every site; Σ r(Din + Dout); arXiv 2106.09685"},
		{variant{name: "rslora", rootScale: true}, "ΔW = (α/√r) B A at every site; Σ r(Din + Dout); arXiv 2312.03732"},
		{variant{name: "dora", magnitudes: true}, "W + ΔW = m/‖W + sBA‖ · (W + sBA) by rows; Σ r(Din + Dout) + Dout; arXiv 2402.09353"},
	} {
		v := m.variant
		adapter.Register(adapter.Method{
			Name: v.name, Summary: m.summary, PEFTType: "LORA", DefaultAlpha: defaultAlpha, Settings: declared, Adopted: adoptedDropout,
			Count: v.count, New: v.fresh, Open: v.open, Adopt: v.adopt,
		})
	}
}

// pair is the trained tensors of one site.
type pair struct {
	site       adapter.Site
	module     string        // its name in the model
	name       string        // the module's, as PEFT stores it
	alpha      float64       // α
	scale      float64       // α/r or α/√r
	down       *torch.Tensor // A (r, In)
	up         *torch.Tensor // B (Out, r)
	upBias     *torch.Tensor // PEFT's lora_bias (Out), until it is folded; else nil
	*magnitude               // DoRA's; else nil
}

// lowRank is an adapter of pairs.
type lowRank struct {
	variant
	model   adapter.Architecture
	targets []adapter.Kind
	rank    int64
	alpha   float64
	dropout float64
	pairs   []*pair // by layer, then in the order of the targets
	bySite  map[adapter.Site]*pair
	others  []*pair // of what is no site, until they are folded
}

// count is r (In + Out), and Out where lengths are trained, for each site.
func (v variant) count(spec adapter.Spec) (n int64) {
	for _, kind := range spec.Targets {
		site := spec.Architecture.Site(0, kind)
		n += int64(spec.Rank) * (site.In + site.Out)
		if v.magnitudes {
			n += site.Out
		}
	}
	return n * int64(spec.Architecture.Layers)
}

// fresh makes A Kaiming-uniform as PEFT does, within 1/√In, and B zero.
func (v variant) fresh(spec adapter.Spec) (adapter.Adapter, error) {
	settings, err := adapter.SettingsOf[Settings](spec)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", v.name, err)
	}
	l := &lowRank{variant: v, model: spec.Architecture, targets: spec.Targets, rank: int64(spec.Rank), alpha: spec.Alpha, dropout: settings.Dropout}
	for layer := range l.model.Layers {
		for _, kind := range l.targets {
			if site := l.model.Site(layer, kind); l.rank > min(site.In, site.Out) {
				return nil, fmt.Errorf("%s: rank %d is not between 1 and %d, the smaller side of %s (%d × %d)", v.name, l.rank, min(site.In, site.Out), site, site.Out, site.In)
			}
		}
	}
	ranks := func(module) (int64, error) { return l.rank, nil }
	return l.build(modulesOf(l.model, l.targets), ranks, func(p *pair, rank int64) error {
		f32, cpu, bound := torch.Float32, torch.CPU, 1/math.Sqrt(float64(p.site.In))
		p.down = torch.Uniform(f32, cpu, -bound, bound, rank, p.site.In).To(spec.Device).Keep()
		p.up = torch.Zeros(f32, spec.Device, p.site.Out, rank).Keep()
		if v.magnitudes {
			p.magnitude = &magnitude{length: torch.Zeros(f32, spec.Device, p.site.Out).Keep(), fresh: true}
		}
		return nil
	}, spec.Seed)
}

func (v variant) open(s *adapter.Saved, device torch.Device) (adapter.Adapter, error) {
	c := s.Config
	targets, err := adapter.ParseKinds(c.Targets)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Dir, err)
	}
	if len(c.Ranks) != 1 {
		return nil, fmt.Errorf("%s: %d ranks, %s has one", s.Dir, len(c.Ranks), v.name)
	}
	if err := checkKeys(s, loraKeys); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Dir, err)
	}
	if v.magnitudes { // a DoRA may have either scale
		v.rootScale, _ = c.PEFT["use_rslora"].(bool)
	}
	l := &lowRank{variant: v, model: c.Architecture(), targets: targets, rank: c.Ranks[0], alpha: c.Alpha, dropout: c.Dropout}
	a, err := l.read(s, device)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Dir, err)
	}
	return a, nil
}

// read makes the pairs of a file.
func (l *lowRank) read(s *adapter.Saved, device torch.Device) (adapter.Adapter, error) {
	modules, err := savedModules(s, downSuffix, upSuffix)
	if err != nil {
		return nil, err
	}
	rankPattern, err := readPattern(s, "rank_pattern")
	if err != nil {
		return nil, err
	}
	alphas, err := readPattern(s, "alpha_pattern")
	if err != nil {
		return nil, err
	}
	biased, _ := s.Config.PEFT["lora_bias"].(bool)
	ranks := func(m module) (int64, error) {
		value := rankPattern.of(s.PEFTModule(m.name), float64(l.rank))
		rank := int64(value)
		if float64(rank) != value {
			return 0, fmt.Errorf("rank_pattern gives %s %v, not a rank", m.name, value)
		}
		if shape := s.Shape(adapter.PEFTPrefix + m.name + downSuffix); len(shape) == 2 && shape[0] != rank {
			return 0, fmt.Errorf("%s has rank %d, the configuration gives it %d", m.name, shape[0], rank)
		}
		return rank, nil
	}
	a, err := l.build(modules, ranks, func(p *pair, rank int64) (err error) {
		p.setAlpha(l.variant, alphas.of(s.PEFTModule(p.module), l.alpha), rank)
		if p.down, err = s.Tensor(p.name+downSuffix, device, rank, p.site.In); err != nil {
			return err
		}
		if p.up, err = s.Tensor(p.name+upSuffix, device, p.site.Out, rank); err != nil {
			return err
		}
		if biased && s.Shape(p.name+biasSuffix) != nil { // what this build wrote has folded it
			if p.upBias, err = s.Tensor(p.name+biasSuffix, device, p.site.Out); err != nil {
				return err
			}
		}
		if l.magnitudes {
			p.magnitude = &magnitude{}
			p.length, err = s.Tensor(p.name+lengthSuffix, device, p.site.Out)
		}
		return err
	}, 0)
	if err == nil {
		rankPattern.noteUnused(s)
		alphas.noteUnused(s)
	}
	return a, err
}

// largestRank bounds what a file, or VeRA, may ask for. A rank above the smaller side of a
// matrix is no mistake, only waste.
const largestRank = 1 << 16

// build checks all ranks, then lets fill make the tensors of each pair. On an
// error nothing is left.
func (l *lowRank) build(modules []module, rankOf func(module) (int64, error), fill func(*pair, int64) error, seed uint64) (adapter.Adapter, error) {
	if len(l.targets) == 0 {
		return nil, fmt.Errorf("%s: no targets", l.name)
	}
	l.bySite = map[adapter.Site]*pair{}
	ranks := make([]int64, len(modules))
	var all []*pair
	for i, m := range modules {
		var err error
		if ranks[i], err = rankOf(m); err != nil {
			return nil, fmt.Errorf("%s: %w", l.name, err)
		}
		if ranks[i] < 1 || ranks[i] > largestRank {
			return nil, fmt.Errorf("%s: rank %d of %s is not between 1 and %d", l.name, ranks[i], m.name, largestRank)
		}
		p := &pair{site: m.Site, module: m.name, name: adapter.PEFTPrefix + m.name}
		p.setAlpha(l.variant, l.alpha, ranks[i])
		if all = append(all, p); m.Kind == noKind {
			l.others = append(l.others, p)
			continue
		}
		l.pairs, l.bySite[m.Site] = append(l.pairs, p), p
	}
	err := torch.Do(func() error {
		torch.Seed(seed)
		for i, p := range all {
			if err := fill(p, ranks[i]); err != nil {
				return err
			}
		}
		for _, parameter := range l.Parameters() {
			parameter.Tensor.SetRequiresGrad(true)
		}
		return nil
	})
	if err != nil {
		l.Free()
		return nil, fmt.Errorf("%s: %w", l.name, err)
	}
	if l.magnitudes {
		return dora{l}, nil
	}
	return linear{l}, nil
}

// Fold implements [adapter.Folding]: PEFT's lora_bias is s b on top of the bias.
func (l *lowRank) Fold(weight func(string) (*torch.Tensor, error), add func(string, *torch.Tensor) error) (err error) {
	err = foldEach(slices.Concat(l.pairs, l.others), func(p *pair) error {
		if p.upBias != nil {
			if err := add(p.module+".bias", p.upBias.MulScalar(p.scale)); err != nil {
				return err
			}
		}
		if p.site.Kind == noKind {
			return p.foldWeight(weight, add)
		}
		return nil
	})
	for _, p := range l.pairs {
		p.upBias.Free()
		p.upBias = nil
	}
	for _, p := range l.others {
		p.free()
	}
	l.others = nil
	return err
}

// foldWeight hands out the update of a layer that is no site.
func (p *pair) foldWeight(weight func(string) (*torch.Tensor, error), add func(string, *torch.Tensor) error) error {
	name := p.module + ".weight"
	if p.magnitude == nil {
		return add(name, p.product().T())
	}
	w, err := weight(name)
	if err != nil {
		return err
	}
	p.measure(w)
	return add(name, p.rescaledDelta().T())
}

// linear is LoRA or rsLoRA.
type linear struct{ *lowRank }

// Factors implements [adapter.Factored].
func (l linear) Factors(site adapter.Site) (in, out *torch.Tensor) {
	p, adapted := l.bySite[site]
	if !adapted {
		return nil, nil
	}
	return p.down.T(), p.up.T().MulScalar(p.scale)
}

func (p *pair) setAlpha(v variant, alpha float64, rank int64) {
	p.alpha, p.scale = alpha, alpha/float64(rank)
	if v.rootScale {
		p.scale = alpha / math.Sqrt(float64(rank))
	}
}

func (p *pair) rank() int64 { return p.down.Size(0) }

// Parameters implements [adapter.Adapter].
func (l *lowRank) Parameters() []adapter.Parameter {
	var list []adapter.Parameter
	for _, p := range l.pairs {
		list = append(list, adapter.Parameter{Name: p.name + downSuffix, Tensor: p.down}, adapter.Parameter{Name: p.name + upSuffix, Tensor: p.up})
		if p.magnitude != nil {
			list = append(list, adapter.Parameter{Name: p.name + lengthSuffix, Tensor: p.length})
		}
	}
	return list
}

// Free implements [adapter.Adapter].
func (l *lowRank) Free() {
	for _, p := range slices.Concat(l.pairs, l.others) {
		p.free()
	}
}

func (p *pair) free() {
	p.down.Free()
	p.up.Free()
	p.upBias.Free()
	if p.magnitude != nil {
		p.magnitude.free()
	}
}

// Begin implements [adapter.Adapter].
func (l *lowRank) Begin(step adapter.Step) adapter.Pass { return &pass{l, step} }

type pass struct {
	*lowRank
	step adapter.Step
}

// Apply implements [adapter.Pass]: two thin products a site.
func (p *pass) Apply(sites []adapter.Site, x *torch.Tensor, frozen []*torch.Tensor) []*torch.Tensor {
	for i, site := range sites {
		pair, adapted := p.bySite[site]
		if !adapted {
			continue
		}
		read := x
		if p.step.Training && p.dropout > 0 {
			read = x.Dropout(p.dropout)
		}
		reduced := read.Linear(pair.down.ToDType(p.step.DType), nil) // (tokens, In) x (In, r)
		up := pair.up.MulScalar(pair.scale)                          // (Out, r); the scale costs less here than on tokens
		if pair.magnitude != nil {
			up = pair.rescale(frozen[i], read != x, read, up)
		}
		frozen[i].AddMatMulInPlace(reduced, up.ToDType(p.step.DType).T())
	}
	return frozen
}

// product is s (B A)ᵀ, (In, Out).
func (p *pair) product() *torch.Tensor {
	return p.down.T().MatMul(p.up.T()).MulScalar(p.scale)
}

// Delta implements [adapter.Adapter].
func (l *lowRank) Delta(site adapter.Site) *torch.Tensor {
	p, adapted := l.bySite[site]
	if !adapted {
		return nil
	}
	if p.magnitude != nil {
		return p.rescaledDelta()
	}
	return p.product()
}
