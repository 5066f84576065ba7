package run_test

import (
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/adapter/adaptertest"
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/models/bert"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/models/roberta"
	"github.com/metatt/metatt/pkg/run/runtest"
	"github.com/metatt/metatt/pkg/torch"
)

// Every registered method passes the conformance suite on both families. The
// widths are not those of the heads, nor of each other.
func TestConformance(t *testing.T) {
	families := map[string]struct {
		make   func(*hf.Config, encoder.Options) (*encoder.Model, error)
		config hf.Config
	}{
		"bert": {bert.New, hf.Config{
			ModelType: "bert", HiddenSize: 12, NumHiddenLayers: 3, NumAttentionHeads: 3, IntermediateSize: 24, TypeVocabSize: 2, HiddenAct: "gelu",
		}},
		"roberta": {roberta.New, hf.Config{
			ModelType: "roberta", HiddenSize: 10, NumHiddenLayers: 2, NumAttentionHeads: 2, IntermediateSize: 40, TypeVocabSize: 1, HiddenAct: "relu",
		}},
	}
	for name, family := range families {
		make := func(t *testing.T, dtype torch.DType, single bool) adaptertest.Model {
			t.Helper()
			c := family.config
			c.VocabSize, c.MaxPositionEmbeddings, c.PadTokenID, c.LayerNormEps, c.InitializerRange = 29, 17, 1, 1e-5, 0.3
			c.ID2Label = []string{"a", "b", "c"}
			m, err := family.make(&c, encoder.Options{DType: dtype, Device: torch.CPU, Seed: 3})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(m.Free)
			return runtest.FixedBatch{Model: m, Single: single}
		}
		newModel := func(t *testing.T, dtype torch.DType) adaptertest.Model { return make(t, dtype, false) }
		smallest := func(t *testing.T, dtype torch.DType) adaptertest.Model { return make(t, dtype, true) }
		for _, method := range adapter.Methods() {
			t.Run(name+"/"+method.Name, func(t *testing.T) { adaptertest.Run(t, method, newModel) })
			t.Run(name+"/"+method.Name+"/one token", func(t *testing.T) { adaptertest.RunSmallest(t, method, smallest) })
		}
	}
}
