package run_test

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/predict"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/run/runtest"
	"github.com/metatt/metatt/pkg/safetensors"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/task/own"
)

// reviews is own data in all three formats: 9 examples to train on, 4 to judge.
func reviews(t *testing.T) string {
	return runtest.Files(t, map[string]string{
		"train.csv": "id,verdict,title,body\n" + strings.Repeat("1,good,the king,\"sees a cat , \"\"red\"\"\"\n2,bad,a river,the stone\n3,unsure,a bell,often\n", 3),
		"dev.jsonl": `{"title":"the king","body":"sees","verdict":"good"}` + "\n" + `{"title":"a river","body":"","verdict":"bad"}` + "\n" +
			`{"title":"a bell","body":"never","verdict":"unsure"}` + "\n" + `{"title":"a red bell","body":"often","verdict":"unsure"}` + "\n",
		"test.tsv":   "body\ttitle\tverdict\nsees\tthe king\tgood\nthe stone\ta river\tbad\n",
		"scores.tsv": "title\tscore\nthe king\t-3\na cat\t7.5\na river\t1e2\n",
	})
}

func ownRun(dir string, overrides ...string) []string {
	return append([]string{
		"task=custom", "data.glue=", "data.train=" + filepath.Join(dir, "train.csv"), "data.dev=" + filepath.Join(dir, "dev.jsonl"),
		"data.text=title", "data.text_pair=body", "data.label=verdict", "train.epochs=2", "train.batch_size=4",
	}, overrides...)
}

func savedConfig(t *testing.T, dir string) adapter.Config {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, adapter.ConfigFile))
	if err != nil {
		t.Fatal(err)
	}
	var c adapter.Config
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// Own data is learned from, and its labels are known afterwards without the
// training file.
func TestOwnData(t *testing.T) {
	dir := reviews(t)
	o := tiny(t, ownRun(dir, "data.test="+filepath.Join(dir, "test.tsv"))...)
	summary, err := run.Train(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	best := filepath.Join(summary.RunDir, "adapter", "best")
	saved := savedConfig(t, best)
	if !slices.Equal(saved.Labels["custom"], []string{"bad", "good", "unsure"}) || saved.MaxLength != 24 ||
		saved.Columns["custom"] != (adapter.Columns{Text: "title", Pair: "body", Label: "verdict"}) {
		t.Errorf("saved %+v", saved)
	}
	if err := os.Remove(filepath.Join(dir, "train.csv")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		options  predict.EvalOptions
		split    string
		examples int
	}{
		{predict.EvalOptions{Dir: summary.RunDir}, "dev", 4},
		{predict.EvalOptions{Dir: summary.RunDir, Split: "test"}, "test", 2},
		{predict.EvalOptions{Dir: best, Data: filepath.Join(dir, "test.tsv")}, filepath.Join(dir, "test.tsv"), 2},
	} {
		e, err := predict.Evaluate(t.Context(), c.options)
		if err != nil {
			t.Fatal(err)
		}
		if len(e.Splits) != 1 || e.Splits[0].Split != c.split || e.Splits[0].Examples != c.examples || e.Adapter != best {
			t.Errorf("%+v", e)
		}
		for i, name := range []string{task.Accuracy, task.MacroF1} {
			if e.Splits[0].Metrics[i].Name != name {
				t.Errorf("metrics %+v", e.Splits[0].Metrics)
			}
		}
	}
}

func TestOwnRegression(t *testing.T) {
	scores := filepath.Join(reviews(t), "scores.tsv")
	o := tiny(t, ownRun("", "data.train="+scores, "data.dev="+scores, "data.text_pair=", "data.label=score", "data.kind=regression")...)
	summary, err := run.Train(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := summary.Last.Get(task.Spearman); !ok {
		t.Errorf("metrics %+v", summary.Last)
	}
	e, err := predict.Evaluate(t.Context(), predict.EvalOptions{Dir: filepath.Join(summary.RunDir, "adapter", "last"), Data: scores})
	if err != nil || !slices.Equal(e.Splits[0].Metrics, summary.Last) {
		t.Errorf("%+v (%v), training evaluated %+v", e, err, summary.Last)
	}
}

// A run that goes on keeps its classes, whatever became of the training file.
func TestOwnDataResumesWithItsLabels(t *testing.T) {
	dir := reviews(t)
	o := tiny(t, ownRun(dir)...)
	if _, err := run.Train(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	replace(t, filepath.Join(dir, "train.csv"), "1,good,", "1,awful,")
	_, err := run.Resume(t.Context(), o.Config.Run.Dir, o)
	want := "data.train: " + filepath.Join(dir, "train.csv") + `:2: label "awful" is none of "bad", "good", "unsure"`
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestWrongOwnData(t *testing.T) {
	for _, c := range []struct {
		name, file, old, with string
		set                   []string
		want                  string // after the folder
		usage                 bool
	}{
		{"no column", "", "", "", []string{"data.label=stars"}, `train.csv:1: no column "stars" in the header, which has "id", "verdict", "title", "body"`, false},
		{"no key", "dev.jsonl", `"body":"sees"`, `"text":"sees"`, nil, `dev.jsonl:1: no key "body" in the object, which has "text", "title", "verdict"`, false},
		{"unknown label in dev", "dev.jsonl", `"bad"`, `"badd"`, nil, `dev.jsonl:2: label "badd" is none of "bad", "good", "unsure"`, false},
		{"ragged row", "train.csv", "2,bad,a river,the stone", "2,bad,a river", nil, "train.csv:3: 3 columns, want 4", false},
		{"bad JSON", "dev.jsonl", `"verdict":"good"}`, `"verdict":"good"`, nil, "dev.jsonl:1: not a JSON object on one line", false},
		{"not a number", "", "", "", []string{"data.kind=regression"}, `train.csv:2: score "good" is not a finite number`, false},
		{"missing test", "", "", "", []string{"data.test=nowhere.tsv"}, "data.test: open nowhere.tsv: no such file or directory", false},
		{"unknown extension", "", "", "", []string{"data.test=x.xlsx"}, "data.test: x.xlsx: the extension tells the format", true},
		{"one column twice", "", "", "", []string{"data.text_pair=title"}, `data: column "title" is named twice`, true},
		{"metric of another kind", "", "", "", []string{"train.best_metric=spearman"}, "train.best_metric", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := reviews(t)
			if c.file != "" {
				replace(t, filepath.Join(dir, c.file), c.old, c.with)
			}
			o := tiny(t, ownRun(dir, c.set...)...)
			_, err := run.Train(t.Context(), o)
			var wrong *config.Error
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || errors.As(err, &wrong) != c.usage {
				t.Errorf("%v, want %s", err, c.want)
			}
			if _, err := os.Stat(o.Config.Run.Dir); err == nil {
				t.Error("a run directory was left behind")
			}
		})
	}
}

// An adapter folder is hostile, too.
func TestWrongAdapterOfOwnData(t *testing.T) {
	summary, err := run.Train(t.Context(), tiny(t, ownRun(reviews(t))...))
	if err != nil {
		t.Fatal(err)
	}
	best := filepath.Join(summary.RunDir, "adapter", "best")
	config := filepath.Join(best, adapter.ConfigFile)
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, with, want string }{
		{`"unsure"`, `"good"`, `label "good" is there twice`},
		{`"unsure"`, `"\u001b[2J"`, "control character"},
		{`"text": "title"`, `"text": ""`, "columns of task custom: a column without a name"},
		{"      \"good\",\n", "", "classifier.weight has shape"},
	} {
		if err := os.WriteFile(config, text, 0o600); err != nil {
			t.Fatal(err)
		}
		replace(t, config, c.old, c.with)
		_, err := predict.Open(best, predict.Options{})
		if err == nil || !strings.HasPrefix(err.Error(), best) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}

// turnedModel is the tiny model with its two classes in the other order, and
// named so.
func turnedModel(t *testing.T) string {
	dir := copyModel(t)
	replace(t, filepath.Join(dir, "config.json"), `"eos_token_id"`, `"id2label": {"0": "1", "1": "0"}, "eos_token_id"`)
	weights := filepath.Join(dir, "model.safetensors")
	file, err := safetensors.Open(weights)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	content, err := os.ReadFile(weights)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"classifier.weight", "classifier.bias"} {
		info, _ := file.Info(name)
		rows := content[info.Offset : info.Offset+info.Size]
		slices.Reverse(rows[:len(rows)/2])
		slices.Reverse(rows[len(rows)/2:])
		slices.Reverse(rows)
	}
	if err := os.WriteFile(weights, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A checkpoint that names its classes gives their order; nothing else changes.
func TestCheckpointDecidesTheClassOrder(t *testing.T) {
	straight, err := run.Train(t.Context(), tiny(t))
	if err != nil {
		t.Fatal(err)
	}
	turned, err := run.Train(t.Context(), tiny(t, "model.path="+turnedModel(t)))
	if err != nil {
		t.Fatal(err)
	}
	want, got := losses(t, straight.RunDir), losses(t, turned.RunDir)
	for i := range want {
		if len(got) != len(want) || math.Abs(got[i]-want[i]) > 1e-5*want[i] {
			t.Fatalf("losses %v, want %v", got, want)
		}
	}
	if !slices.Equal(turned.Last, straight.Last) {
		t.Errorf("metrics %v, want %v", turned.Last, straight.Last)
	}
	best := filepath.Join(turned.RunDir, "adapter", "best")
	if labels := savedConfig(t, best).Labels["MRPC"]; !slices.Equal(labels, []string{"1", "0"}) {
		t.Errorf("saved labels %v", labels)
	}
	// What was saved keeps its order on a model that does not name its classes.
	e, err := predict.Evaluate(t.Context(), predict.EvalOptions{Dir: best, GLUE: "testdata/glue", Predictor: predict.Options{Model: "testdata/tiny-bert"}})
	if err != nil {
		t.Fatal(err)
	}
	if accuracy, _ := e.Splits[0].Metrics.Get(task.Accuracy); accuracy.Value != *turned.Best.Value {
		t.Errorf("accuracy %v, the best was %v", accuracy.Value, *turned.Best.Value)
	}
	again, err := run.Train(t.Context(), tiny(t, "adapter.init_from="+best, "train.max_steps=1"))
	if err != nil {
		t.Fatal(err)
	}
	if labels := savedConfig(t, filepath.Join(again.RunDir, "adapter", "last")).Labels["MRPC"]; !slices.Equal(labels, []string{"1", "0"}) {
		t.Errorf("labels %v after init_from", labels)
	}
}

// The labels of an adapter to start from are checked against the task's.
func TestStartFromAnAdapterWithOtherLabels(t *testing.T) {
	start := filepath.Join(t.TempDir(), "start")
	if err := os.CopyFS(start, os.DirFS("testdata/start-query-value")); err != nil {
		t.Fatal(err)
	}
	replace(t, filepath.Join(start, adapter.ConfigFile), `"1"`, `"yes"`)
	_, err := run.Train(t.Context(), tiny(t, "adapter.init_from="+start))
	if want := start + `: MRPC has the labels "0 1", not "0 yes"`; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// Data sets as the hub has them are learned from, judged and predicted by the names of their classes.
func TestParquet(t *testing.T) {
	file := func(name string) string {
		path, err := filepath.Abs(filepath.Join("../parquet/testdata", name+".parquet"))
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	o := tiny(t, "task=custom", "data.glue=", "data.train="+file("pages"), "data.dev="+file("hub"), "data.text=sentence", "data.text_pair=other", "data.label=label", "train.epochs=1")
	summary, err := run.Train(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	p, err := predict.Open(summary.RunDir, predict.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if labels := p.Task().Labels; !slices.Equal(labels, []string{"equivalent", "not_equivalent"}) {
		t.Errorf("labels %q", labels)
	}
	input, err := os.Open(file("hub"))
	if err != nil {
		t.Fatal(err)
	}
	defer input.Close()
	examples, err := p.Examples(predict.Input{Reader: input, Name: input.Name(), Format: own.Parquet})
	if err != nil {
		t.Fatal(err)
	}
	read, err := own.Read(file("hub"), p.Task())
	if err != nil {
		t.Fatal(err)
	}
	right, n := 0, 0
	err = p.Stream(t.Context(), examples, func(prediction predict.Prediction) error {
		if prediction.Label == p.Task().Labels[read[n].Label] {
			right++
		}
		n++
		return nil
	})
	accuracy, _ := summary.Last.Get(task.Accuracy)
	if err != nil || n != 61 || math.Abs(float64(right)/61-accuracy.Value) > 1e-9 {
		t.Errorf("%d of %d right (%v), training found %v", right, n, err, accuracy.Value)
	}
}

// Parts of a file make the run that the whole makes, and all of them are recorded.
func TestOwnDataInParts(t *testing.T) {
	dir := reviews(t)
	whole := tiny(t, ownRun(dir)...)
	if _, err := run.Train(t.Context(), whole); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "train.csv"))
	if err != nil {
		t.Fatal(err)
	}
	head, rows, _ := strings.Cut(string(text), "\n")
	lines := strings.SplitAfter(rows, "\n")
	for i, part := range [][]string{lines[:4], lines[4:]} {
		name := filepath.Join(dir, "part-"+string(rune('0'+i))+".csv")
		if err := os.WriteFile(name, []byte(head+"\n"+strings.Join(part, "")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	relative, err := filepath.Rel(here, filepath.Join(dir, "part-*.csv"))
	if err != nil {
		t.Fatal(err)
	}
	parts := tiny(t, ownRun(dir, "data.train="+relative)...)
	if _, err := run.Train(t.Context(), parts); err != nil {
		t.Fatal(err)
	}
	sameTraining(t, "in parts", trainedFiles(t, parts.Config.Run.Dir), trainedFiles(t, whole.Config.Run.Dir))
	c, err := config.Load([]string{filepath.Join(parts.Config.Run.Dir, "config.yaml")}, nil, nil)
	if err != nil || c.Data.Train != filepath.Join(dir, "part-*.csv") {
		t.Errorf("%s recorded, %v", c.Data.Train, err)
	}
	e, err := run.ReadEnvironment(t.Context(), parts)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range e.Inputs.Data {
		names = append(names, f.Name)
	}
	if !slices.Equal(names, []string{"data.train/part-0.csv", "data.train/part-1.csv", "data.dev"}) && !slices.Equal(names, []string{"data.dev", "data.train/part-0.csv", "data.train/part-1.csv"}) {
		t.Errorf("%q", names)
	}
}
