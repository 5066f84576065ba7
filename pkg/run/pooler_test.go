package run_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/convert"
	"github.com/metatt/metatt/pkg/predict"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/run/runtest"
	"github.com/metatt/metatt/pkg/safetensors"
)

// withoutPooler is the tiny BERT as a masked language model is saved.
func withoutPooler(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "masked")
	if err := os.CopyFS(dir, os.DirFS(tinyBERT)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "model.safetensors")
	tensors := slices.DeleteFunc(tensorsOf(t, path), func(tensor safetensors.Tensor) bool {
		return !strings.HasPrefix(tensor.Name, "bert.") || strings.Contains(tensor.Name, "pooler")
	})
	if err := safetensors.Write(path, tensors, nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

// What loading makes because a checkpoint lacks it is trained and stored like the
// head, and is what every reader uses, whatever their seed.
func TestPoolerThatTheCheckpointLacks(t *testing.T) {
	model := withoutPooler(t)
	examples := runtest.MRPCDev(t)
	predicted := func(t *testing.T, dir string) []float32 {
		t.Helper()
		return runtest.Logits(t, dir, predict.Options{Model: model}, examples)
	}
	for _, m := range adapter.Methods() {
		t.Run(m.Name, func(t *testing.T) {
			settings := []string{"model.path=" + model, "adapter.method=" + m.Name, "adapter.rank=2", "train.max_steps=6"}
			o := tiny(t, settings...)
			var notes []string
			o.Observer = noting{silent{}, &notes}
			summary, err := run.Train(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if summary.HeadParams != 26+156 { // classifier and pooler
				t.Errorf("%d parameters of the head", summary.HeadParams)
			}
			if said := strings.Join(notes, "\n"); !strings.Contains(said, "[bert.pooler.dense.weight bert.pooler.dense.bias classifier.weight classifier.bias]; trained and stored with the adapter") {
				t.Errorf("nothing is said of the pooler: %q", said)
			}
			predictsWhatWasEvaluated(t, summary, predict.Options{Model: model})
			last := filepath.Join(summary.RunDir, "adapter", "last")
			want := predicted(t, last)

			resumed := tiny(t, settings...)
			interrupted(t, resumed, 2, 5)
			if _, err := run.Resume(t.Context(), resumed.Config.Run.Dir, resumed); err != nil {
				t.Fatal(err)
			}
			weights := filepath.Join("adapter", "last", adapter.WeightsFile)
			a, err := os.ReadFile(filepath.Join(summary.RunDir, weights))
			b, err2 := os.ReadFile(filepath.Join(resumed.Config.Run.Dir, weights))
			if err != nil || err2 != nil || !bytes.Equal(a, b) {
				t.Errorf("%s differs after resuming (%v, %v)", weights, err, err2)
			}

			if m.Name != "adalora" { // whose ranks fall in a run
				again, err := run.Train(t.Context(), tiny(t, "model.path="+model, "adapter.init_from="+last, "train.seed=9", "train.lr=1e-12", "train.max_steps=1"))
				if err != nil {
					t.Fatal(err)
				}
				same(t, "a start", predicted(t, again.RunDir), want)
			}
			merged := filepath.Join(t.TempDir(), "merged")
			switch err := convert.Merge(t.Context(), convert.MergeOptions{Dir: last, Out: merged}); {
			case m.Name == "loretta-adp" && err != nil: // nonlinear
			case err != nil:
				t.Errorf("merge: %v", err)
			default:
				same(t, "merged", modelLogits(t, merged, examples), want)
			}
			exported := filepath.Join(t.TempDir(), "exported")
			if _, err := convert.Export(t.Context(), convert.ExportOptions{Dir: last, Out: exported}); err != nil {
				if !strings.Contains(err.Error(), "is no LoRA") {
					t.Errorf("export: %v", err)
				}
				return
			}
			same(t, "exported", predicted(t, exported), want)
			text, err := os.ReadFile(filepath.Join(exported, adapter.ConfigFile))
			var keys struct {
				Saved []string `json:"modules_to_save"`
			}
			if err == nil {
				err = json.Unmarshal(text, &keys)
			}
			if err != nil || !slices.Equal(keys.Saved, []string{"classifier", "score", "pooler"}) {
				t.Errorf("modules_to_save are %v (%v)", keys.Saved, err)
			}
		})
	}
}

// An adapter that was trained on a pooler that nothing stored is not used with
// another.
func TestAdapterThatLacksItsPooler(t *testing.T) {
	model := withoutPooler(t)
	summary, err := run.Train(t.Context(), tiny(t, "train.max_steps=1")) // with the checkpoint's pooler
	if err != nil {
		t.Fatal(err)
	}
	_, err = predict.Open(summary.RunDir, predict.Options{Model: model})
	if err == nil || !strings.Contains(err.Error(), "tensor bert.pooler.dense.weight is missing") {
		t.Errorf("error %v", err)
	}
}

// A run that started from tensors of PEFT's goes on with them after it was stopped.
func TestResumeOfAStartFromPEFT(t *testing.T) {
	for _, name := range []string{"bias-all", "dense", "norms", "scattered", "pooler", "dense-vera", "bf16"} {
		t.Run(name, func(t *testing.T) {
			settings := []string{"model.path=" + tinyBERT, "adapter.init_from=testdata/peft/" + name, "train.max_steps=6"}
			whole := tiny(t, settings...)
			if _, err := run.Train(t.Context(), whole); err != nil {
				t.Fatal(err)
			}
			stopped := tiny(t, settings...)
			interrupted(t, stopped, 2, 5)
			if _, err := run.Resume(t.Context(), stopped.Config.Run.Dir, stopped); err != nil {
				t.Fatal(err)
			}
			for _, file := range []string{"metrics.jsonl", "adapter/last/" + adapter.WeightsFile, "adapter/last/" + adapter.ConfigFile} {
				a, err := os.ReadFile(filepath.Join(whole.Config.Run.Dir, file))
				b, err2 := os.ReadFile(filepath.Join(stopped.Config.Run.Dir, file))
				if err != nil || err2 != nil || !bytes.Equal(a, b) {
					t.Errorf("%s differs after resuming (%v, %v)", file, err, err2)
				}
			}
		})
	}
}

// noting is an observer that keeps notes.
type noting struct {
	silent
	notes *[]string
}

func (n noting) Note(text string) { *n.notes = append(*n.notes, text) }

// Each task of an adapter for several has a pooler of its own then.
func TestPoolersOfSeveralTasks(t *testing.T) {
	model := withoutPooler(t)
	first, err := run.Train(t.Context(), tiny(t, "model.path="+model, "adapter.task_after=layer", "train.max_steps=4"))
	if err != nil {
		t.Fatal(err)
	}
	o := tiny(t, "model.path="+model, "task=sample", "adapter.append.to="+first.RunDir, "train.seed=5", "train.max_steps=4", "data.max_length=24")
	both, err := run.Train(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	predictsWhatWasEvaluated(t, first, predict.Options{})
	first.RunDir = both.RunDir
	predictsWhatWasEvaluated(t, first, predict.Options{Task: "mrpc"})
	e, err := predict.Evaluate(t.Context(), predict.EvalOptions{Dir: filepath.Join(both.RunDir, "adapter", "last"), Predictor: predict.Options{Task: "sample"}})
	if err != nil || !slices.Equal(e.Splits[0].Metrics, both.Last) {
		t.Errorf("%+v (%v), training evaluated %v", e, err, both.Last)
	}
	for _, task := range []string{"mrpc", "sample"} {
		if err := convert.Merge(t.Context(), convert.MergeOptions{Dir: both.RunDir, Out: filepath.Join(t.TempDir(), task), Task: task}); err != nil {
			t.Errorf("%s: %v", task, err)
		}
	}
}
