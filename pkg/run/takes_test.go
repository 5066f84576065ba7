package run_test

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/models/bert"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/run/runtest"
	"github.com/metatt/metatt/pkg/torch"
)

// oneTypeBERT is a BERT of one token type, with the tiny one's tokenizer.
func oneTypeBERT(t *testing.T) string {
	t.Helper()
	dir := copyModel(t)
	config, err := hf.ReadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	config.TypeVocabSize = 1
	m, err := bert.New(config, encoder.Options{DType: torch.Float32, Device: torch.CPU})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Free()
	if err := m.Save(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// What the model cannot take is found before a run directory is made, in what
// was encoded: a task of single texts, or a tokenizer that makes one type, is fine.
func TestPairsForAModelOfOneTokenType(t *testing.T) {
	model := oneTypeBERT(t)
	o := tiny(t, "model.path="+model)
	const want = "does not take the train set of MRPC: example 0 (ID \"0\"): batch: token"
	if _, err := describe(t, o); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "has type 1, the model has 1 types") {
		t.Errorf("--dry-run: %v", err)
	}
	if _, err := run.Train(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("train: %v", err)
	}
	if _, err := os.Stat(o.Config.Run.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the run directory was made: %v", err)
	}
	single := runtest.Files(t, map[string]string{
		"SST-2/train.tsv": "sentence\tlabel\nthe king\t1\na cat\t0\n",
		"SST-2/dev.tsv":   "sentence\tlabel\nthe cat\t1\na king\t0\n",
	})
	if _, err := describe(t, tiny(t, "model.path="+model, "task=sst2", "data.glue="+single)); err != nil {
		t.Errorf("single texts: %v", err)
	}
}
