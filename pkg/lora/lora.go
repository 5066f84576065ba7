// Package lora implements the LoRA family, each method as PEFT computes and
// stores it: LoRA (arXiv 2106.09685), rsLoRA (2312.03732), DoRA (2402.09353)
// and VeRA (2310.11454).
package lora

import (
	"fmt"
	"math"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/adapter/factored"
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
			Count: v.count, New: v.fresh, Open: opener(v.open), Adopt: v.adopt,
		})
	}
}

// pair is the trained tensors of one module.
type pair struct {
	at
	rank       int64
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
	adapted[*pair]
	rank  int64
	alpha float64
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
	l := &lowRank{variant: v, adapted: ofSpec[*pair](v.name, spec, settings.Dropout), rank: int64(spec.Rank), alpha: spec.Alpha}
	modules := modulesOf(l.model, l.targets)
	for _, m := range modules {
		if l.rank > min(m.In, m.Out) {
			return nil, fmt.Errorf("%s: rank %d is not between 1 and %d, the smaller side of %s (%d × %d)", v.name, l.rank, min(m.In, m.Out), m.Site, m.Out, m.In)
		}
	}
	return l.make(modules, func(p *pair) error { return p.size(v, l.alpha, l.rank) }, func() error {
		torch.Seed(spec.Seed)
		for _, p := range l.sites {
			f32, bound := torch.Float32, 1/math.Sqrt(float64(p.site.In))
			p.down = torch.Uniform(f32, torch.CPU, -bound, bound, p.rank, p.site.In).To(spec.Device).Keep()
			p.up = torch.Zeros(f32, spec.Device, p.site.Out, p.rank).Keep()
			if v.magnitudes {
				p.magnitude = &magnitude{length: torch.Zeros(f32, spec.Device, p.site.Out).Keep(), fresh: true}
			}
		}
		return nil
	})
}

// make builds the adapter; size gives each pair its rank and α.
func (l *lowRank) make(modules []module, size func(*pair) error, fill func() error) (adapter.Adapter, error) {
	err := l.build(l, modules, func(where at) (*pair, error) {
		p := &pair{at: where}
		return p, size(p)
	}, fill)
	switch {
	case err != nil:
		return nil, err
	case l.magnitudes:
		return dora{l}, nil
	}
	return linear{l}, nil
}

// size gives the pair its rank, which it checks, and its scale.
func (p *pair) size(v variant, alpha float64, rank int64) error {
	if rank < 1 || rank > largestRank {
		return fmt.Errorf("rank %d of %s is not between 1 and %d", rank, p.module, largestRank)
	}
	p.rank = rank
	p.setAlpha(v, alpha)
	return nil
}

// Fold implements [adapter.Folding]: PEFT's lora_bias is s b on top of the bias.
func (l *lowRank) Fold(weight func(string) (*torch.Tensor, error), add func(string, *torch.Tensor) error) (err error) {
	err = foldEach(l.all(), func(p *pair) error {
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
	for _, p := range l.sites {
		p.upBias.Free()
		p.upBias = nil
	}
	l.dropOthers()
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

func (p *pair) setAlpha(v variant, alpha float64) {
	p.alpha, p.scale = alpha, alpha/float64(p.rank)
	if v.rootScale {
		p.scale = alpha / math.Sqrt(float64(p.rank))
	}
}

// Parameters implements [adapter.Adapter].
func (l *lowRank) Parameters() []adapter.Parameter {
	var list []adapter.Parameter
	for _, p := range l.sites {
		list = append(list, adapter.Parameter{Name: p.name + downSuffix, Tensor: p.down}, adapter.Parameter{Name: p.name + upSuffix, Tensor: p.up})
		if p.magnitude != nil {
			list = append(list, adapter.Parameter{Name: p.name + lengthSuffix, Tensor: p.length})
		}
	}
	return list
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
func (l *lowRank) Begin(step adapter.Step) adapter.Pass {
	p := &pass{l, step}
	if step.Training && l.dropout > 0 { // each site has a mask of its own
		return p
	}
	if pairs, alike := l.attention(); alike {
		return joinedPass{p, pairs.ToDType(step.DType).Joined()}
	}
	return p
}

// attention is the pairs of query, key and value, in fp32, where those of a kind are
// alike in all layers and nothing else is done to the outputs.
func (l *lowRank) attention() (pairs factored.Pairs, alike bool) {
	layers := l.model.Layers
	pairs = factored.Pairs{}
	for _, kind := range adapter.Joined {
		var down, up []*torch.Tensor
		var first *pair
		for layer := range layers {
			p, adapted := l.bySite[l.model.Site(layer, kind)]
			if !adapted {
				continue
			}
			if first == nil {
				first = p
			}
			if p.magnitude != nil || p.rank != first.rank || p.scale != first.scale {
				return nil, false
			}
			down, up = append(down, p.down), append(up, p.up)
		}
		switch len(down) {
		case 0:
		case layers:
			pairs[kind] = factored.Pair{
				In:  torch.Stack(0, down...).Transpose(1, 2),                      // (L, In, r)
				Out: torch.Stack(0, up...).MulScalar(first.scale).Transpose(1, 2), // (L, r, Out)
			}
		default:
			return nil, false
		}
	}
	return pairs, true
}

// joinedPass is a pass that implements [adapter.JoinedPass].
type joinedPass struct {
	*pass
	factored.Joined
}

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
		read := p.step.Drop(site, x, p.dropout)
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
