// Package lora implements the LoRA family, each method as PEFT computes and
// stores it: LoRA (arXiv 2106.09685), rsLoRA (2312.03732), DoRA (2402.09353)
// and VeRA (2310.11454).
package lora

import (
	"fmt"
	"math"

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
			Name: v.name, Summary: m.summary, PEFTType: "LORA", DefaultAlpha: defaultAlpha, Dropout: true,
			Count: v.count, New: v.fresh, Open: v.open, Adopt: v.adopt,
		})
	}
}

// pair is the trained tensors of one site.
type pair struct {
	site       adapter.Site
	name       string        // the module's, as PEFT stores it
	alpha      float64       // α
	scale      float64       // α/r or α/√r
	down       *torch.Tensor // A (r, In)
	up         *torch.Tensor // B (Out, r)
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
	l := &lowRank{variant: v, model: spec.Architecture, targets: spec.Targets, rank: int64(spec.Rank), alpha: spec.Alpha, dropout: spec.Dropout}
	if spec.Init != "" {
		return nil, fmt.Errorf("%s: init %q: there is one start only, leave it out", v.name, spec.Init)
	}
	ranks := func(adapter.Site) int64 { return l.rank }
	return l.build(ranks, func(p *pair, rank int64) error {
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
	l := &lowRank{variant: v, model: c.Architecture(), targets: targets, rank: c.Ranks[0], alpha: c.Alpha, dropout: c.Dropout}
	alphas, err := readAlphas(c.PEFT)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Dir, err)
	}
	ranks := func(site adapter.Site) int64 {
		// PEFT's rank_pattern says the same; the tensors cannot be wrong.
		if shape := s.Shape(adapter.PEFTPrefix + l.model.Module(site) + downSuffix); len(shape) == 2 {
			return shape[0]
		}
		return l.rank
	}
	a, err := l.build(ranks, func(p *pair, rank int64) (err error) {
		alpha, err := alphas.of(l.model.Module(p.site), l.alpha)
		if err != nil {
			return err
		}
		p.setAlpha(v, alpha, rank)
		if p.down, err = s.Tensor(p.name+downSuffix, device, rank, p.site.In); err != nil {
			return err
		}
		if p.up, err = s.Tensor(p.name+upSuffix, device, p.site.Out, rank); err != nil {
			return err
		}
		if v.magnitudes {
			p.magnitude = &magnitude{}
			p.length, err = s.Tensor(p.name+lengthSuffix, device, p.site.Out)
		}
		return err
	}, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Dir, err)
	}
	return a, nil
}

// build checks all ranks, then lets fill make the tensors of each pair. On an
// error nothing is left.
func (l *lowRank) build(rankOf func(adapter.Site) int64, fill func(*pair, int64) error, seed uint64) (adapter.Adapter, error) {
	if len(l.targets) == 0 {
		return nil, fmt.Errorf("%s: no targets", l.name)
	}
	l.bySite = map[adapter.Site]*pair{}
	for layer := range l.model.Layers {
		for _, kind := range l.targets {
			site := l.model.Site(layer, kind)
			rank, limit := rankOf(site), min(site.In, site.Out)
			if rank < 1 || rank > limit {
				return nil, fmt.Errorf("%s: rank %d is not between 1 and %d, the largest legal rank of %s (%d × %d)", l.name, rank, limit, site, site.Out, site.In)
			}
			p := &pair{site: site, name: adapter.PEFTPrefix + l.model.Module(site)}
			p.setAlpha(l.variant, l.alpha, rank)
			l.pairs = append(l.pairs, p)
			l.bySite[site] = p
		}
	}
	err := torch.Do(func() error {
		torch.Seed(seed)
		for _, p := range l.pairs {
			if err := fill(p, rankOf(p.site)); err != nil {
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
	for _, p := range l.pairs {
		p.down.Free()
		p.up.Free()
		if p.magnitude != nil {
			p.magnitude.free()
		}
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
