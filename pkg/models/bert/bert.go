// Package bert is BERT (Devlin et al. 2018) for sequence classification: word,
// position and type embeddings, the encoder, the tanh pooler on the first token
// and a linear classifier, as in transformers' BertForSequenceClassification.
package bert

import (
	"errors"
	"fmt"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/torch"
)

// Options say how to load a model.
type Options struct {
	Labels  int         // outputs of the classifier, at least 1
	DType   torch.DType // of the frozen weights: Float32 or BFloat16
	Device  torch.Device
	Dropout *float64 // replaces all of config.json's dropout probabilities
	Seed    uint64   // of newly made weights
}

// Model is a loaded BERT. The classifier is trainable and fp32, everything else
// is frozen.
type Model struct {
	config  *hf.Config
	encoder *encoder.Encoder
	report  encoder.Report
	dtype   torch.DType
	device  torch.Device

	word, position, token *torch.Tensor // embedding tables (rows, hidden)
	embeddingNorm         encoder.Norm
	pooler                encoder.Linear
	classifier            encoder.Linear
	classifierDropout     float64

	tensors []*torch.Tensor
}

// Load reads the model in a folder: config.json and its checkpoint.
func Load(dir string, o Options) (*Model, error) {
	config, err := hf.ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	if config.ModelType != "bert" {
		return nil, fmt.Errorf("%s: model_type is %q, not bert", dir, config.ModelType)
	}
	if o.Labels < 1 {
		return nil, fmt.Errorf("%s: a classifier with %d labels", dir, o.Labels)
	}
	if o.Dropout != nil {
		config.HiddenDropoutProb, config.AttentionProbsDropoutProb, config.ClassifierDropout = *o.Dropout, *o.Dropout, o.Dropout
	}
	checkpoint, err := hf.OpenCheckpoint(dir)
	if err != nil {
		return nil, err
	}
	loader, err := encoder.NewLoader(checkpoint, "embeddings.word_embeddings.weight", []string{"bert.", ""}, o.DType, o.Device)
	if err != nil {
		return nil, errors.Join(err, checkpoint.Close())
	}
	m := &Model{config: config, dtype: o.DType, device: o.Device, classifierDropout: config.HiddenDropoutProb}
	if config.ClassifierDropout != nil {
		m.classifierDropout = *config.ClassifierDropout
	}
	err = m.take(loader, o)
	m.tensors, m.report = loader.Tensors(), loader.Report()
	if closed := checkpoint.Close(); err == nil {
		err = closed
	}
	if err != nil {
		m.Free()
		return nil, err
	}
	return m, nil
}

func (m *Model) take(l *encoder.Loader, o Options) (err error) {
	c, hidden := m.config, int64(m.config.HiddenSize)
	for _, table := range []struct {
		tensor **torch.Tensor
		name   string
		rows   int
	}{
		{&m.word, "word", c.VocabSize},
		{&m.position, "position", c.MaxPositionEmbeddings},
		{&m.token, "token_type", c.TypeVocabSize},
	} {
		if *table.tensor, err = l.Take("embeddings."+table.name+"_embeddings.weight", int64(table.rows), hidden); err != nil {
			return err
		}
	}
	if m.embeddingNorm, err = l.LoadNorm("embeddings.LayerNorm", hidden); err != nil {
		return err
	}
	if m.encoder, err = l.LoadEncoder(encoder.FromConfig(c)); err != nil {
		return err
	}
	return m.takeHead(l, o)
}

// takeHead takes pooler and classifier where the file has them and makes them
// anew where not: a checkpoint of the bare encoder, or one that was trained on
// another number of labels.
func (m *Model) takeHead(l *encoder.Loader, o Options) (err error) {
	hidden, labels := int64(m.config.HiddenSize), int64(o.Labels)
	torch.Seed(o.Seed) // of what is made anew
	if l.Has("pooler.dense.weight") {
		if m.pooler, err = l.LoadLinear("pooler.dense", hidden, hidden); err != nil {
			return err
		}
	} else if m.pooler, err = l.NewLinear("pooler.dense", m.config.InitializerRange, hidden, hidden); err != nil {
		return err
	}
	m.classifier, err = l.Head("classifier", m.config.InitializerRange, labels, hidden)
	return err
}

// Config is the model's config.json, with the options applied.
func (m *Model) Config() *hf.Config { return m.config }

// Architecture is what an adapter may know of the model.
func (m *Model) Architecture() adapter.Architecture { return m.encoder.Config.Architecture }

// Report says what loading made and left over.
func (m *Model) Report() encoder.Report { return m.report }

// MaxLength is the largest number of tokens of an example.
func (m *Model) MaxLength() int { return m.config.MaxPositionEmbeddings }

// Parameters is the number of elements of the frozen weights.
func (m *Model) Parameters() int64 {
	var n int64
	for _, t := range m.tensors {
		n += t.Numel()
	}
	return n - adapter.Count(m.Head())
}

// Head is the trainable classifier, under its Hugging Face names.
func (m *Model) Head() []adapter.Parameter {
	return []adapter.Parameter{
		{Name: "classifier.weight", Tensor: m.classifier.Weight},
		{Name: "classifier.bias", Tensor: m.classifier.Bias},
	}
}

// Free releases all tensors.
func (m *Model) Free() {
	for _, t := range m.tensors {
		t.Free()
	}
}

// Check tells whether the model can take the input.
func (m *Model) Check(in encoder.Input) error {
	return in.Check(m.config.VocabSize, m.config.TypeVocabSize, m.MaxLength())
}

// Forward is the logits (examples, labels), fp32, of a checked input; pass may
// be nil. It runs inside [torch.Do].
func (m *Model) Forward(in encoder.Input, pass adapter.Pass, training bool) *torch.Tensor {
	var logits *torch.Tensor
	torch.Scoped(func() {
		h := m.embed(in, training) // (tokens, hidden)
		h = m.encoder.Forward(h, encoder.NewLayout(in, m.device, m.dtype), pass, training)
		pooled := m.pooler.Apply(h.IndexSelect(0, m.indices(in.Offsets[:in.Examples()]))).Tanh()
		pooled = pooled.ToDType(torch.Float32) // (examples, hidden)
		if training {
			pooled = pooled.Dropout(m.classifierDropout)
		}
		logits = m.classifier.Apply(pooled).Escape()
	})
	return logits
}

// embed is the sum of the three embeddings, normalised.
func (m *Model) embed(in encoder.Input, training bool) *torch.Tensor {
	positions := make([]int32, len(in.IDs))
	for i := range in.Examples() {
		for j := in.Offsets[i]; j < in.Offsets[i+1]; j++ {
			positions[j] = j - in.Offsets[i]
		}
	}
	h := m.word.Rows(m.indices(in.IDs)).
		Add(m.token.Rows(m.indices(in.TypeIDs))).
		Add(m.position.Rows(m.indices(positions))).
		LayerNorm(m.embeddingNorm.Weight, m.embeddingNorm.Bias, m.config.LayerNormEps)
	if training {
		h = h.Dropout(m.config.HiddenDropoutProb)
	}
	return h
}

// indices is a 1-D index tensor on the model's device.
func (m *Model) indices(values []int32) *torch.Tensor {
	return torch.FromSlice(values).To(m.device)
}
