package encoder

import "fmt"

// Input is a batch of examples as token ids, packed: example i is the tokens
// Offsets[i] to Offsets[i+1]. Special tokens are included; there is no padding.
type Input struct {
	IDs     []int32
	TypeIDs []int32 // same length as IDs
	Offsets []int32 // batch+1 numbers, rising from 0 to len(IDs)

	// Dropout is a function of these, the place in the network, the position in the
	// example and the column.
	Keys []int32 // which example each is; nil: they are numbered from 0
	Seed uint64
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
	if in.Keys != nil && len(in.Keys) != in.Examples() {
		return fmt.Errorf("batch: %d keys of %d examples", len(in.Keys), in.Examples())
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

// Shape is what the shapes of a forward pass depend on.
type Shape struct {
	Examples int
	Tokens   int // with those that fill up
	Longest  int // no sequence has more tokens
}

// Exact is the input's own shape.
func (in Input) Exact() Shape {
	s := Shape{Examples: in.Examples(), Tokens: len(in.IDs)}
	for i := range s.Examples {
		s.Longest = max(s.Longest, int(in.Offsets[i+1]-in.Offsets[i]))
	}
	return s
}

// cudaUnit is the number of tokens whose multiples batches are filled up to on CUDA
// devices: few graphs serve a run, and matrix products like such sizes.
const cudaUnit = 128

// cpuUnit is the same on the CPU, at most a sixteenth of the tokens: memory is given out
// again in sizes that were there before, where new ones left it in pieces, half of a
// run's peak; and oneDNN, which compiles a product for each number of rows, meets few.
func cpuUnit(tokens int) int {
	unit := 1
	for unit < 64 && 32*unit <= tokens {
		unit *= 2
	}
	return unit
}

// bucket is the shape of all batches of as many examples whose tokens come to the same
// multiple of unit, at least one more than there are (of 1: as many), and of which none is
// longer than longest.
func (in Input) bucket(unit, longest int) Shape {
	if unit == 1 {
		return Shape{Examples: in.Examples(), Tokens: len(in.IDs), Longest: longest}
	}
	return Shape{Examples: in.Examples(), Tokens: (len(in.IDs)/unit + 1) * unit, Longest: max(unit, longest)}
}

// Fixed is the bucket that CUDA graphs are made for.
func (in Input) Fixed(longest int) Shape { return in.bucket(cudaUnit, longest) }
