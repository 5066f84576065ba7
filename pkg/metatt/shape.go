package metatt

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/adapter/factored"
	"github.com/metatt/metatt/pkg/tt"
)

// The modes of the tensor train, each one core.
const (
	modeIn     = "in"
	modeLayer  = "layer"
	modeMatrix = "matrix"
	modeHead   = "head"
	modeTask   = adapter.TaskMode
	modeOut    = "out"
)

// shape is what decides the sizes of the cores.
type shape struct {
	model   adapter.Architecture
	targets []adapter.Kind
	modes   []string
	tasks   []string        // of the task mode, in order
	ranks   []int64         // of the bonds
	blocks  factored.Blocks // the matrix mode
	couples [][2]int64      // see [adapter.Config.TaskRanks]
}

// newShape checks everything that does not need tensors.
func newShape(model adapter.Architecture, targets []adapter.Kind, modes, tasks []string, ranks []int64) (shape, error) {
	s := shape{
		model: model, targets: slices.Clone(targets), modes: slices.Clone(modes), tasks: slices.Clone(tasks), ranks: slices.Clone(ranks),
	}
	if len(targets) == 0 {
		return s, errors.New("no targets")
	}
	if len(ranks) != len(modes)-1 {
		return s, fmt.Errorf("%d ranks, the tensor train of %s has %d bonds", len(ranks), strings.Join(modes, ", "), len(modes)-1)
	}
	if model.Heads < 1 || model.Hidden%int64(model.Heads) != 0 {
		return s, fmt.Errorf("%d heads do not divide the width %d", model.Heads, model.Hidden)
	}
	var err error
	if s.blocks, err = factored.NewBlocks(model, targets); err != nil {
		return s, err
	}
	for b, rank := range ranks {
		if rank < 1 {
			return s, fmt.Errorf("rank %d of bond %d (%s|%s): it is at least 1", rank, b+1, modes[b], modes[b+1])
		}
	}
	return s, nil
}

// checkBounds is an error for a rank that is too large for a tensor train to need it.
func (s shape) checkBounds() error {
	sizes := make([]int64, len(s.modes))
	for i := range sizes {
		sizes[i] = s.size(i)
	}
	// Of several bonds that are too narrow, the narrowest is named: it decides
	// which rank all of them can have.
	worst, limit := -1, int64(math.MaxInt64)
	for b, rank := range s.ranks {
		if bound := tt.Bound(sizes, b); rank > bound && bound < limit {
			worst, limit = b, bound
		}
	}
	if worst >= 0 {
		return fmt.Errorf("rank %d of bond %d (%s|%s) is not between 1 and %d, its largest legal rank for %s and %d matrices",
			s.ranks[worst], worst+1, s.modes[worst], s.modes[worst+1], limit, s.model, s.blocks.Count)
	}
	return nil
}

// size is the number of indices of mode i.
func (s shape) size(i int) int64 {
	switch s.modes[i] {
	case modeLayer:
		return int64(s.model.Layers)
	case modeMatrix:
		return s.blocks.Count
	case modeHead:
		return int64(s.model.Heads)
	case modeTask:
		return int64(len(s.tasks))
	case modeOut:
		if slices.Contains(s.modes, modeHead) {
			return s.model.Hidden / int64(s.model.Heads)
		}
	}
	return s.model.Hidden
}

// core is the shape of core i: (left rank, mode size, right rank).
func (s shape) core(i int) []int64 {
	left, right := int64(1), int64(1)
	if i > 0 {
		left = s.ranks[i-1]
	}
	if i < len(s.ranks) {
		right = s.ranks[i]
	}
	return []int64{left, s.size(i), right}
}

// taskCore is the place of the task mode; -1 where there is none.
func (s shape) taskCore() int { return slices.Index(s.modes, modeTask) }

// inputs is how many blocks of D columns the targets of a layer read, query,
// key and value the same one.
func (s shape) inputs() int64 {
	var n int64
	attention := false
	for _, kind := range s.targets {
		switch kind {
		case adapter.Query, adapter.Key, adapter.Value:
			attention = true
		case adapter.FFNDown:
			span, _ := s.blocks.Of(kind)
			n += span.Count
		default:
			n++
		}
	}
	if attention {
		n++
	}
	return n
}
