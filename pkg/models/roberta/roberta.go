// Package roberta is RoBERTa (Liu et al. 2019) for sequence classification:
// word and position embeddings, the encoder and a head of two linear layers on
// the first token, as in transformers' RobertaForSequenceClassification.
package roberta

import (
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/torch"
)

// Family is RoBERTa among the encoders.
var Family = encoder.Family{
	ModelType:       "roberta",
	Architecture:    "RobertaForSequenceClassification",
	Prefix:          "roberta.",
	TiedWord:        "lm_head.decoder.weight",
	Positions:       positions,
	MaxLength:       func(c *hf.Config) int { return c.MaxPositionEmbeddings - c.PadTokenID - 1 },
	PaddedPositions: true,
	LoadHead:        loadHead,
}

// Load reads the model in a folder: config.json and its checkpoint.
func Load(dir string, o encoder.Options) (*encoder.Model, error) { return encoder.Load(dir, o, Family) }

// New makes a model of that config with random weights.
func New(config *hf.Config, o encoder.Options) (*encoder.Model, error) {
	return encoder.New(config, Family, o)
}

// positions count the tokens that are not padding from pad_token_id + 1 on; a
// padding token, which a text may spell out, has position pad_token_id itself
// (fairseq's convention).
func positions(c *hf.Config, ids, positions []int32) {
	padding := int32(c.PadTokenID)
	next := padding + 1
	for i, id := range ids {
		if id == padding {
			positions[i] = padding
			continue
		}
		positions[i] = next
		next++
	}
}

// head is out_proj(dropout(tanh(dense(dropout(first token))))); both layers are
// trainable.
type head struct{ dense, output encoder.Linear }

func loadHead(l *encoder.HeadLoader) (encoder.Classifier, error) {
	dense, err := l.Linear("classifier.dense", l.Hidden, l.Hidden)
	if err != nil {
		return nil, err
	}
	output, err := l.Linear("classifier.out_proj", l.Labels, l.Hidden)
	return &head{dense, output}, err
}

func (h *head) Logits(_ *encoder.Backbone, first *torch.Tensor, dropout func(*torch.Tensor) *torch.Tensor) *torch.Tensor {
	x := dropout(first.ToDType(torch.Float32)) // (examples, hidden)
	return h.output.Apply(dropout(h.dense.Apply(x).Tanh()))
}
