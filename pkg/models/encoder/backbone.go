package encoder

import (
	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/torch"
)

// Backbone is the frozen part of a model: embeddings and layers up to the first
// tokens, and what a checkpoint has of BERT's pooler. Nothing changes its tensors:
// any number of models can stand on it, of several runs and tasks. Who loaded it
// frees it, after them.
type Backbone struct {
	family       Family
	config       *hf.Config // as the file has it
	architecture adapter.Architecture
	dtype        torch.DType
	device       torch.Device

	word, position, token *torch.Tensor // embedding tables (rows, hidden)
	norm                  norm
	layers                []layer
	pooler                *Linear             // nil: the checkpoint or the family has none
	weights               []adapter.Parameter // all of these

	dir    string            // of the checkpoint; empty: there is none
	prefix string            // before the backbone's names in it
	stored map[string]string // names of the weights in it
	report Report
}

// LoadBackbone reads the backbone of the model in a folder, which must be of one
// of the families, into tensors of that dtype, Float32 or BFloat16. Heads are made
// by [Backbone.NewHead], which reads the checkpoint again.
func LoadBackbone(dir string, dtype torch.DType, device torch.Device, families ...Family) (*Backbone, error) {
	config, family, err := familyOf(dir, families)
	if err != nil {
		return nil, err
	}
	checkpoint, err := hf.OpenCheckpoint(dir)
	if err != nil {
		return nil, err
	}
	defer checkpoint.Close() // it was only read
	b, err := loadBackbone(checkpoint, config, family, dtype, device)
	if err == nil {
		b.dir = dir
	}
	return b, err
}

// loadBackbone takes every tensor from the checkpoint, or draws it where there is
// none.
func loadBackbone(checkpoint *hf.Checkpoint, config *hf.Config, family Family, dtype torch.DType, device torch.Device) (*Backbone, error) {
	l, err := newLoader(checkpoint, config, family, dtype, device)
	if err != nil {
		return nil, err
	}
	b := &Backbone{family: family, config: config, architecture: ArchitectureOf(config), dtype: dtype, device: device, prefix: l.stored}
	err = b.take(l)
	b.weights, b.stored, b.report = l.weights, l.names, l.report()
	if err == nil {
		err = b.join()
	}
	if err != nil {
		b.Free()
		return nil, err
	}
	return b, nil
}

// take fills the backbone in the order in which New draws.
func (b *Backbone) take(l *loader) (err error) {
	c, hidden := b.config, b.architecture.Hidden
	if b.word, err = l.wordTable(int64(c.VocabSize), hidden); err != nil {
		return err
	}
	if b.position, err = l.backbone(positionEmbeddings, "", normal, int64(c.MaxPositionEmbeddings), hidden); err != nil {
		return err
	}
	if b.token, err = l.backbone("embeddings.token_type_embeddings.weight", "", normal, int64(c.TypeVocabSize), hidden); err != nil {
		return err
	}
	if b.norm, err = l.norm("embeddings.LayerNorm", hidden); err != nil {
		return err
	}
	if b.layers, err = l.layers(b.architecture); err != nil {
		return err
	}
	// A file that has a pooler says what it is. One that was saved without, from
	// a masked language model, say, leaves it to each head.
	if name := b.family.Pooler; name != "" && (l.checkpoint == nil || l.has(l.stored+name+".weight")) {
		pooler, err := l.linear(name, hidden, hidden)
		b.pooler = &pooler
		return err
	}
	return nil
}

// Config is the model's config.json. It is not to be changed.
func (b *Backbone) Config() *hf.Config { return b.config }

// Architecture is what an adapter may know of the backbone.
func (b *Backbone) Architecture() adapter.Architecture { return b.architecture }

// Pooler is the frozen one; nil where the checkpoint or the family has none.
func (b *Backbone) Pooler() *Linear { return b.pooler }

// Report says what loading did. What it calls unexpected may be a head's.
func (b *Backbone) Report() Report { return b.report }

// MaxLength is the largest number of tokens of an example.
func (b *Backbone) MaxLength() int { return b.family.MaxLength(b.config) }

// Weights is every tensor under its Hugging Face name, in the backbone's dtype.
// They stay the backbone's and are not to be changed.
func (b *Backbone) Weights() []adapter.Parameter { return b.weights }

// Free releases all tensors.
func (b *Backbone) Free() {
	for _, w := range b.weights {
		w.Tensor.Free()
	}
	for i := range b.layers {
		b.layers[i].free()
	}
}

// Check tells whether the backbone can take the input.
func (b *Backbone) Check(in Input) error {
	return in.Check(b.config.VocabSize, b.config.TypeVocabSize, b.MaxLength())
}

// First is the last layer's output at each example's first token, (examples,
// hidden) in the backbone's dtype; pass may be nil. It runs inside [torch.Do].
func (b *Backbone) First(batch *Batch, pass adapter.Pass, drop Dropout) *torch.Tensor {
	var first *torch.Tensor
	torch.Scoped(func() {
		f := forward{b, batch, pass, drop}
		h := b.embed(batch).DropoutAt(batch.tokens, batch.drop(ofEmbeddings, drop.Hidden))
		for l := range len(b.layers) - 1 {
			h = f.layer(l, h)
		}
		first = f.last(h).Escape()
	})
	return first
}

// HiddenStates is the embeddings' output and that of every layer, each (tokens,
// hidden) in the backbone's dtype, of a checked input without dropout: what
// transformers calls hidden_states, without padding. It runs inside [torch.Do].
func (b *Backbone) HiddenStates(in Input, pass adapter.Pass) []*torch.Tensor {
	batch := b.NewBatchOf(in, in.Exact())
	states := []*torch.Tensor{b.embed(batch)}
	f := forward{b, batch, pass, Dropout{}}
	for l := range b.layers {
		states = append(states, f.layer(l, states[l]))
	}
	return states
}

// embed is the sum of the three embeddings, normalised: (tokens, hidden).
func (b *Backbone) embed(batch *Batch) *torch.Tensor {
	pad, padPosition := int64(b.config.PadTokenID), int64(hf.NoPadToken)
	if b.family.PaddedPositions {
		padPosition = pad
	}
	return b.norm.apply(b.word.Embedding(batch.ids, pad).
		Add(b.token.Rows(batch.types)).
		Add(b.position.Embedding(batch.position, padPosition)), b.config.LayerNormEps)
}
