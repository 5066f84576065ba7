package run_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/models/roberta"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/torch"
)

// tinyRoBERTa writes a random RoBERTa whose tokenizer knows single letters.
func tinyRoBERTa(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	vocabulary := map[string]int{"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 4}
	for _, letter := range "Ġabcdefghijklmnopqrstuvwxyz.," {
		vocabulary[string(letter)] = len(vocabulary)
	}
	text, err := json.Marshal(vocabulary)
	if err != nil {
		t.Fatal(err)
	}
	m, err := roberta.New(&hf.Config{
		ModelType: "roberta", VocabSize: len(vocabulary), HiddenSize: 12, NumHiddenLayers: 2, NumAttentionHeads: 3, IntermediateSize: 24,
		MaxPositionEmbeddings: 70, TypeVocabSize: 1, PadTokenID: 1, HiddenAct: "gelu", LayerNormEps: 1e-5, InitializerRange: 0.3,
		HiddenDropoutProb: 0.1, AttentionProbsDropoutProb: 0.1, ID2Label: []string{"a", "b", "c"},
	}, encoder.Options{DType: torch.Float32, Device: torch.CPU})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Free()
	if err := m.Save(dir); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"vocab.json": string(text), "merges.txt": "#version: 0.2\n",
		"tokenizer_config.json": `{"tokenizer_class": "RobertaTokenizer"}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A RoBERTa trains with an adapter and both layers of its head, and what is
// saved predicts what training evaluated.
func TestRoBERTa(t *testing.T) {
	o := tiny(t, "model.path="+tinyRoBERTa(t), "data.max_length=64", "adapter.targets=all", "train.max_steps=9")
	summary, err := run.Train(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(12*12 + 12 + 2*12 + 2); summary.HeadParams != want {
		t.Errorf("%d head parameters, want %d", summary.HeadParams, want)
	}
	predictsWhatWasEvaluated(t, summary, run.PredictorOptions{})
}
