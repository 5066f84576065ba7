package run_test

import (
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/convert"
	"github.com/metatt/metatt/pkg/data"
	"github.com/metatt/metatt/pkg/inspect"
	"github.com/metatt/metatt/pkg/models"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/predict"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/run/runtest"
	"github.com/metatt/metatt/pkg/safetensors"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/tokenizer"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/train"
)

const tinyBERT = "testdata/tiny-bert"

// peftExpected is what parity/peft_fixtures.py wrote.
type peftExpected struct {
	Pairs  [][2]string
	Logits map[string][][]float64
}

func readPEFTExpected(t *testing.T) (e peftExpected, examples []task.Example) {
	t.Helper()
	text, err := os.ReadFile("testdata/peft/expected.json")
	if err == nil {
		err = json.Unmarshal(text, &e)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, pair := range e.Pairs {
		examples = append(examples, task.Example{Text: pair[0], Pair: pair[1], Label: task.Unlabelled})
	}
	return e, examples
}

// Every adapter folder as PEFT writes it gives PEFT's logits: as it is, merged,
// exported, and as a start that is not moved.
func TestPEFTsFolders(t *testing.T) {
	expected, examples := readPEFTExpected(t)
	for _, name := range slices.Sorted(maps.Keys(expected.Logits)) {
		t.Run(name, func(t *testing.T) {
			dir, want := filepath.Join("testdata/peft", name), slices.Concat(expected.Logits[name]...)
			predicted := func(dir string) []float32 {
				t.Helper()
				return runtest.Logits(t, dir, predict.Options{Model: tinyBERT, Task: "mrpc"}, examples)
			}
			same(t, "loaded", predicted(dir), want)

			merged := filepath.Join(t.TempDir(), "merged")
			if err := convert.Merge(t.Context(), convert.MergeOptions{Dir: dir, Out: merged, Model: tinyBERT}); err != nil {
				t.Fatal(err)
			}
			same(t, "merged", modelLogits(t, merged, examples), want)

			exported := filepath.Join(t.TempDir(), "exported")
			switch _, err := convert.Export(t.Context(), convert.ExportOptions{Dir: dir, Out: exported, Model: tinyBERT}); {
			case strings.Contains(name, "dora") && (err == nil || !strings.Contains(err.Error(), "is no LoRA")):
				t.Errorf("export: %v", err)
			case strings.Contains(name, "dora"):
			case err != nil:
				t.Errorf("export: %v", err)
			default:
				same(t, "exported", predicted(exported), want)
			}

			if i, err := inspect.Adapter(inspect.Options{Dir: dir, Model: tinyBERT}); err != nil || i.Count == 0 {
				t.Errorf("inspected %+v, %v", i, err)
			}

			if strings.Contains(name, "adalora") {
				return // whose ranks fall in a run
			}
			// Trained with a rate that moves nothing, and saved.
			summary, err := run.Train(t.Context(), tiny(t, "model.path="+tinyBERT, "adapter.init_from="+dir, "train.seed=7", "train.lr=1e-12", "train.max_steps=1"))
			if err != nil {
				t.Fatal(err)
			}
			same(t, "a start", predicted(summary.RunDir), want)
			if summary.HeadParams != headSize(name) {
				t.Errorf("%d parameters of the head, want %d", summary.HeadParams, headSize(name))
			}
			if strings.HasPrefix(name, "bias") || name == "norms" {
				saved, err := adapter.Read(filepath.Join(summary.RunDir, "adapter", "last"))
				if err != nil {
					t.Fatal(err)
				}
				defer saved.Close()
				if len(saved.Config.Replaced) == 0 {
					t.Error("nothing says which tensors of the backbone are the adapter's")
				}
			}
		})
	}
}

// headSize is the classifier's 2 × 12 + 2, with the pooler's 12 × 12 + 12 where
// the adapter has one.
func headSize(name string) int64 {
	if strings.HasPrefix(name, "dense") || name == "pooler" {
		return 26 + 156
	}
	return 26
}

// same holds logits to 1e-5 of the largest.
func same[number float32 | float64](t *testing.T, what string, got []float32, want []number) {
	t.Helper()
	scale := 1.0
	for _, w := range want {
		scale = max(scale, math.Abs(float64(w)))
	}
	if len(got) != len(want) {
		t.Fatalf("%s: %d logits, want %d", what, len(got), len(want))
	}
	for i := range want {
		if d := math.Abs(float64(got[i]) - float64(want[i])); !(d <= 1e-5*scale) {
			t.Errorf("%s: logit %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

// modelLogits is what a model alone makes of pairs of sentences.
func modelLogits(t *testing.T, dir string, examples []task.Example) (logits []float32) {
	t.Helper()
	model, err := models.Load(dir, encoder.Options{DType: torch.Float32, Device: torch.CPU})
	if err != nil {
		t.Fatal(err)
	}
	defer model.Free()
	if report := model.Report(); len(report.New) > 0 || len(report.Unexpected) > 0 {
		t.Errorf("%s: %+v", dir, report)
	}
	tokens, err := tokenizer.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	named, err := task.Lookup("mrpc")
	if err != nil {
		t.Fatal(err)
	}
	set, err := data.Encode(t.Context(), tokens, named, examples, model.MaxLength())
	if err != nil {
		t.Fatal(err)
	}
	head, err := adapter.Lookup("head")
	if err != nil {
		t.Fatal(err)
	}
	none, err := head.New(adapter.Spec{Architecture: model.Architecture()})
	if err != nil {
		t.Fatal(err)
	}
	if err := torch.Do(func() (err error) {
		logits, err = train.Predict(t.Context(), model, none, set, 4, torch.Float32)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return logits
}

// What is in a folder of PEFT's and cannot be used is said, once.
func TestNotesOnPEFTsFolders(t *testing.T) {
	for _, c := range []struct {
		folder string
		keys   map[string]any
		want   []string
	}{
		{"bare", nil, []string{"not in the adapter, taken from the checkpoint: [classifier.weight classifier.bias]"}},
		{"tokens", nil, []string{"trained for TOKEN_CLS: its layers are used, its head is not", "taken from the checkpoint: [classifier.weight classifier.bias]", "in the adapter, not used: [base_model.model.classifier."}},
		{"bias-all", nil, []string{"tensors of the backbone that the adapter brings, and keeps frozen", "put into the model's tensors: [bert.encoder.layer.0.attention.self.query.bias"}},
		{"dense", nil, []string{"put into the model's tensors: [bert.pooler.dense.weight]"}},
		{"f16", map[string]any{"a_key_of_tomorrow": 0.5}, []string{`the key "a_key_of_tomorrow" is unknown to this build and changes nothing`}},
		{"f16", map[string]any{"velora_config": map[string]any{"scale": 1}}, []string{"velora_config counts in PEFT's training alone"}},
		{"f16", map[string]any{"bias": "all"}, []string{`bias is "all", and the folder has no bias`}},
		{"f16", map[string]any{"alpha_pattern": map[string]any{"key": 3}}, []string{`alpha_pattern: "key" gives no adapted module its value`}},
		{"f16", map[string]any{"target_modules": []string{"query", "value", "key"}}, []string{"target_modules selects modules that have no tensors, and stay as they are: [bert.encoder.layer.0.attention.self.key"}},
		{"f16", map[string]any{"target_modules": []string{"query"}}, []string{"bert.encoder.layer.0.attention.self.value has tensors, but target_modules does not select it"}},
		{"f16", map[string]any{"target_modules": `.*(?=query|value)\w+`}, []string{"an expression of Python's that this build cannot read"}},
	} {
		t.Run(c.folder, func(t *testing.T) {
			dir := copied(t, c.folder, c.keys)
			var notes []string
			p, err := predict.Open(dir, predict.Options{Model: tinyBERT, Task: "mrpc", Note: func(text string) { notes = append(notes, text) }})
			if err != nil {
				t.Fatal(err)
			}
			p.Close()
			for _, want := range c.want {
				if n := strings.Count(strings.Join(notes, "\n"), want); n != 1 {
					t.Errorf("%q is said %d times in %q", want, n, notes)
				}
			}
		})
	}
}

func editJSON(t *testing.T, path string, more map[string]any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]any{}
	if err := json.Unmarshal(text, &keys); err != nil {
		t.Fatal(err)
	}
	maps.Copy(keys, more)
	if text, err = json.Marshal(keys); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// What the commands need to know of a folder of PEFT's has to be said, and no more.
func TestPEFTsFoldersNameNoTask(t *testing.T) {
	const dir = "testdata/peft/f16"
	for want, o := range map[string]predict.Options{
		"names no model: --model":            {Task: "mrpc"},
		"names no task: --task":              {Model: tinyBERT},
		`"mrpcc"`:                            {Model: tinyBERT, Task: "mrpcc"},
		"has 2 outputs, STS-B has 1":         {Model: tinyBERT, Task: "stsb"},
		"what the labels and columns of own": {Model: tinyBERT, Task: "custom"},
	} {
		if p, err := predict.Open(dir, o); err == nil || p != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want %q", o, err, want)
		}
	}
	e, err := predict.Evaluate(t.Context(), predict.EvalOptions{Dir: dir, GLUE: "testdata/glue", Predictor: predict.Options{Model: tinyBERT, Task: "mrpc"}})
	if err != nil || len(e.Splits) != 1 || e.Splits[0].Examples != 15 {
		t.Errorf("%+v, %v", e, err)
	}
	if _, err := inspect.Adapter(inspect.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "--model") {
		t.Errorf("inspected without a model: %v", err)
	}
}

// copied is a copy of one of PEFT's folders with keys of its configuration changed.
func copied(t *testing.T, name string, keys map[string]any) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "adapter")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata/peft", name))); err != nil {
		t.Fatal(err)
	}
	editJSON(t, filepath.Join(dir, adapter.ConfigFile), keys)
	return dir
}

// The classes of a head that names none are in the order of the checkpoint's names,
// for every reader.
func TestPEFTsHeadHasTheCheckpointsClasses(t *testing.T) {
	model := filepath.Join(t.TempDir(), "reversed")
	if err := os.CopyFS(model, os.DirFS(tinyBERT)); err != nil {
		t.Fatal(err)
	}
	editJSON(t, filepath.Join(model, "config.json"), map[string]any{"id2label": map[string]string{"0": "1", "1": "0"}})
	const dir = "testdata/peft/scattered"
	summary, err := run.Train(t.Context(), tiny(t, "model.path="+model, "adapter.init_from="+dir, "train.lr=1e-12", "train.max_steps=1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{dir, summary.RunDir} {
		e, err := predict.Evaluate(t.Context(), predict.EvalOptions{Dir: folder, GLUE: "testdata/glue", Predictor: predict.Options{Model: model, Task: "mrpc"}})
		if err != nil || !slices.Equal(e.Splits[0].Metrics, summary.Last) {
			t.Errorf("%s: %+v (%v), training evaluated %v", folder, e, err, summary.Last)
		}
	}
	plain, err := predict.Evaluate(t.Context(), predict.EvalOptions{Dir: dir, GLUE: "testdata/glue", Predictor: predict.Options{Model: tinyBERT, Task: "mrpc"}})
	if err != nil || slices.Equal(plain.Splits[0].Metrics, summary.Last) {
		t.Errorf("the order makes no difference: %+v (%v)", plain, err)
	}
}

// A head that the file's bytes do not hold is not made.
func TestPEFTsHeadOfAnotherWidth(t *testing.T) {
	dir := copied(t, "scattered", nil)
	path := filepath.Join(dir, adapter.WeightsFile)
	for _, shape := range [][]int64{{1 << 40, 0}, {5, 11}, {0, 12}} {
		rewrite(t, path, "base_model.model.classifier.weight", shape)
		for name, err := range map[string]error{
			"merge": convert.Merge(t.Context(), convert.MergeOptions{Dir: dir, Out: filepath.Join(t.TempDir(), "out"), Model: tinyBERT}),
			"export": func() error {
				_, err := convert.Export(t.Context(), convert.ExportOptions{Dir: dir, Out: filepath.Join(t.TempDir(), "out"), Model: tinyBERT})
				return err
			}(),
		} {
			if err == nil || !strings.Contains(err.Error(), "the model is 12 wide") {
				t.Errorf("%s with a weight of shape %v: %v", name, shape, err)
			}
		}
	}
}

// rewrite gives a tensor of a file another shape, and zeros.
func rewrite(t *testing.T, path, changed string, shape []int64) {
	t.Helper()
	tensors := tensorsOf(t, path)
	for i := range tensors {
		if tensors[i].Name == changed {
			tensors[i].Shape, tensors[i].Data = shape, make([]byte, 4*shape[0]*shape[1])
		}
	}
	if err := safetensors.Write(path, tensors, nil); err != nil {
		t.Fatal(err)
	}
}

// tensorsOf are those of a file, in its order.
func tensorsOf(t *testing.T, path string) (tensors []safetensors.Tensor) {
	t.Helper()
	file, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, name := range file.Names() {
		info, _ := file.Info(name)
		tensor := safetensors.Tensor{Name: name, DType: info.DType, Shape: info.Shape, Data: make([]byte, info.Size)}
		if err := file.ReadInto(name, tensor.Data); err != nil {
			t.Fatal(err)
		}
		tensors = append(tensors, tensor)
	}
	return tensors
}

// Of another class of model only the layers are used, whether PEFT recorded its
// task or its name.
func TestPEFTsOtherHeadByTheModelsClass(t *testing.T) {
	expected, examples := readPEFTExpected(t)
	dir := copied(t, "tokens", map[string]any{"task_type": nil, "auto_mapping": map[string]string{"base_model_class": "BertForTokenClassification"}})
	got := runtest.Logits(t, dir, predict.Options{Model: tinyBERT, Task: "mrpc"}, examples)
	same(t, "by class", got, slices.Concat(expected.Logits["tokens"]...))
}

// A revision belongs to a name; a folder has none.
func TestPEFTsRevision(t *testing.T) {
	_, examples := readPEFTExpected(t)
	base, err := filepath.Abs(tinyBERT)
	if err != nil {
		t.Fatal(err)
	}
	dir := copied(t, "scattered", map[string]any{"base_model_name_or_path": base, "revision": "main"})
	runtest.Logits(t, dir, predict.Options{Task: "mrpc"}, examples)
	named := copied(t, "scattered", map[string]any{"base_model_name_or_path": "org/name", "revision": "v2"})
	if _, err := predict.Open(named, predict.Options{Task: "mrpc"}); err == nil || !strings.Contains(err.Error(), `"org/name@v2"`) {
		t.Errorf("error %v", err)
	}
	exported := filepath.Join(t.TempDir(), "exported")
	if _, err := convert.Export(t.Context(), convert.ExportOptions{Dir: dir, Out: exported, Task: "mrpc"}); err != nil {
		t.Fatal(err)
	}
	saved, err := adapter.Read(exported)
	if err != nil {
		t.Fatal(err)
	}
	defer saved.Close()
	if c := saved.Config; c.BaseModel != base || !slices.Equal(c.Tasks, []string{"MRPC"}) || !slices.Equal(c.Labels["MRPC"], []string{"0", "1"}) {
		t.Errorf("exported %+v", c)
	}
	text, err := json.Marshal(adapter.Config{FormatVersion: 1, BaseModel: "org/name@v2", PEFT: map[string]any{}})
	if err != nil || !strings.Contains(string(text), `"base_model_name_or_path":"org/name"`) || !strings.Contains(string(text), `"revision":"v2"`) {
		t.Errorf("%s, %v", text, err)
	}
	if _, err := inspect.Adapter(inspect.Options{Dir: dir, Task: "mrpc"}); err == nil || !strings.Contains(err.Error(), "names no task") {
		t.Errorf("inspected for a task: %v", err)
	}
}

// Updates of biases come on top of the checkpoint's own, whatever the run rounds
// them to.
func TestFoldedBiasesAreNotRounded(t *testing.T) {
	var values [2][]float32
	for i, dtype := range []string{"fp32", "bf16"} {
		summary, err := run.Train(t.Context(), tiny(t, "model.path="+tinyBERT, "model.dtype="+dtype, "adapter.init_from=testdata/peft/lora-bias", "train.max_steps=1"))
		if err != nil {
			t.Fatal(err)
		}
		saved, err := adapter.Read(filepath.Join(summary.RunDir, "adapter", "last"))
		if err != nil {
			t.Fatal(err)
		}
		defer saved.Close()
		bias, err := saved.Tensor("base_model.model.bert.encoder.layer.1.attention.self.value.bias", torch.CPU, 12)
		if err != nil {
			t.Fatal(err)
		}
		defer bias.Free()
		if err := torch.Do(func() error { values[i] = torch.ToSlice[float32](bias); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(values[0], values[1]) {
		t.Errorf("fp32 %v, bf16 %v", values[0], values[1])
	}
}
