// Package metatt implements MetaTT (arXiv 2506.09105): one tensor train, shared
// by the whole network, holds the updates of all adapted weight matrices.
package metatt

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/torch"
)

// Modes4D and Modes5D name the modes of MetaTT-4D and -5D, in order, without the
// task mode of (4+1)D and (5+1)D.
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
		m.Count = func(spec adapter.Spec) int64 { return count(m, spec) }
		m.New = func(spec adapter.Spec) (adapter.Adapter, error) { return newTrain(m, spec) }
		m.Open = func(s *adapter.Saved, device torch.Device) (adapter.Adapter, error) { return openTrain(m, s, device) }
		adapter.Register(m)
	}
}

// train is MetaTT in 4 or 5 dimensions, and with a task mode one more. With D
// the width, L layers, M matrix indices and H heads the cores of 4D are
// G1 (1, D, r1), G2 (r1, L, r2), G3 (r2, M, r3), G4 (r3, D, 1), and
//
//	y = x Wᵀ + b + α x G1 G2[:,l,:] G3[:,m,:] G4    for x (tokens, D).
//
// 5D has G4 (r3, H, r4) and G5 (r4, D/H, 1): columns hD/H to (h+1)D/H of the
// update are α G1 G2[:,l,:] G3[:,m,:] G4[:,h,:] G5.
//
// A task mode is one more core (r, T, r') between two others; of it, a pass of
// task t uses the slice t alone.
type train struct {
	shape
	method adapter.Method
	alpha  float64
	init   string
	cores  []*torch.Tensor // by mode
}

func newTrain(m adapter.Method, spec adapter.Spec) (adapter.Adapter, error) {
	wrong := func(err error) error { return fmt.Errorf("%s: %w", m.Name, err) }
	s, err := specShape(m, spec)
	if err != nil {
		return nil, wrong(err)
	}
	init := cmp.Or(spec.Init, defaultInit(len(s.modes)))
	starts, err := parseInit(init, len(s.modes))
	if err != nil {
		return nil, wrong(err)
	}
	if err := checkReachable(starts, s.ranks); err != nil {
		return nil, wrong(err)
	}
	t := &train{shape: s, method: m, alpha: spec.Alpha, init: init, cores: make([]*torch.Tensor, len(s.modes))}
	err = torch.Do(func() error {
		torch.Seed(spec.Seed)
		for i, start := range starts {
			size := t.core(i)
			// A clone, as a view would be a leaf of another kind than what is read
			// from a file: libtorch orders the terms of a product by it.
			t.cores[i] = makeCore(start, size[0], size[1], size[2]).Clone().To(spec.Device).SetRequiresGrad(true).Keep()
		}
		return nil
	})
	if err != nil {
		t.Free()
		return nil, wrong(err)
	}
	return t, nil
}

// specShape checks all of a spec but its start.
func specShape(m adapter.Method, spec adapter.Spec) (shape, error) {
	modes, err := placeTask(m.Modes, len(spec.Tasks) > 0, spec.TaskAfter)
	if err != nil {
		return shape{}, err
	}
	ranks := spec.Ranks
	if ranks == nil {
		ranks = slices.Repeat([]int64{int64(spec.Rank)}, len(modes)-1)
	}
	return newShape(spec.Architecture, spec.Targets, modes, spec.Tasks, ranks)
}

// count is Σ r_k n_k r_{k+1} over the cores of a legal spec.
func count(m adapter.Method, spec adapter.Spec) int64 {
	s, err := specShape(m, spec)
	if err != nil {
		return 0
	}
	var n int64
	for i := range s.modes {
		size := s.core(i)
		n += size[0] * size[1] * size[2]
	}
	return n
}

// placeTask puts the task mode behind the mode called after, the matrix mode
// where that is empty.
func placeTask(modes []string, wanted bool, after string) ([]string, error) {
	if !wanted {
		return modes, nil
	}
	i := slices.Index(modes, cmp.Or(after, modeMatrix))
	if i < 0 || i == len(modes)-1 {
		return nil, fmt.Errorf("the task mode stands behind one of %s, not behind %q: at an end of the train it would hold the width for each task",
			strings.Join(modes[:len(modes)-1], ", "), after)
	}
	return slices.Insert(slices.Clone(modes), i+1, modeTask), nil
}

func openTrain(m adapter.Method, saved *adapter.Saved, device torch.Device) (adapter.Adapter, error) {
	c := saved.Config
	wrong := func(err error) error { return fmt.Errorf("%s: %w", saved.Dir, err) }
	targets, err := adapter.ParseKinds(c.Targets)
	if err != nil {
		return nil, wrong(err)
	}
	var tasks []string
	if i := slices.Index(c.Modes, modeTask); i >= 0 {
		if tasks = c.Tasks; len(tasks) == 0 || i == 0 || i == len(c.Modes)-1 {
			return nil, wrong(fmt.Errorf("modes %v with %d tasks: a task mode stands between two others and has a task or more", c.Modes, len(tasks)))
		}
	}
	s, err := newShape(c.Architecture(), targets, c.Modes, tasks, c.Ranks)
	if err != nil {
		return nil, wrong(err)
	}
	t := &train{shape: s, method: m, alpha: c.Alpha, init: c.Init, cores: make([]*torch.Tensor, len(c.Modes))}
	for i := range t.cores {
		if t.cores[i], err = saved.Tensor(coreName(i), device, t.core(i)...); err == nil {
			err = torch.Do(func() error { t.cores[i].SetRequiresGrad(true); return nil })
		}
		if err != nil {
			t.Free()
			return nil, err
		}
	}
	return t, nil
}

func coreName(i int) string { return fmt.Sprintf("cores.%d", i) }

// Config implements [adapter.Adapter].
func (t *train) Config() adapter.Config {
	c := adapter.Config{
		FormatVersion: adapter.FormatVersion, PEFTType: t.method.PEFTType, Method: t.method.Name, Modes: slices.Clone(t.modes),
		Ranks: slices.Clone(t.ranks), Alpha: t.alpha, Init: t.init, Tasks: slices.Clone(t.tasks),
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

// Cores implements [adapter.TensorTrain].
func (t *train) Cores() []*torch.Tensor { return slices.Clone(t.cores) }

// Free implements [adapter.Adapter].
func (t *train) Free() {
	for _, c := range t.cores {
		c.Free()
	}
}
