// Package metatt implements MetaTT (arXiv 2506.09105): one tensor train, shared
// by the whole network, holds the updates of all adapted weight matrices.
package metatt

import (
	"fmt"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/torch"
)

// Modes4D names the modes of MetaTT-4D, in order; each is one core.
var Modes4D = []string{"in", "layer", "matrix", "out"}

func init() {
	adapter.Register(adapter.Method{
		Name:     "metatt4d",
		Summary:  "ΔW[l,m] = α G1 G2[l] G3[m] G4; 2Dr + (L+M)r²; arXiv 2506.09105",
		PEFTType: "METATT",
		Modes:    Modes4D,
		Count:    count4D,
		New:      new4D,
		Open:     open4D,
	})
}

// train4D is MetaTT-4D. With D the width, L layers and M matrix indices the
// cores are G1 (1, D, r1), G2 (r1, L, r2), G3 (r2, M, r3), G4 (r3, D, 1), and
//
//	y = x Wᵀ + b + α x G1 G2[:,l,:] G3[:,m,:] G4    for x (tokens, D).
//
// A feed-forward matrix is cut into D×D blocks, each an index of the matrix
// mode: ffn_up into blocks of output columns, ffn_down of input rows.
type train4D struct {
	model   adapter.Architecture
	targets []adapter.Kind
	alpha   float64
	init    string
	ranks   [3]int64
	slots   map[adapter.Kind]slot // matrix indices of each target
	matrix  int64                 // M, all indices
	cores   [4]*torch.Tensor
}

// slot is the run of matrix indices of one target.
type slot struct{ first, blocks int64 }

// count4D is 2Dr + (L+M)r².
func count4D(spec adapter.Spec) int64 {
	r, indices := int64(spec.Rank), int64(spec.Architecture.Layers)
	for _, kind := range spec.Targets {
		indices += blocks(spec.Architecture, kind)
	}
	return 2*spec.Architecture.Hidden*r + indices*r*r
}

// blocks is the number of D×D blocks of a matrix.
func blocks(model adapter.Architecture, kind adapter.Kind) int64 {
	site := model.Site(0, kind)
	return max(site.In, site.Out) / model.Hidden
}

func new4D(spec adapter.Spec) (adapter.Adapter, error) {
	r := int64(spec.Rank)
	return build(spec.Architecture, spec.Targets, [3]int64{r, r, r}, spec.Alpha, spec.Init, func(t *train4D) error {
		starts, err := parseInit(t.init, len(t.cores))
		if err != nil {
			return err
		}
		if err := checkReachable(starts, t.ranks[:]); err != nil {
			return err
		}
		return torch.Do(func() error {
			torch.Seed(spec.Seed)
			for i, s := range starts {
				shape := t.shape(i)
				t.cores[i] = makeCore(s, shape[0], shape[1], shape[2]).To(spec.Device).SetRequiresGrad(true).Keep()
			}
			return nil
		})
	})
}

func open4D(s *adapter.Saved, device torch.Device) (adapter.Adapter, error) {
	c := s.Config
	targets, err := adapter.ParseKinds(c.Targets)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Dir, err)
	}
	if len(c.Ranks) != 3 {
		return nil, fmt.Errorf("%s: %d ranks, the train has 3 bonds", s.Dir, len(c.Ranks))
	}
	return build(c.Architecture(), targets, [3]int64(c.Ranks), c.Alpha, c.Init, func(t *train4D) error {
		for i := range t.cores {
			core, err := s.Tensor(coreName(i), device, t.shape(i)...)
			if err != nil {
				return err
			}
			t.cores[i] = core
			if err := torch.Do(func() error { core.SetRequiresGrad(true); return nil }); err != nil {
				return err
			}
		}
		return nil
	})
}

// build checks everything that does not need tensors, then lets fill make the
// cores. On an error no core is left.
func build(model adapter.Architecture, targets []adapter.Kind, ranks [3]int64, alpha float64, init string, fill func(*train4D) error) (adapter.Adapter, error) {
	if init == "" {
		init = DefaultInit
	}
	t := &train4D{model: model, targets: targets, alpha: alpha, init: init, ranks: ranks, slots: map[adapter.Kind]slot{}}
	if len(targets) == 0 {
		return nil, fmt.Errorf("metatt4d: no targets")
	}
	for _, kind := range targets {
		if (kind == adapter.FFNUp || kind == adapter.FFNDown) && model.Intermediate%model.Hidden != 0 {
			return nil, fmt.Errorf("metatt4d: target %s: feed-forward width %d is not a multiple of the width %d", kind, model.Intermediate, model.Hidden)
		}
		s := slot{t.matrix, blocks(model, kind)}
		t.slots[kind] = s
		t.matrix += s.blocks
	}
	// A bond holds no more than the modes on either side of it can.
	d, layers := model.Hidden, int64(model.Layers)
	for b, limit := range [3]int64{d, min(d*layers, d*t.matrix), d} {
		if ranks[b] < 1 || ranks[b] > limit {
			return nil, fmt.Errorf("metatt4d: rank %d of bond %d is not between 1 and %d, its largest legal rank for width %d, %d layers and %d matrices",
				ranks[b], b+1, limit, d, layers, t.matrix)
		}
	}
	if err := fill(t); err != nil {
		t.Free()
		return nil, fmt.Errorf("metatt4d: %w", err)
	}
	return t, nil
}

func coreName(i int) string { return fmt.Sprintf("cores.%d", i) }

// shape is the shape of core i: (left rank, mode size, right rank).
func (t *train4D) shape(i int) []int64 {
	bonds := [5]int64{1, t.ranks[0], t.ranks[1], t.ranks[2], 1}
	sizes := [4]int64{t.model.Hidden, int64(t.model.Layers), t.matrix, t.model.Hidden}
	return []int64{bonds[i], sizes[i], bonds[i+1]}
}

// Config implements [adapter.Adapter].
func (t *train4D) Config() adapter.Config {
	c := adapter.Config{
		FormatVersion: adapter.FormatVersion, PEFTType: "METATT", Method: "metatt4d", Modes: Modes4D,
		Ranks: t.ranks[:], Alpha: t.alpha, Init: t.init,
	}
	c.SetArchitecture(t.model)
	for _, k := range t.targets {
		c.Targets = append(c.Targets, k.String())
	}
	return c
}

// Parameters implements [adapter.Adapter]: the cores, cores.0 … cores.3.
func (t *train4D) Parameters() []adapter.Parameter {
	p := make([]adapter.Parameter, len(t.cores))
	for i, c := range t.cores {
		p[i] = adapter.Parameter{Name: coreName(i), Tensor: c}
	}
	return p
}

// Free implements [adapter.Adapter].
func (t *train4D) Free() {
	for _, c := range t.cores {
		c.Free()
	}
}

// folded is α G2[l] G3[m] for every l and m, (L, M, r1, r3). The product costs
// L·M·r³ once a pass; going through the tokens twice instead would cost
// tokens·r² for each of the L·M matrices.
func (t *train4D) folded() *torch.Tensor {
	layers := t.cores[1].Permute(1, 0, 2).Unsqueeze(1)   // (L, 1, r1, r2)
	matrices := t.cores[2].Permute(1, 0, 2).Unsqueeze(0) // (1, M, r2, r3)
	return layers.MatMul(matrices).MulScalar(t.alpha)
}

// Begin implements [adapter.Adapter].
func (t *train4D) Begin(step adapter.Step) adapter.Pass {
	d := t.model.Hidden
	return &pass{
		train:  t,
		in:     t.cores[0].Reshape(d, t.ranks[0]).ToDType(step.DType),
		middle: t.folded().ToDType(step.DType),
		out:    t.cores[3].Reshape(t.ranks[2], d).ToDType(step.DType),
	}
}

// pass holds the cores of one forward pass in the run's dtype.
type pass struct {
	train  *train4D
	in     *torch.Tensor // (D, r1)
	middle *torch.Tensor // (L, M, r1, r3), with α
	out    *torch.Tensor // (r3, D)
}

// Apply implements [adapter.Pass]. x G1 is computed once for all sites that
// read x.
func (p *pass) Apply(sites []adapter.Site, x *torch.Tensor, frozen []*torch.Tensor) []*torch.Tensor {
	t := p.train
	r1, r3, d := t.ranks[0], t.ranks[2], t.model.Hidden
	var reduced *torch.Tensor // x G1, (tokens, blocks·r1)
	for i, site := range sites {
		s, adapted := t.slots[site.Kind]
		if !adapted {
			continue
		}
		tokens := x.Size(0)
		if reduced == nil {
			// ffn_down reads blocks·D columns: each block goes through G1.
			reduced = x.Reshape(-1, d).MatMul(p.in).Reshape(tokens, -1)
		}
		middle := p.middle.Select(0, int64(site.Layer)).Narrow(0, s.first, s.blocks) // (blocks, r1, r3)
		if site.Kind == adapter.FFNUp {
			// Every output block reads the same r1 numbers and goes through G4.
			middle = middle.Permute(1, 0, 2).Reshape(r1, s.blocks*r3)
			update := reduced.MatMul(middle).Reshape(-1, r3) // (tokens·blocks, r3)
			frozen[i] = frozen[i].Reshape(-1, d).AddMatMulInPlace(update, p.out).Reshape(tokens, site.Out)
			continue
		}
		// Input blocks add up before G4: (tokens, blocks·r1) x (blocks·r1, r3).
		update := reduced.MatMul(middle.Reshape(s.blocks*r1, r3))
		frozen[i].AddMatMulInPlace(update, p.out)
	}
	return frozen
}

// Delta implements [adapter.Adapter].
func (t *train4D) Delta(site adapter.Site) *torch.Tensor {
	s, adapted := t.slots[site.Kind]
	if !adapted {
		return nil
	}
	d := t.model.Hidden
	in, out := t.cores[0].Reshape(d, t.ranks[0]), t.cores[3].Reshape(t.ranks[2], d)
	middle := t.folded().Select(0, int64(site.Layer))
	blocks := make([]*torch.Tensor, s.blocks)
	for b := range blocks {
		blocks[b] = in.MatMul(middle.Select(0, s.first+int64(b))).MatMul(out) // (D, r1) x (r1, r3) x (r3, D)
	}
	if site.Kind == adapter.FFNDown {
		return torch.Cat(0, blocks...)
	}
	return torch.Cat(1, blocks...)
}
