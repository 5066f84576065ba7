package run_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/predict"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/run/runtest"
	"github.com/metatt/metatt/pkg/train"
)

type evaluations struct {
	silent
	all []train.EvalInfo
}

func (e *evaluations) Eval(info train.EvalInfo) { e.all = append(e.all, info) }

// Of a classifier that has learned one class alone, training, its record and eval
// say so.
func TestOneClassIsSaid(t *testing.T) {
	const header = "index\tsentence1\tsentence2\tlabel\n"
	folder := runtest.Files(t, map[string]string{
		"RTE/train.tsv": header + strings.Repeat("0\tthe king\tsees a cat\tnot_entailment\n1\ta river\tthe king\tnot_entailment\n", 7),
		"RTE/dev.tsv":   header + "0\tthe king\tsees\tentailment\n1\ta cat\tnever\tnot_entailment\n",
	})
	o := tiny(t, "task=rte", "data.glue="+folder, "train.lr=1e-1", "train.epochs=5")
	seen := &evaluations{}
	o.Observer = seen
	summary, err := run.Train(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(seen.all) != 5 || seen.all[4].Tasks[0].OneClass != "not_entailment" {
		t.Errorf("%+v", seen.all)
	}
	if record := metrics(t, summary.RunDir); !bytes.Contains(record, []byte(`"one_class":"not_entailment"`)) {
		t.Errorf("%s", record)
	}
	var notes []string
	if _, err := predict.Evaluate(t.Context(), predict.EvalOptions{Dir: summary.RunDir, Note: func(text string) { notes = append(notes, text) }}); err != nil ||
		!strings.Contains(strings.Join(notes, "\n"), `RTE: every example of dev is predicted as "not_entailment"`) {
		t.Errorf("%v, notes %q", err, notes)
	}
}
