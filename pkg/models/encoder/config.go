package encoder

import (
	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/hf"
)

// ArchitectureOf is what an adapter may know of a model of that config.json.
func ArchitectureOf(c *hf.Config) adapter.Architecture {
	return adapter.Architecture{
		ModelType: c.ModelType, Hidden: int64(c.HiddenSize), Layers: c.NumHiddenLayers,
		Heads: c.NumAttentionHeads, Intermediate: int64(c.IntermediateSize),
	}
}

// fromConfig is the encoder's part of a model's config.json.
func fromConfig(c *hf.Config) Config {
	return Config{
		Architecture: ArchitectureOf(c),
		Activation:   c.HiddenAct,
		LayerNormEps: c.LayerNormEps,
	}
}
