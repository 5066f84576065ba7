// Package metatt implements MetaTT (arXiv 2506.09105): one tensor train, shared
// by the whole network, holds the updates of all adapted weight matrices.
package metatt

import (
	"fmt"
	"slices"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/torch"
)

// The modes of the train, each one core.
const (
	modeIn     = "in"
	modeLayer  = "layer"
	modeMatrix = "matrix"
	modeHead   = "head"
	modeOut    = "out"
)

// Modes4D and Modes5D name the modes of MetaTT-4D and -5D, in order.
var (
	Modes4D = []string{modeIn, modeLayer, modeMatrix, modeOut}
	Modes5D = []string{modeIn, modeLayer, modeMatrix, modeHead, modeOut}
)

func init() {
	for _, m := range []adapter.Method{
		{Name: "metatt4d", Modes: Modes4D, Summary: "ΔW[l,m] = α G1 G2[l] G3[m] G4; 2Dr + (L+M)r²; arXiv 2506.09105"},
		{Name: "metatt5d", Modes: Modes5D, Summary: "ΔW[l,m,h] = α G1 G2[l] G3[m] G4[h] G5, the heads' columns side by side; (D + D/H)r + (L+M+H)r²; arXiv 2506.09105"},
	} {
		m.PEFTType = "METATT"
		m.New = func(spec adapter.Spec) (adapter.Adapter, error) { return newTrain(m, spec) }
		m.Open = func(s *adapter.Saved, device torch.Device) (adapter.Adapter, error) { return openTrain(m, s, device) }
		adapter.Register(m)
	}
}

// train is MetaTT in 4 or 5 dimensions. With D the width, L layers, M matrix
// indices and H heads the cores of 4D are G1 (1, D, r1), G2 (r1, L, r2),
// G3 (r2, M, r3), G4 (r3, D, 1), and
//
//	y = x Wᵀ + b + α x G1 G2[:,l,:] G3[:,m,:] G4    for x (tokens, D).
//
// 5D has G4 (r3, H, r4) and G5 (r4, D/H, 1): columns hD/H to (h+1)D/H of the
// update are α G1 G2[:,l,:] G3[:,m,:] G4[:,h,:] G5.
//
// A feed-forward matrix is cut into D×D blocks, each an index of the matrix
// mode: ffn_up into blocks of output columns, ffn_down of input rows.
type train struct {
	method  adapter.Method
	model   adapter.Architecture
	targets []adapter.Kind
	alpha   float64
	init    string
	ranks   []int64
	slots   map[adapter.Kind]slot // matrix indices of each target
	matrix  int64                 // M, all indices
	cores   []*torch.Tensor       // by mode
}

// slot is the run of matrix indices of one target.
type slot struct{ first, blocks int64 }

func newTrain(m adapter.Method, spec adapter.Spec) (adapter.Adapter, error) {
	ranks := slices.Repeat([]int64{int64(spec.Rank)}, len(m.Modes)-1)
	return build(m, spec.Architecture, spec.Targets, ranks, spec.Alpha, spec.Init, func(t *train) error {
		starts, err := parseInit(t.init, len(t.cores))
		if err != nil {
			return err
		}
		if err := checkReachable(starts, t.ranks); err != nil {
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

func openTrain(m adapter.Method, s *adapter.Saved, device torch.Device) (adapter.Adapter, error) {
	c := s.Config
	targets, err := adapter.ParseKinds(c.Targets)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Dir, err)
	}
	if bonds := len(m.Modes) - 1; len(c.Ranks) != bonds {
		return nil, fmt.Errorf("%s: %d ranks, the train has %d bonds", s.Dir, len(c.Ranks), bonds)
	}
	return build(m, c.Architecture(), targets, slices.Clone(c.Ranks), c.Alpha, c.Init, func(t *train) error {
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
func build(m adapter.Method, model adapter.Architecture, targets []adapter.Kind, ranks []int64, alpha float64, init string, fill func(*train) error) (adapter.Adapter, error) {
	if init == "" {
		init = defaultInit(len(m.Modes))
	}
	t := &train{
		method: m, model: model, targets: targets, alpha: alpha, init: init, ranks: ranks,
		slots: map[adapter.Kind]slot{}, cores: make([]*torch.Tensor, len(m.Modes)),
	}
	if len(targets) == 0 {
		return nil, fmt.Errorf("%s: no targets", m.Name)
	}
	if model.Heads < 1 || model.Hidden%int64(model.Heads) != 0 {
		return nil, fmt.Errorf("%s: %d heads do not divide the width %d", m.Name, model.Heads, model.Hidden)
	}
	for _, kind := range targets {
		blocks := int64(1)
		if kind == adapter.FFNUp || kind == adapter.FFNDown {
			if model.Intermediate%model.Hidden != 0 {
				return nil, fmt.Errorf("%s: target %s: feed-forward width %d is not a multiple of the width %d", m.Name, kind, model.Intermediate, model.Hidden)
			}
			blocks = model.Intermediate / model.Hidden
		}
		t.slots[kind] = slot{t.matrix, blocks}
		t.matrix += blocks
	}
	for b, rank := range ranks {
		if limit := t.bound(b); rank < 1 || rank > limit {
			return nil, fmt.Errorf("%s: rank %d of bond %d is not between 1 and %d, its largest legal rank for %s and %d matrices",
				m.Name, rank, b+1, limit, model, t.matrix)
		}
	}
	if err := fill(t); err != nil {
		t.Free()
		return nil, fmt.Errorf("%s: %w", m.Name, err)
	}
	return t, nil
}

// bound is the largest rank of bond b, which lies right of core b: it holds no
// more than the modes on either side of it can.
func (t *train) bound(b int) int64 {
	product := func(first, last int) int64 {
		n := int64(1)
		for i := first; i <= last; i++ {
			n *= t.size(i)
		}
		return n
	}
	return min(product(0, b), product(b+1, len(t.cores)-1))
}

func coreName(i int) string { return fmt.Sprintf("cores.%d", i) }

// size is the number of indices of mode i.
func (t *train) size(i int) int64 {
	switch t.method.Modes[i] {
	case modeLayer:
		return int64(t.model.Layers)
	case modeMatrix:
		return t.matrix
	case modeHead:
		return int64(t.model.Heads)
	case modeOut:
		if t.has(modeHead) {
			return t.model.Hidden / int64(t.model.Heads)
		}
	}
	return t.model.Hidden
}

func (t *train) has(mode string) bool { return slices.Contains(t.method.Modes, mode) }

// core is the core of a mode.
func (t *train) core(mode string) *torch.Tensor {
	return t.cores[slices.Index(t.method.Modes, mode)]
}

// shape is the shape of core i: (left rank, mode size, right rank).
func (t *train) shape(i int) []int64 {
	left, right := int64(1), int64(1)
	if i > 0 {
		left = t.ranks[i-1]
	}
	if i < len(t.ranks) {
		right = t.ranks[i]
	}
	return []int64{left, t.size(i), right}
}

// Config implements [adapter.Adapter].
func (t *train) Config() adapter.Config {
	c := adapter.Config{
		FormatVersion: adapter.FormatVersion, PEFTType: t.method.PEFTType, Method: t.method.Name, Modes: t.method.Modes,
		Ranks: slices.Clone(t.ranks), Alpha: t.alpha, Init: t.init,
	}
	c.SetArchitecture(t.model)
	for _, k := range t.targets {
		c.Targets = append(c.Targets, k.String())
	}
	return c
}

// Parameters implements [adapter.Adapter]: the cores, cores.0 and on.
func (t *train) Parameters() []adapter.Parameter {
	p := make([]adapter.Parameter, len(t.cores))
	for i, c := range t.cores {
		p[i] = adapter.Parameter{Name: coreName(i), Tensor: c}
	}
	return p
}

// Free implements [adapter.Adapter].
func (t *train) Free() {
	for _, c := range t.cores {
		c.Free()
	}
}
