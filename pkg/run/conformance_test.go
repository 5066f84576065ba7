package run_test

import (
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/adapter/adaptertest"
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/models/bert"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/models/roberta"
	"github.com/metatt/metatt/pkg/torch"
)

// fixedBatch is a model with a batch: three examples, one of a single token.
type fixedBatch struct {
	*encoder.Model
	batch encoder.Input
}

func (m fixedBatch) Tokens() int64 { return int64(len(m.batch.IDs)) }

func (m fixedBatch) Logits(pass adapter.Pass) *torch.Tensor {
	return m.Forward(m.batch, pass, encoder.Dropout{})
}

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
		newModel := func(t *testing.T, dtype torch.DType) adaptertest.Model {
			t.Helper()
			c := family.config
			c.VocabSize, c.MaxPositionEmbeddings, c.PadTokenID, c.LayerNormEps, c.InitializerRange = 29, 17, 1, 1e-5, 0.3
			c.ID2Label = []string{"a", "b", "c"}
			m, err := family.make(&c, encoder.Options{DType: dtype, Device: torch.CPU, Seed: 3})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(m.Free)
			return fixedBatch{m, encoder.Input{
				IDs: []int32{5, 9, 28, 4, 3, 7, 11, 2, 6}, TypeIDs: make([]int32, 9), Offsets: []int32{0, 5, 6, 9},
			}}
		}
		for _, method := range adapter.Methods() {
			t.Run(name+"/"+method.Name, func(t *testing.T) { adaptertest.Run(t, method, newModel) })
		}
	}
}
