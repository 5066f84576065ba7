package encoder

import (
	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/torch"
)

// Batch is an [Input] on the backbone's device, and room for others of its shape. Its
// tensors are views of one, which goes up in one copy. Tokens that fill up the shape
// are one more sequence, behind the last example, that nothing reads.
type Batch struct {
	Shape
	backbone             *Backbone
	ints                 *torch.Tensor   // Int32, all of these
	ids, types, position *torch.Tensor   // (tokens)
	tokens               torch.Sequences // all rows
	firsts               torch.Sequences // each example's first token
	first                *torch.Tensor   // (examples): its row
	seed                 *torch.Tensor   // (1) Int64
}

// check panics where the input is none of the shape.
func (s Shape) check(in Input) {
	if in.Examples() != s.Examples || len(in.IDs) > s.Tokens {
		panic(torch.Errorf("batch", "%d examples of %d tokens in the place of %d of at most %d", in.Examples(), len(in.IDs), s.Examples, s.Tokens))
	}
}

// filled: there is a sequence behind the examples.
func (s Shape) filled(in Input) bool { return s.Tokens > len(in.IDs) }

// NewBatch puts a checked input on the device, in a shape that the device likes. The
// batch belongs to the current scope, until it is kept.
func (b *Backbone) NewBatch(in Input) *Batch {
	shape := in.Exact()
	if b.Packs() {
		unit := cudaUnit
		if b.device == torch.CPU {
			unit = cpuUnit(len(in.IDs))
		}
		shape = in.bucket(unit, shape.Longest)
	}
	return b.NewBatchOf(in, shape)
}

// Packs: attention works on packed sequences too, so that all that a forward pass reads of
// a batch is in it, and another can take its place.
func (b *Backbone) Packs() bool {
	a := b.architecture
	return !torch.PadsAttention(b.device, b.dtype, a.Hidden, int64(a.Heads))
}

// NewBatchOf is NewBatch in that shape: others of it may take its place.
func (b *Backbone) NewBatchOf(in Input, shape Shape) *Batch {
	shape.check(in)
	batch := &Batch{Shape: shape, backbone: b}
	sequences := shape.Examples
	if shape.filled(in) {
		sequences++
	}
	offsets := batch.offsets(in, sequences)
	batch.ints = torch.Upload(batch.host(in, offsets), b.device)
	at := int64(0)
	next := func(n int) *torch.Tensor {
		part := batch.ints.Narrow(0, at, int64(n))
		at += int64(n)
		return part
	}
	batch.seed = next(2).ViewAs(torch.Int64)
	batch.ids, batch.types, batch.position = next(shape.Tokens), next(shape.Tokens), next(shape.Tokens)
	batch.tokens = torch.Sequences{Offsets: next(sequences + 1), Keys: next(sequences), Longest: int64(shape.Longest)}
	batch.firsts = torch.Sequences{Offsets: next(sequences + 1), Keys: batch.tokens.Keys, Longest: 1}
	batch.first = next(shape.Examples)
	if !b.Packs() {
		batch.tokens = batch.tokens.Padded(offsets, b.dtype)
		batch.firsts = batch.firsts.Padded(batch.firstOffsets(sequences), b.dtype)
	}
	return batch
}

// Refill puts another checked input of the same shape in the place of the batch's,
// where the backbone [Backbone.Packs].
func (b *Batch) Refill(in Input) {
	b.check(in)
	torch.Scoped(func() {
		sequences := int(b.tokens.Keys.Numel())
		b.ints.CopyFrom(torch.Upload(b.host(in, b.offsets(in, sequences)), b.backbone.device))
	})
}

// host is the batch as it goes up.
func (b *Batch) host(in Input, offsets []int32) []int32 {
	sequences := len(offsets) - 1
	all := make([]int32, 0, 2+3*b.Tokens+4*sequences+2)
	fill := func(values []int32) { // and zeros up to the shape
		all = append(all, values...)
		all = append(all, make([]int32, b.Tokens-len(values))...)
	}
	all = append(all, int32(in.Seed), int32(in.Seed>>32))
	fill(in.IDs)
	fill(in.TypeIDs)
	fill(b.backbone.positions(in))
	all = append(all, offsets...)
	for i := range sequences {
		key := int32(-1) // of what fills up
		if i < b.Examples {
			key = int32(i)
			if in.Keys != nil {
				key = in.Keys[i]
			}
		}
		all = append(all, key)
	}
	all = append(all, b.firstOffsets(sequences)...)
	return append(all, in.Offsets[:b.Examples]...)
}

// offsets is those of all sequences.
func (b *Batch) offsets(in Input, sequences int) []int32 {
	offsets := append(make([]int32, 0, sequences+1), in.Offsets...)
	if sequences > b.Examples {
		offsets = append(offsets, int32(b.Tokens))
	}
	return offsets
}

// firstOffsets is 0, 1, … examples: a token a sequence, none of what fills up.
func (b *Batch) firstOffsets(sequences int) []int32 {
	offsets := make([]int32, sequences+1)
	for i := range offsets {
		offsets[i] = int32(min(i, b.Examples))
	}
	return offsets
}

// Keep gives the batch to the caller, who frees it.
func (b *Batch) Keep() *Batch {
	for _, t := range b.tensors() {
		t.Keep()
	}
	return b
}

// Free releases a batch that was kept.
func (b *Batch) Free() {
	for _, t := range b.tensors() {
		t.Free()
	}
}

func (b *Batch) tensors() []*torch.Tensor {
	return []*torch.Tensor{b.ints, b.seed, b.ids, b.types, b.position, b.tokens.Offsets, b.tokens.Keys, b.firsts.Offsets, b.first}
}

// positions is the row of the position table for each token.
func (b *Backbone) positions(in Input) []int32 {
	positions := make([]int32, len(in.IDs))
	for i := range in.Examples() {
		from, to := in.Offsets[i], in.Offsets[i+1]
		b.family.Positions(b.config, in.IDs[from:to], positions[from:to])
	}
	return positions
}

// Places in the network that draw dropout masks: four of each layer, the adapter's
// sites, and those of the head.
const (
	ofAttention  = iota // + 4 · layer
	ofOutput            // + 4 · layer
	ofFFN               // + 4 · layer
	ofEmbeddings        // of layer 0
	ofHead       int32  = -1
	ofAdapter    int32  = 1 << 20 // + 8 · layer + kind
)

// drop is the dropout of a place.
func (b *Batch) drop(place int32, p float64) torch.Drop {
	return torch.Drop{P: p, Seed: b.seed, Site: place}
}

// rows is where the rows of x stand: those of all tokens or of first ones.
func (b *Batch) rows(x *torch.Tensor) torch.Sequences {
	if x.Size(0) == int64(b.Tokens) {
		return b.tokens
	}
	return b.firsts
}

// Dropout implements [adapter.Step]'s.
func (b *Batch) Dropout(site adapter.Site, x *torch.Tensor, p float64) *torch.Tensor {
	return x.DropoutAt(b.rows(x), b.drop(ofAdapter+8*int32(site.Layer)+int32(site.Kind), p))
}
