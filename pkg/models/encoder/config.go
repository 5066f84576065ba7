package encoder

import (
	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/hf"
)

// fromConfig is the encoder's part of a model's config.json.
func fromConfig(c *hf.Config) Config {
	return Config{
		Architecture: adapter.Architecture{
			ModelType: c.ModelType, Hidden: int64(c.HiddenSize), Layers: c.NumHiddenLayers,
			Heads: c.NumAttentionHeads, Intermediate: int64(c.IntermediateSize),
		},
		Activation:       c.HiddenAct,
		LayerNormEps:     c.LayerNormEps,
		HiddenDropout:    c.HiddenDropoutProb,
		AttentionDropout: c.AttentionProbsDropoutProb,
	}
}
