package encoder

import (
	"fmt"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/torch"
)

// Family is what tells BERT from RoBERTa: names, positions and the head.
type Family struct {
	ModelType    string // of config.json
	Architecture string // transformers' class with the sequence classification head
	Prefix       string // before the backbone's names in a checkpoint of that class
	// TiedWord is the masked-language-model layer that shares its weight with
	// the word embeddings; a checkpoint may hold the shared tensor under this
	// name alone.
	TiedWord string
	// Positions writes the row of the position table for each token of one
	// example.
	Positions func(c *hf.Config, ids, positions []int32)
	// MaxLength is the largest number of tokens of an example.
	MaxLength func(c *hf.Config) int
	// PaddedPositions: the row of the position table at pad_token_id belongs to
	// padding and is not trained.
	PaddedPositions bool
	// Pooler is the layer (hidden, hidden) of the head that stands behind the
	// prefix; empty: the family has none.
	Pooler   string
	LoadHead func(*HeadLoader) (Classifier, error)
}

// Classifier turns first tokens into logits.
type Classifier interface {
	// Logits is (examples, labels), fp32, for the last layer's output at each
	// example's first token, (examples, hidden) in the backbone's dtype. A layer
	// that the head does not have of its own is the backbone's. dropout is that of
	// the head; every call of it has a mask of its own.
	Logits(b *Backbone, first *torch.Tensor, dropout func(x *torch.Tensor) *torch.Tensor) *torch.Tensor
}

// familyOf reads the config.json in a folder, of one of the families.
func familyOf(dir string, families []Family) (*hf.Config, Family, error) {
	config, err := hf.ReadConfig(dir)
	if err != nil {
		return nil, Family{}, err
	}
	i := slices.IndexFunc(families, func(f Family) bool { return f.ModelType == config.ModelType })
	if i < 0 {
		names := make([]string, len(families))
		for k, f := range families {
			names[k] = f.ModelType
		}
		return nil, Family{}, fmt.Errorf("%s: model_type is %q, not %s", dir, config.ModelType, strings.Join(names, " or "))
	}
	return config, families[i], nil
}

// ArchitectureOf is what an adapter may know of a model of that config.json.
func ArchitectureOf(c *hf.Config) adapter.Architecture {
	return adapter.Architecture{
		ModelType: c.ModelType, Hidden: int64(c.HiddenSize), Layers: c.NumHiddenLayers,
		Heads: c.NumAttentionHeads, Intermediate: int64(c.IntermediateSize),
	}
}
