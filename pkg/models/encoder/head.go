package encoder

import (
	"slices"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/hf"
)

// FromConfig is the encoder's part of a model's config.json.
func FromConfig(c *hf.Config) Config {
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

// NewLinear makes NAME.weight (out, in), normal with that standard deviation,
// and NAME.bias, zeros, in the loader's dtype: transformers' initialisation of
// what a checkpoint lacks.
func (l *Loader) NewLinear(name string, deviation float64, out, in int64) (Linear, error) {
	return l.makeLinear(l.prefix+name, l.dtype, deviation, out, in)
}

// Head takes the trainable fp32 layer NAME, which stands without prefix, where
// the file has it in that shape, and makes it anew where not.
func (l *Loader) Head(name string, deviation float64, out, in int64) (Linear, error) {
	info, ok := l.checkpoint.Info(name + ".weight")
	if !ok || !slices.Equal(info.Shape, []int64{out, in}) {
		return l.makeLinear(name, headDType, deviation, out, in)
	}
	weight, err := l.read(name+".weight", headDType, []int64{out, in})
	if err != nil {
		return Linear{}, err
	}
	bias, err := l.read(name+".bias", headDType, []int64{out})
	return Linear{weight, bias}, err
}
