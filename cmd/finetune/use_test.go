package main

import (
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/convert"
	"github.com/metatt/metatt/pkg/fileformat"
	"github.com/metatt/metatt/pkg/predict"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/task/own"
	"github.com/metatt/metatt/pkg/train"
)

func TestEval(t *testing.T) {
	e := &predict.Evaluation{
		Adapter: "runs/mnli/adapter/best", Task: "MNLI", Model: "/models/minilm", Device: "cpu", DType: "fp32",
		Splits: []predict.Judgement{
			{Split: "dev", Examples: 9815, Metrics: task.Metrics{{Name: "accuracy", Value: 0.75}}},
			{Split: "dev_mismatched", Examples: 9832, Metrics: task.Metrics{{Name: "accuracy", Undefined: true}}},
		},
	}
	var got predict.EvalOptions
	b := backend{evaluate: func(_ context.Context, o predict.EvalOptions) (*predict.Evaluation, error) {
		got = o
		o.Note("MNLI: 9815 examples of dev")
		return e, nil
	}}
	r := command(t, t.Context(), b, 0, map[string]string{"GLUE_DIR": "/glue"}, "eval", "runs/mnli",
		"--split", "test", "--data", "a.csv", "--glue", "g", "--model", "m", "--device", "cuda", "--dtype", "bf16")
	want := `
MNLI · fp32 on cpu
────────────────────────────────────────────────────────────────
dev                 9,815 examples
accuracy            0.7500
────────────────────────────────────────────────────────────────
dev_mismatched      9,832 examples
accuracy            undefined
────────────────────────────────────────────────────────────────
adapter             runs/mnli/adapter/best
model               /models/minilm
`
	if r.code != 0 || r.stdout != want || r.stderr != "MNLI: 9815 examples of dev\n" {
		t.Errorf("got %+v", r)
	}
	got.Note = nil
	if got.Dir != "runs/mnli" || got.Split != "test" || got.Data != "a.csv" || got.GLUE != "g" || got.GLUEDir != "/glue" ||
		!reflect.DeepEqual(got.Predictor, predict.Options{Model: "m", Device: "cuda", DType: "bf16"}) {
		t.Errorf("asked for %+v", got)
	}

	e.Submission = []string{"MNLI-m.tsv", "MNLI-mm.tsv"}
	r = command(t, t.Context(), b, 0, nil, "eval", "runs/mnli", "--submission", "glue.zip")
	if got.Submission != "glue.zip" || !strings.HasSuffix(r.stdout, "submission          glue.zip: MNLI-m.tsv, MNLI-mm.tsv\n") {
		t.Errorf("got %+v", r)
	}
	e.Splits = e.Splits[1:]
	r = command(t, t.Context(), b, 0, nil, "eval", "runs/mnli", "--json")
	want = `{
  "adapter": "runs/mnli/adapter/best",
  "task": "MNLI",
  "model": "/models/minilm",
  "device": "cpu",
  "dtype": "fp32",
  "splits": [
    {
      "split": "dev_mismatched",
      "examples": 9832,
      "metrics": {
        "accuracy": null
      }
    }
  ],
  "submission": [
    "MNLI-m.tsv",
    "MNLI-mm.tsv"
  ]
}
`
	if r.stdout != want {
		t.Errorf("got %s", r.stdout)
	}
}

// parrot predicts a text's length: even ones are "a <b>", its score is the length.
type parrot struct{ task task.Task }

func (p parrot) Task() task.Task { return p.task }
func (parrot) Close()            {}

func (p parrot) Predict(_ context.Context, examples []task.Example) ([]predict.Prediction, error) {
	var all []predict.Prediction
	for _, e := range examples {
		n := len(e.Text) + len(e.Pair)
		if p.task.Regression {
			all = append(all, predict.Prediction{Score: float64(n) + 1./3})
			continue
		}
		all = append(all, predict.Prediction{Label: p.task.Labels[n%2], Probabilities: []float64{1 - 0.25*float64(1+n%2*2), 0.25 * float64(1+n%2*2)}})
	}
	return all, nil
}

// Examples yields the lines of the input; an empty one is a fault.
func (p parrot) Examples(in predict.Input) (iter.Seq2[task.Example, error], error) {
	return func(yield func(task.Example, error) bool) {
		text, _ := io.ReadAll(in.Reader)
		line := 0
		for row := range strings.Lines(string(text)) {
			line++
			if row = strings.TrimSuffix(row, "\n"); row == "" {
				yield(task.Example{}, &fileformat.Error{Path: in.Name, Line: line, Problem: "1 columns, want 2"})
				return
			}
			if !yield(task.Example{Text: row}, nil) {
				return
			}
		}
	}, nil
}

func (p parrot) Stream(ctx context.Context, examples iter.Seq2[task.Example, error], take func(predict.Prediction) error) error {
	for e, err := range examples {
		if err != nil {
			return err
		}
		if e.Text == "interrupt" {
			return train.ErrInterrupted
		}
		predictions, _ := p.Predict(ctx, []task.Example{e})
		if err := take(predictions[0]); err != nil {
			return err
		}
	}
	return nil
}

func parrots(task task.Task) backend {
	return backend{predictor: func(string, predict.Options) (predictor, error) { return parrot{task}, nil }}
}

var (
	classes    = task.Task{Name: "custom", Labels: []string{"a <b>", "ü"}}
	regression = task.Task{Name: "STS-B", HasPair: true, Regression: true}
)

func TestPredictOne(t *testing.T) {
	for _, c := range []struct {
		task           task.Task
		texts          []string
		code           int
		stdout, stderr string
	}{
		{classes, []string{"odd"}, 0, "ü                   0.7500\na <b>               0.2500\n", ""},
		{classes, []string{"even"}, 0, "a <b>               0.7500\nü                   0.2500\n", ""},
		{regression, []string{"one", "two"}, 0, "6.3333\n", ""},
		{classes, []string{"one", "two"}, 2, "", "finetune: task custom takes one text, two are given (see finetune predict --help)\n"},
		{regression, []string{"one"}, 2, "", "finetune: task STS-B compares two texts, one is given (see finetune predict --help)\n"},
	} {
		r := command(t, t.Context(), parrots(c.task), 0, nil, append([]string{"predict", "runs/x"}, c.texts...)...)
		if r.code != c.code || r.stdout != c.stdout || r.stderr != c.stderr {
			t.Errorf("%v: got %+v", c.texts, r)
		}
	}
}

func TestPredictAll(t *testing.T) {
	for _, c := range []struct {
		task           task.Task
		args, stdin    string
		code           int
		stdout, stderr string
	}{
		{classes, "", "odd\neven\n", 0, "index\tprediction\tp(a <b>)\tp(ü)\n0\tü\t0.25\t0.75\n1\ta <b>\t0.75\t0.25\n", ""},
		{classes, "--to jsonl", "odd\n", 0, `{"index":0,"prediction":"ü","probabilities":{"a \u003cb\u003e":0.25,"ü":0.75}}` + "\n", ""},
		{regression, "--to tsv -i -", "odd\n", 0, "index\tprediction\n0\t3.3333333\n", ""},
		{regression, "--to jsonl -o -", "odd\n", 0, "{\"index\":0,\"prediction\":3.3333333}\n", ""},
		{classes, "", "", 0, "index\tprediction\tp(a <b>)\tp(ü)\n", ""},
		{classes, "--to jsonl", "", 0, "", ""},
		{classes, "", "odd\n\n", 1, "index\tprediction\tp(a <b>)\tp(ü)\n0\tü\t0.25\t0.75\n", "finetune: standard input:2: 1 columns, want 2\n"},
		{classes, "", "\n", 1, "", "finetune: standard input:1: 1 columns, want 2; --text names columns, and --no-header does without\n"},
		{classes, "", "odd\ninterrupt\n", 130, "index\tprediction\tp(a <b>)\tp(ü)\n0\tü\t0.25\t0.75\n", ""},
		{classes, "-i nowhere.tsv", "", 1, "", "finetune: open nowhere.tsv: no such file or directory\n"},
	} {
		r := commandReading(t, t.Context(), parrots(c.task), 0, nil, c.stdin, append([]string{"predict", "runs/x"}, strings.Fields(c.args)...)...)
		if r.code != c.code || r.stdout != c.stdout || r.stderr != c.stderr {
			t.Errorf("%q of %q: got %+v", c.args, c.stdin, r)
		}
	}
}

// The extensions tell the formats, and a file is complete or not there.
func TestPredictFiles(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.csv"), filepath.Join(dir, "out.jsonl")
	if err := os.WriteFile(in, []byte("odd\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := command(t, t.Context(), parrots(regression), 0, nil, "predict", "runs/x", "--input", in, "--output", out)
	if got, err := os.ReadFile(out); r.code != 0 || r.stdout != "" || err != nil || string(got) != "{\"index\":0,\"prediction\":3.3333333}\n" {
		t.Errorf("%+v, wrote %q (%v)", r, got, err)
	}
	for _, content := range []string{"even\n\n", "even\ninterrupt\n"} {
		before, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(in, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		r = command(t, t.Context(), parrots(regression), 0, nil, "predict", "runs/x", "-i", in, "-o", out)
		if after, err := os.ReadFile(out); r.code == 0 || err != nil || string(after) != string(before) {
			t.Errorf("%q: %+v, left %q (%v)", content, r, after, err)
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 2 {
			t.Errorf("left behind: %v", entries)
		}
	}
	r = command(t, t.Context(), parrots(regression), 0, nil, "predict", "runs/x", "-i", in, "-o", filepath.Join(dir, "no", "out.tsv"))
	if r.code != 1 || !strings.Contains(r.stderr, "no such file or directory") {
		t.Errorf("%+v", r)
	}
}

// What the command line says reaches the input.
func TestPredictHandsOverTheInput(t *testing.T) {
	var got predict.Input
	var options predict.Options
	b := backend{predictor: func(dir string, o predict.Options) (predictor, error) {
		options = o
		return recorder{parrot{regression}, &got}, nil
	}}
	in := filepath.Join(t.TempDir(), "x.txt")
	if err := os.WriteFile(in, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := command(t, t.Context(), b, 0, nil, "predict", "x", "-i", in, "--from", "csv", "--text", "a", "--text-pair", "b", "--dtype", "bf16")
	if r.code != 1 || got.Name != in || got.Format != own.CSV || strings.Join(got.Columns, " ") != "a b" || got.NoHeader ||
		options.Device != "auto" || options.DType != "bf16" {
		t.Errorf("%+v: %+v, %+v", r, got, options)
	}
	r = command(t, t.Context(), b, 0, nil, "predict", "x", "-i", in, "--no-header")
	if r.code != 1 || got.Format != own.TSV || got.Columns != nil || !got.NoHeader {
		t.Errorf("%+v: %+v", r, got)
	}
}

// recorder keeps the input and refuses it.
type recorder struct {
	parrot
	got *predict.Input
}

func (r recorder) Examples(in predict.Input) (iter.Seq2[task.Example, error], error) {
	*r.got = in
	return nil, errors.New("recorded")
}

func TestExport(t *testing.T) {
	var got convert.ExportOptions
	e := convert.Exported{Method: "metatt4d", Task: "MRPC", Targets: []string{"query", "ffn_up"}, Layers: 6, Lowest: 3, Highest: 5, Parameters: 12345}
	b := backend{export: func(_ context.Context, o convert.ExportOptions) (*convert.Exported, error) {
		got = o
		return &e, nil
	}}
	r := command(t, t.Context(), b, 0, nil, "export", "runs/mrpc", "out", "--task", "MRPC", "--model", "m")
	want := "out holds metatt4d as a LoRA of rank 3 to 5 on query, ffn_up of 6 layers (12,345 parameters) with its head\n"
	got.Note = nil
	if r.code != 0 || r.stdout != want || !reflect.DeepEqual(got, convert.ExportOptions{Dir: "runs/mrpc", Out: "out", Task: "MRPC", Model: "m"}) {
		t.Errorf("got %+v for %+v", r, got)
	}
	e.Highest = 3
	if r = command(t, t.Context(), b, 0, nil, "export", "runs/mrpc", "out"); !strings.Contains(r.stdout, "of rank 3 on") {
		t.Errorf("got %+v", r)
	}
	refuse := backend{export: func(context.Context, convert.ExportOptions) (*convert.Exported, error) {
		return nil, errors.New("a: dora is no LoRA")
	}}
	if r = command(t, t.Context(), refuse, 0, nil, "export", "a", "out"); r.code != 1 || r.stderr != "finetune: a: dora is no LoRA\n" {
		t.Errorf("got %+v", r)
	}
	if r = command(t, t.Context(), refuse, 0, nil, "export", "a"); r.code != 2 || !strings.Contains(r.stderr, "new folder") {
		t.Errorf("got %+v", r)
	}
}
