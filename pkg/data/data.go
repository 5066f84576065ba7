// Package data turns a task's examples into packed batches of token ids.
package data

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/tokenizer"
)

// Set is one split of a task, encoded.
type Set struct {
	Task      task.Task
	Examples  []task.Example
	encodings []tokenizer.Encoding
}

// Encode encodes the examples on all cores, each cut to maxLength tokens with
// the special ones.
func Encode(ctx context.Context, t *tokenizer.Tokenizer, task task.Task, examples []task.Example, maxLength int) (*Set, error) {
	inputs := make([]tokenizer.Input, len(examples))
	for i, e := range examples {
		inputs[i] = tokenizer.Input{Text: e.Text, Pair: e.Pair, HasPair: task.HasPair}
	}
	encodings, err := t.EncodeAll(ctx, inputs, maxLength)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", task.Name, err)
	}
	return &Set{task, examples, encodings}, nil
}

// Len is the number of examples.
func (s *Set) Len() int { return len(s.Examples) }

// Longest is the number of tokens of the longest example.
func (s *Set) Longest() int {
	longest := 0
	for _, e := range s.encodings {
		longest = max(longest, len(e.IDs))
	}
	return longest
}

// Cut is the number of examples that have more tokens than the set keeps of one.
func (s *Set) Cut() (n int) {
	for _, e := range s.encodings {
		if e.Cut {
			n++
		}
	}
	return n
}

// Check asks accept about the encoding of every example, ids and type ids, and
// names the first that it refuses.
func (s *Set) Check(accept func(ids, typeIDs []int32) error) error {
	for i, e := range s.encodings {
		if err := accept(e.IDs, e.TypeIDs); err != nil {
			return fmt.Errorf("example %d (ID %.40q): %w", i, s.Examples[i].ID, err)
		}
	}
	return nil
}

// Batch is examples end to end, without padding.
type Batch struct {
	Indices []int   // of the examples in the set
	IDs     []int32 // (tokens)
	TypeIDs []int32 // (tokens)
	Offsets []int32 // (examples+1): example i is tokens Offsets[i] to Offsets[i+1]

	Labels []int64   // (examples) class of each; nil for a regression
	Scores []float32 // (examples) gold scores of a regression
}

// Batch packs those examples, in that order. It keeps indices.
func (s *Set) Batch(indices []int) Batch {
	b := Batch{Indices: indices, Offsets: make([]int32, 1, len(indices)+1)}
	tokens := 0
	for _, i := range indices {
		tokens += len(s.encodings[i].IDs)
	}
	b.IDs, b.TypeIDs = make([]int32, 0, tokens), make([]int32, 0, tokens)
	for _, i := range indices {
		b.IDs = append(b.IDs, s.encodings[i].IDs...)
		b.TypeIDs = append(b.TypeIDs, s.encodings[i].TypeIDs...)
		b.Offsets = append(b.Offsets, int32(len(b.IDs)))
		if s.Task.Regression {
			b.Scores = append(b.Scores, float32(s.Examples[i].Score))
		} else {
			b.Labels = append(b.Labels, int64(s.Examples[i].Label))
		}
	}
	return b
}

// Order is the order of the examples in an epoch, counted from 0: a
// permutation drawn from (seed, epoch) alone, or the set's own order.
func (s *Set) Order(seed uint64, epoch int, shuffle bool) []int {
	if shuffle {
		return rand.New(rand.NewPCG(seed, uint64(epoch))).Perm(s.Len())
	}
	order := make([]int, s.Len())
	for i := range order {
		order[i] = i
	}
	return order
}

// ByLength is the order for evaluation: examples of like length together, so
// that attention pads little.
func (s *Set) ByLength() []int {
	order := s.Order(0, 0, false)
	slices.SortStableFunc(order, func(a, b int) int {
		return len(s.encodings[b].IDs) - len(s.encodings[a].IDs)
	})
	return order
}

// Evaluate judges logits, (examples, outputs) row by row in the set's order.
func (s *Set) Evaluate(logits []float32) (task.Metrics, error) {
	return s.Task.Evaluate(logits, s.Outputs(), s.Examples)
}

// Outputs is the number of logits of an example: its classes, or 1.
func (s *Set) Outputs() int { return s.Task.Outputs() }
