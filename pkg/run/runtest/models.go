package runtest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/models/roberta"
	"github.com/metatt/metatt/pkg/torch"
)

// FixedBatch is a model with a batch: three examples, one of a single token.
type FixedBatch struct {
	*encoder.Model
	Single bool // the batch is one token
}

func (m FixedBatch) batch() encoder.Input {
	if m.Single {
		return encoder.Input{IDs: []int32{5}, TypeIDs: []int32{0}, Offsets: []int32{0, 1}}
	}
	return encoder.Input{IDs: []int32{5, 9, 28, 4, 3, 7, 11, 2, 6}, TypeIDs: make([]int32, 9), Offsets: []int32{0, 5, 6, 9}}
}

// Tokens is the batch's number of tokens.
func (m FixedBatch) Tokens() int64 { return int64(len(m.batch().IDs)) }

// Logits are the model's for the batch under the adapter's pass.
func (m FixedBatch) Logits(pass adapter.Pass) *torch.Tensor {
	return m.Forward(m.batch(), pass, encoder.Dropout{})
}

// MNLI is a GLUE folder with train_subset.tsv and all that is judged.
func MNLI(t testing.TB) string {
	const labelled = "index\tsentence1\tsentence2\tgold_label\n"
	const hidden = "index\tsentence1\tsentence2\n"
	return Files(t, map[string]string{
		"MNLI/train_subset.tsv":     labelled + strings.Repeat("0\tthe king\tsees a cat\tentailment\n1\ta river\tthe king\tneutral\n2\ta cat\tnever\tcontradiction\n", 4),
		"MNLI/dev_matched.tsv":      labelled + "0\tthe king\tsees\tneutral\n1\ta cat\tnever\tcontradiction\n",
		"MNLI/dev_mismatched.tsv":   labelled + "0\ta red bell\tsees\tentailment\n",
		"MNLI/test_matched.tsv":     hidden + "0\tthe king\tsees\n1\ta cat\tnever\n2\ta bell\tsees\n",
		"MNLI/test_mismatched.tsv":  hidden + "0\ta river\tsees\n",
		"diagnostic/diagnostic.tsv": hidden + "0\tthe king\tsees\n1\ta cat\tnever\n",
	})
}

// TinyRoBERTa writes a random RoBERTa whose tokenizer knows single letters.
func TinyRoBERTa(t testing.TB) string {
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
