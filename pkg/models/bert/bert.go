// Package bert is BERT (Devlin et al. 2018) for sequence classification: word,
// position and type embeddings, the encoder, the tanh pooler on the first token
// and a linear classifier, as in transformers' BertForSequenceClassification.
package bert

import (
	"github.com/metatt/metatt/pkg/adapter"
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

// head is classifier(dropout(tanh(pooler(first token)))). The pooler is frozen
// as the checkpoint has it, or trained where it is the head's own.
type head struct {
	pooler, classifier encoder.Linear
	trainsPooler       bool
}

const poolerName = "pooler.dense"

func loadHead(l *encoder.Loader, c *hf.Config, labels int64) (encoder.Head, error) {
	hidden := int64(c.HiddenSize)
	pooler, trained, err := l.Pooler(poolerName, hidden, hidden)
	if err != nil {
		return nil, err
	}
	classifier, err := l.Trainable("classifier", labels, hidden)
	return &head{pooler, classifier, trained}, err
}

func (h *head) Logits(first *torch.Tensor, drop encoder.Dropout) *torch.Tensor {
	pooled := h.pooler.Apply(first.ToDType(h.pooler.Weight.DType())).Tanh().ToDType(torch.Float32) // (examples, hidden)
	return h.classifier.Apply(pooled.Dropout(drop.Classifier))
}

func (h *head) Parameters() []adapter.Parameter {
	classifier := h.classifier.Parameters("classifier")
	if !h.trainsPooler {
		return classifier
	}
	return append(h.pooler.Parameters(Family.Prefix+poolerName), classifier...)
}
