package factored

import (
	"fmt"

	"github.com/metatt/metatt/pkg/adapter"
)

// Blocks is the matrix mode of methods that hold every adapted matrix in one
// tensor: it numbers the D×D blocks of the targets, in their order. A
// feed-forward matrix is cut into blocks, each an index of its own: ffn_up into
// blocks of output columns, ffn_down of input rows.
type Blocks struct {
	Width int64 // D
	Count int64 // M, all indices
	spans map[adapter.Kind]Span
}

// Span is the indices of one target: First to First+Count-1.
type Span struct{ First, Count int64 }

// NewBlocks numbers the blocks of the targets.
func NewBlocks(model adapter.Architecture, targets []adapter.Kind) (Blocks, error) {
	b := Blocks{Width: model.Hidden, spans: map[adapter.Kind]Span{}}
	for _, kind := range targets {
		count := int64(1)
		if kind == adapter.FFNUp || kind == adapter.FFNDown {
			if model.Intermediate%model.Hidden != 0 {
				return b, fmt.Errorf("target %s: feed-forward width %d is not a multiple of the width %d", kind, model.Intermediate, model.Hidden)
			}
			count = model.Intermediate / model.Hidden
		}
		b.spans[kind] = Span{b.Count, count}
		b.Count += count
	}
	return b, nil
}

// RankLimit is that of a factor (D, r): more columns would depend on each other.
func (b Blocks) RankLimit() Limit { return Limit{b.Width, fmt.Sprintf("width %d", b.Width)} }

// Of is the indices of a kind; false where it is no target.
func (b Blocks) Of(kind adapter.Kind) (Span, bool) {
	s, ok := b.spans[kind]
	return s, ok
}
