package encoder

import (
	"fmt"
	"math"

	"github.com/metatt/metatt/pkg/torch"
)

// Input is a batch of examples as token ids, packed: example i is the tokens
// Offsets[i] to Offsets[i+1]. Special tokens are included; there is no padding.
type Input struct {
	IDs     []int32
	TypeIDs []int32 // same length as IDs
	Offsets []int32 // batch+1 numbers, rising from 0 to len(IDs)
}

// Examples is the number of examples.
func (in Input) Examples() int { return len(in.Offsets) - 1 }

// Check tells whether the input is one: it guards the gathers, which read
// memory by these numbers. Ids and types must be below vocabulary and types,
// no example may be empty or longer than longest tokens.
func (in Input) Check(vocabulary, types, longest int) error {
	if len(in.Offsets) < 2 || in.Offsets[0] != 0 || int(in.Offsets[len(in.Offsets)-1]) != len(in.IDs) || len(in.TypeIDs) != len(in.IDs) {
		return fmt.Errorf("batch: %d offsets, %d ids, %d type ids do not fit together", len(in.Offsets), len(in.IDs), len(in.TypeIDs))
	}
	for i := range in.Examples() {
		if n := int(in.Offsets[i+1]) - int(in.Offsets[i]); n < 1 || n > longest {
			return fmt.Errorf("batch: example %d has %d tokens; the model takes 1 to %d", i, n, longest)
		}
	}
	for i, id := range in.IDs {
		if id < 0 || int(id) >= vocabulary {
			return fmt.Errorf("batch: token %d has id %d, the vocabulary has %d: tokenizer and model do not belong together", i, id, vocabulary)
		}
		if t := in.TypeIDs[i]; t < 0 || int(t) >= types {
			return fmt.Errorf("batch: token %d has type %d, the model has %d types (type_vocab_size)", i, t, types)
		}
	}
	return nil
}

// layout says where the examples of a packed batch stand, on the device, for
// attention to pad and unpad.
type layout struct {
	batch, longest int64
	// All three are nil when all examples have the same length.
	gather  *torch.Tensor // (batch·longest) Int64: the token at each padded place, 0 where there is none
	scatter *torch.Tensor // (tokens) Int64: the padded place of each token
	mask    *torch.Tensor // (batch, 1, 1, longest) in the backbone's dtype: 0 at tokens, -∞ at padding
}

// newLayout makes the layout of a checked input for a backbone of that dtype; it
// belongs to the current scope.
func newLayout(in Input, device torch.Device, dtype torch.DType) *layout {
	l := &layout{batch: int64(in.Examples())}
	var tokens int64
	for i := range in.Examples() {
		n := int64(in.Offsets[i+1] - in.Offsets[i])
		l.longest, tokens = max(l.longest, n), tokens+n
	}
	if tokens == l.batch*l.longest {
		return l
	}
	gather, additive, scatter := make([]int64, l.batch*l.longest), make([]float32, l.batch*l.longest), make([]int64, 0, tokens)
	minusInf := float32(math.Inf(-1))
	for i := range l.batch {
		start, n := int64(in.Offsets[i]), int64(in.Offsets[i+1]-in.Offsets[i])
		for j := range l.longest {
			place := i*l.longest + j
			if j >= n {
				additive[place] = minusInf
				continue
			}
			gather[place] = start + j
			scatter = append(scatter, place)
		}
	}
	l.gather = torch.Upload(gather, device)
	l.scatter = torch.Upload(scatter, device)
	l.mask = torch.Upload(additive, device, l.batch, 1, 1, l.longest).ToDType(dtype)
	return l
}

// pad turns (tokens, hidden) into (batch, heads, longest, hidden/heads). Padded
// places hold a copy of token 0: the mask keeps them out of every sum.
func (l *layout) pad(t *torch.Tensor, heads int64) *torch.Tensor {
	if l.gather != nil {
		t = t.Rows(l.gather)
	}
	return t.Reshape(l.batch, l.longest, heads, -1).Transpose(1, 2)
}

// unpad is the inverse of pad: (batch, heads, longest, d) to (tokens, hidden).
func (l *layout) unpad(t *torch.Tensor) *torch.Tensor {
	t = t.Transpose(1, 2).Reshape(l.batch*l.longest, -1)
	if l.scatter == nil {
		return t
	}
	return t.Rows(l.scatter)
}
