// Package metatt implements MetaTT (arXiv 2506.09105): one tensor train, shared
// by the whole network, holds the updates of all adapted weight matrices.
package metatt

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/adapter/setting"
	"github.com/metatt/metatt/pkg/torch"
)

// modes4D and modes5D name the modes of MetaTT-4D and -5D, in order, without the
// task mode of (4+1)D and (5+1)D.
var (
	modes4D = []string{modeIn, modeLayer, modeMatrix, modeOut}
	modes5D = []string{modeIn, modeLayer, modeMatrix, modeHead, modeOut}
)

func init() {
	for _, m := range []adapter.Method{
		{Name: "metatt4d", Modes: modes4D, Summary: "ΔW[l,m] = α G1 G2[l] G3[m] G4; 2Dr + (L+M)r²; arXiv 2506.09105"},
		{Name: "metatt5d", Modes: modes5D, Summary: "ΔW[l,m,h] = α G1 G2[l] G3[m] G4[h] G5, the heads' columns side by side; (D + D/H)r + (L+M+H)r²; arXiv 2506.09105"},
	} {
		m.PEFTType = "METATT"
		m.Settings = setting.Declaration{Keys: Settings{}, Settle: func(asked *setting.Asked) []setting.Fault { return settle(asked, m.Modes) }}
		m.Adopted = adopted
		m.Count = func(spec adapter.Spec) int64 { return count(m, spec) }
		m.New = func(spec adapter.Spec) (adapter.Adapter, error) { return newTrain(m, spec) }
		m.Open = func(s *adapter.Saved, device torch.Device) (adapter.Adapter, error) { return openTrain(m, s, device) }
		m.Append = func(s *adapter.Saved, how adapter.Appending, device torch.Device) (adapter.Adapter, error) {
			return appendTask(m, s, how, device)
		}
		adapter.Register(m)
	}
}

// metaTT is MetaTT in 4 or 5 dimensions, and with a task mode one more. With D
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
type metaTT struct {
	shape
	method adapter.Method
	alpha  float64
	init   string
	cores  []*torch.Tensor // by mode
	// appended is the last task where the others are frozen: the cores are then
	// theirs and have no gradient.
	appended *appended
}

func newTrain(m adapter.Method, spec adapter.Spec) (adapter.Adapter, error) {
	wrong := func(err error) error { return fmt.Errorf("%s: %w", m.Name, err) }
	settings, err := adapter.SettingsOf[Settings](spec)
	if err != nil {
		return nil, wrong(err)
	}
	s, err := specShape(m, spec, settings)
	if err != nil {
		return nil, wrong(err)
	}
	init := cmp.Or(settings.Init, defaultInit(s.modes, s.ranks))
	starts, err := parseInit(init, len(s.modes))
	if err != nil {
		return nil, wrong(fmt.Errorf("init %w", err))
	}
	if err := checkReachable(starts, s.ranks); err != nil {
		return nil, wrong(err)
	}
	t := &metaTT{shape: s, method: m, alpha: spec.Alpha, init: init, cores: make([]*torch.Tensor, len(s.modes))}
	err = torch.Do(func() error {
		torch.Seed(spec.Seed)
		for i, start := range starts {
			size := t.core(i)
			t.cores[i] = makeCore(start, size[0], size[1], size[2], i == 0 || i == len(starts)-1).To(spec.Device).SetRequiresGrad(true).Keep()
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
func specShape(m adapter.Method, spec adapter.Spec, settings Settings) (shape, error) {
	modes, err := placeTask(m.Modes, len(spec.Tasks) > 0, settings.TaskAfter)
	if err != nil {
		return shape{}, err
	}
	var ranks []int64
	for _, rank := range settings.Ranks {
		ranks = append(ranks, int64(rank))
	}
	if ranks == nil {
		ranks = slices.Repeat([]int64{int64(spec.Rank)}, len(modes)-1)
	}
	s, err := newShape(spec.Architecture, spec.Targets, modes, spec.Tasks, ranks)
	if err != nil {
		return s, err
	}
	return s, s.checkBounds()
}

// count is Σ r_k n_k r_{k+1} over the cores of a legal spec.
func count(m adapter.Method, spec adapter.Spec) int64 {
	settings, err := adapter.SettingsOf[Settings](spec)
	if err != nil {
		return 0
	}
	s, err := specShape(m, spec, settings)
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
		return nil, fmt.Errorf("the task mode stands behind one of %s, not behind %q", strings.Join(modes[:len(modes)-1], ", "), after)
	}
	return slices.Insert(slices.Clone(modes), i+1, modeTask), nil
}

func openTrain(m adapter.Method, saved *adapter.Saved, device torch.Device) (adapter.Adapter, error) {
	s, err := savedShape(saved.Config)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", saved.Dir, err)
	}
	t := &metaTT{shape: s, method: m, alpha: saved.Config.Alpha, init: saved.Config.Init}
	if err := t.read(saved, s, device); err != nil {
		return nil, err
	}
	if len(saved.Config.FrozenTasks) > 0 {
		err = t.freeze()
	} else {
		err = torch.Do(func() error {
			for _, c := range t.cores {
				c.SetRequiresGrad(true)
			}
			return nil
		})
	}
	if err != nil {
		t.Free()
		return nil, fmt.Errorf("%s: %w", saved.Dir, err)
	}
	return t, nil
}

// savedShape checks what an adapter's config says of its tensor train.
func savedShape(c adapter.Config) (shape, error) {
	targets, err := adapter.ParseKinds(c.Targets)
	if err != nil {
		return shape{}, err
	}
	var tasks []string
	if i := slices.Index(c.Modes, modeTask); i >= 0 {
		if tasks = c.Tasks; len(tasks) == 0 || i == 0 || i == len(c.Modes)-1 {
			return shape{}, fmt.Errorf("modes %v with %d tasks: a task mode stands between two others and has a task or more", c.Modes, len(tasks))
		}
	}
	s, err := newShape(c.Architecture(), targets, c.Modes, tasks, c.Ranks)
	if err != nil {
		return s, err
	}
	s.couples = slices.Clone(c.TaskRanks)
	return s, s.checkCouples(c.FrozenTasks)
}

// read fills the cores by the saved ones, whose shape is s.
func (t *metaTT) read(saved *adapter.Saved, s shape, device torch.Device) error {
	for i := range s.modes {
		core, err := saved.Tensor(coreName(i), device, s.core(i)...)
		if err != nil {
			t.Free()
			return err
		}
		t.cores = append(t.cores, core)
	}
	if s.couples == nil {
		return nil
	}
	if err := t.checkZeros(s.couples); err != nil {
		t.Free()
		return fmt.Errorf("%s: %w", saved.Dir, err)
	}
	return nil
}

func coreName(i int) string { return fmt.Sprintf("cores.%d", i) }

// Config implements [adapter.Adapter].
func (t *metaTT) Config() adapter.Config {
	c := adapter.Config{
		FormatVersion: adapter.FormatVersion, PEFTType: t.method.PEFTType, Method: t.method.Name, Modes: slices.Clone(t.modes),
		Ranks: slices.Clone(t.ranks), Alpha: t.alpha, Init: t.init, Tasks: slices.Clone(t.tasks),
	}
	if t.appended != nil {
		c.FrozenTasks = slices.Clone(t.tasks[:len(t.tasks)-1])
	}
	c.TaskRanks = slices.Clone(t.couples)
	c.SetArchitecture(t.model)
	for _, k := range t.targets {
		c.Targets = append(c.Targets, k.String())
	}
	return c
}

// Parameters implements [adapter.Adapter]: the cores, cores.0 and on, or where
// other tasks are frozen, what is the last one's own.
func (t *metaTT) Parameters() []adapter.Parameter {
	if t.appended != nil {
		return t.appended.leaves(t.taskCore())
	}
	return named(t.cores)
}

// Stored implements [adapter.Stored]: the cores, cores.0 and on, whatever is
// trained of them.
func (t *metaTT) Stored() []adapter.Parameter { return named(t.whole()) }

func named(cores []*torch.Tensor) []adapter.Parameter {
	p := make([]adapter.Parameter, len(cores))
	for i, c := range cores {
		p[i] = adapter.Parameter{Name: coreName(i), Tensor: c}
	}
	return p
}

// Cores implements [adapter.TensorTrain]. Of an adapter with frozen tasks they
// are copies. It runs inside [torch.Do].
func (t *metaTT) Cores() []*torch.Tensor { return t.whole() }

// ZeroCore implements [adapter.TensorTrain].
func (t *metaTT) ZeroCore() int {
	starts, _ := parseStarts(t.init) // of a start that is none, none is zero
	return max(0, slices.Index(starts, zero))
}

// SetCores implements [adapter.TensorTrain]. A rank may be above its bound, as it
// is while two neighbouring cores are trained as one.
func (t *metaTT) SetCores(cores []*torch.Tensor) error {
	if t.appended != nil || t.couples != nil {
		return fmt.Errorf("%s: tasks of the adapter are frozen: its cores keep their ranks and their gauge", t.method.Name)
	}
	if len(cores) != len(t.cores) {
		return fmt.Errorf("%s: %d cores, the tensor train has %d", t.method.Name, len(cores), len(t.cores))
	}
	ranks := make([]int64, len(t.ranks))
	left := int64(1)
	for i, c := range cores {
		right := int64(1)
		if i < len(ranks) && len(c.Shape()) == 3 {
			ranks[i] = c.Size(2)
			right = ranks[i]
		}
		if want := []int64{left, t.size(i), right}; !slices.Equal(c.Shape(), want) || right < 1 {
			return fmt.Errorf("%s: core %d has shape %v, want %v", t.method.Name, i, c.Shape(), want)
		}
		left = right
	}
	fresh := make([]*torch.Tensor, len(cores))
	torch.NoGrad(func() {
		for i, c := range cores {
			fresh[i] = c.Detach().ToDType(torch.Float32).To(t.cores[i].Device()).Clone().Contiguous().SetRequiresGrad(true).Keep()
		}
	})
	t.Free()
	t.cores, t.ranks = fresh, ranks
	return nil
}

// Free implements [adapter.Adapter].
func (t *metaTT) Free() {
	for _, c := range t.cores {
		c.Free()
	}
	if t.appended != nil {
		t.appended.free()
	}
}
