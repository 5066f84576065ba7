// Package bert is BERT (Devlin et al. 2018) for sequence classification: word,
// position and type embeddings, the encoder, the tanh pooler on the first token
// and a linear classifier, as in transformers' BertForSequenceClassification.
package bert

import (
	"cmp"

	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/torch"
)

// Family is BERT among the encoders.
var Family = encoder.Family{
	ModelType:    "bert",
	Architecture: "BertForSequenceClassification",
	Prefix:       "bert.",
	TiedWord:     "cls.predictions.decoder.weight",
	Positions:    positions,
	MaxLength:    func(c *hf.Config) int { return c.MaxPositionEmbeddings },
	Pooler:       "pooler.dense",
	LoadHead:     loadHead,
}

// Load reads the model in a folder: config.json and its checkpoint.
func Load(dir string, o encoder.Options) (*encoder.Model, error) { return encoder.Load(dir, o, Family) }

// New makes a model of that config with random weights.
func New(config *hf.Config, o encoder.Options) (*encoder.Model, error) {
	return encoder.New(config, Family, o)
}

// positions count from 0.
func positions(_ *hf.Config, _, positions []int32) {
	for i := range positions {
		positions[i] = int32(i)
	}
}

// head is classifier(dropout(tanh(pooler(first token)))).
type head struct {
	pooler     *encoder.Linear // nil: the backbone's, frozen as the checkpoint has it
	classifier encoder.Linear
}

func loadHead(l *encoder.HeadLoader) (encoder.Classifier, error) {
	pooler, err := l.Pooler()
	if err != nil {
		return nil, err
	}
	classifier, err := l.Linear("classifier", l.Labels, l.Hidden)
	return &head{pooler, classifier}, err
}

func (h *head) Logits(b *encoder.Backbone, first *torch.Tensor, dropout func(*torch.Tensor) *torch.Tensor) *torch.Tensor {
	pooler := cmp.Or(h.pooler, b.Pooler())
	pooled := pooler.Apply(first.ToDType(pooler.Weight.DType())).Tanh().ToDType(torch.Float32) // (examples, hidden)
	return h.classifier.Apply(dropout(pooled))
}
