package predict_test

import (
	"archive/zip"
	"context"
	"errors"
	"io"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/predict"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/run/runtest"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/task/own"
	"github.com/metatt/metatt/pkg/train"
)

// evaluate is what a run's best adapter is judged at, which training found.
func TestEvaluateIsWhatWasTrained(t *testing.T) {
	for _, dtype := range []string{"fp32", "bf16"} {
		summary, err := run.Train(t.Context(), runtest.Tiny(t, "model.dtype="+dtype))
		if err != nil {
			t.Fatal(err)
		}
		e, err := predict.Evaluate(t.Context(), predict.EvalOptions{Dir: summary.RunDir})
		if err != nil {
			t.Fatal(err)
		}
		p, err := predict.Open(summary.RunDir, predict.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := p.DType(); got != dtype {
			t.Errorf("predicts in %s what was trained in %s", got, dtype)
		}
		p.Close()
		accuracy, _ := e.Splits[0].Metrics.Get(task.Accuracy)
		if e.Task != "MRPC" || e.DType != dtype || e.Splits[0].Examples != 15 || accuracy.Value != *summary.Best.Value {
			t.Errorf("%s: %+v, the best was %v", dtype, e, *summary.Best.Value)
		}
	}
}

func TestEvaluateMNLI(t *testing.T) {
	dir := runtest.MNLI(t)
	o := runtest.Tiny(t, "task=mnli", "data.glue="+dir, "train.max_steps=2")
	if _, err := run.Train(t.Context(), o); err == nil || !strings.Contains(err.Error(), "set data.train_subset=true to train on it") {
		t.Errorf("without train.tsv: %v", err)
	}
	o.Config.Data.TrainSubset = true
	summary, err := run.Train(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(summary.RunDir, "config.yaml")); err != nil || !strings.Contains(string(text), "train_subset: true") {
		t.Errorf("the run does not record the choice (%v):\n%s", err, text)
	}

	path := filepath.Join(t.TempDir(), "glue.zip")
	options := predict.EvalOptions{Dir: summary.RunDir, Submission: path}
	e, err := predict.Evaluate(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Splits) != 2 || e.Splits[0].Split != "dev" || e.Splits[1].Split != "dev_mismatched" || e.Splits[0].Examples != 2 || e.Splits[1].Examples != 1 {
		t.Errorf("%+v", e.Splits)
	}
	if want := []string{"AX.tsv", "MNLI-m.tsv", "MNLI-mm.tsv"}; !slices.Equal(e.Submission, want) {
		t.Errorf("submitted %v, want %v", e.Submission, want)
	}
	lines := map[string]int{}
	archive, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	for _, file := range archive.File {
		member, err := file.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(member)
		if err != nil {
			t.Fatal(err)
		}
		rows := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		lines[file.Name] = len(rows)
		for _, row := range rows[1:] {
			_, label, _ := strings.Cut(row, "\t")
			if rows[0] != "index\tprediction" || !slices.Contains([]string{"entailment", "neutral", "contradiction"}, label) {
				t.Errorf("%s: %q", file.Name, text)
			}
		}
	}
	if want := map[string]int{"AX.tsv": 3, "MNLI-m.tsv": 4, "MNLI-mm.tsv": 2}; !maps.Equal(lines, want) {
		t.Errorf("lines %v, want %v", lines, want)
	}

	// Without the diagnostic set there is no AX, and a note says so.
	if err := os.RemoveAll(filepath.Join(dir, "diagnostic")); err != nil {
		t.Fatal(err)
	}
	var notes []string
	options.Note = func(text string) { notes = append(notes, text) }
	if e, err = predict.Evaluate(t.Context(), options); err != nil || len(e.Submission) != 2 || !strings.Contains(strings.Join(notes, "\n"), "no AX.tsv") {
		t.Errorf("%+v (%v), notes %q", e, err, notes)
	}
}

// A run that drew a part of its dev set is judged by that; MNLI's mismatched dev set, which
// no run draws from, is judged whole.
func TestEvaluateDrawsWhatTheRunDrew(t *testing.T) {
	dir := runtest.MNLI(t)
	path := filepath.Join(dir, "MNLI", "dev_mismatched.tsv")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	header, rows, _ := strings.Cut(string(text), "\n")
	if err := os.WriteFile(path, []byte(header+"\n"+rows+rows+rows), 0o600); err != nil {
		t.Fatal(err)
	}
	summary, err := run.Train(t.Context(), runtest.Tiny(t, "task=mnli", "data.glue="+dir, "data.train_subset=true", "data.limit=1", "train.max_steps=1"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := predict.Evaluate(t.Context(), predict.EvalOptions{Dir: summary.RunDir})
	if err != nil || len(e.Splits) != 2 || e.Splits[0].Examples != 1 || e.Splits[1].Examples != 3 {
		t.Errorf("%+v (%v)", e, err)
	}
}

func TestEvaluateRejects(t *testing.T) {
	mrpc, err := run.Train(t.Context(), runtest.Tiny(t, "train.max_steps=1"))
	if err != nil {
		t.Fatal(err)
	}
	best := filepath.Join(mrpc.RunDir, "adapter", "best")
	stopped := runtest.Files(t, map[string]string{"config.yaml": "task: mrpc\n"})
	empty := t.TempDir()
	complete := runtest.Files(t, map[string]string{
		"MRPC/dev.tsv":  "Quality\t#1 String\t#2 String\n1\ta\tb\n",
		"MRPC/test.tsv": "index\t#1 String\t#2 String\n0\ta\tb\n",
	})
	for _, c := range []struct {
		name    string
		options predict.EvalOptions
		want    string
	}{
		{"hidden labels", predict.EvalOptions{Dir: mrpc.RunDir, Split: "test"}, "the labels of GLUE's test sets are hidden: --submission"},
		{"other split", predict.EvalOptions{Dir: mrpc.RunDir, Split: "train"}, `no split "train" to evaluate; there are dev and test`},
		{"own data for GLUE", predict.EvalOptions{Dir: mrpc.RunDir, Data: "x.tsv"}, "MRPC is evaluated on GLUE's own files, not on x.tsv"},
		{"no test file", predict.EvalOptions{Dir: mrpc.RunDir, Submission: filepath.Join(empty, "x.zip")}, "MRPC/test.tsv: file does not exist"},
		{"no folder for the zip file", predict.EvalOptions{Dir: mrpc.RunDir, GLUE: complete, Submission: filepath.Join(empty, "no", "x.zip")}, "submission: stat "},
		{"no GLUE", predict.EvalOptions{Dir: best}, "no GLUE folder: data.glue and GLUE_DIR are not set"},
		{"no adapter", predict.EvalOptions{Dir: empty}, "no adapter here: adapter_config.json is missing"},
		{"no adapter yet", predict.EvalOptions{Dir: stopped}, "the run has no adapter yet"},
		{"no model", predict.EvalOptions{Dir: best, Predictor: predict.Options{Model: "testdata/nothing"}}, "testdata/nothing"},
		{"no such format", predict.EvalOptions{Dir: best, Predictor: predict.Options{DType: "int8"}}, `model.dtype: "int8" is unknown; legal: fp32, bf16, and tf32 on CUDA devices`},
		{"no such device", predict.EvalOptions{Dir: best, Predictor: predict.Options{Device: "cuda:93"}}, "device"},
	} {
		if _, err := predict.Evaluate(t.Context(), c.options); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
	if left, _ := os.ReadDir(empty); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func openTiny(t *testing.T) *predict.Predictor {
	t.Helper()
	p, err := predict.Open("testdata/start-query-value", predict.Options{Model: "testdata/tiny-bert"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// Every way in gives the same predictions, in the input's order, over several
// portions.
func TestStream(t *testing.T) {
	p := openTiny(t)
	const n = 2500
	words := []string{"the king", "a cat sees", "a red bell often", "never", ""}
	var bare, header, lines strings.Builder
	header.WriteString("id\tsecond\tfirst\n")
	var examples []task.Example
	for i := range n {
		e := task.Example{Text: words[i%5], Pair: words[i*7%11%5]}
		examples = append(examples, e)
		bare.WriteString(e.Text + "\t" + e.Pair + "\n")
		header.WriteString("x\t" + e.Pair + "\t" + e.Text + "\n")
		lines.WriteString(`{"#1 String":"` + e.Text + `","#2 String":"` + e.Pair + `"}` + "\n")
	}
	want, err := p.Predict(t.Context(), examples)
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range []predict.Input{
		{Reader: strings.NewReader(bare.String()), Format: own.TSV, NoHeader: true},
		{Reader: strings.NewReader(header.String()), Format: own.TSV, Columns: []string{"first", "second"}},
		{Reader: strings.NewReader(lines.String()), Format: own.JSONL},
	} {
		examples, err := p.Examples(in)
		if err != nil {
			t.Fatal(err)
		}
		i := 0
		err = p.Stream(t.Context(), examples, func(got predict.Prediction) error {
			near := func(a, b float64) bool { return a-b < 1e-5 && b-a < 1e-5 }
			if got.Label != want[i].Label || !slices.EqualFunc(got.Probabilities, want[i].Probabilities, near) {
				t.Fatalf("%s: row %d: %+v, want %+v", in.Format, i, got, want[i])
			}
			if sum := got.Probabilities[0] + got.Probabilities[1]; !near(sum, 1) {
				t.Fatalf("row %d: probabilities add to %v", i, sum)
			}
			i++
			return nil
		})
		if err != nil || i != n {
			t.Errorf("%s: %d predictions (%v), want %d", in.Format, i, err, n)
		}
	}
	if _, err := p.Examples(predict.Input{Columns: []string{"one"}}); err == nil || err.Error() != "MRPC has 2 texts an example, 1 columns are named" {
		t.Errorf("%v", err)
	}
}

// What of a text the adapter does not look at is said, once for a stream.
func TestCutTextsAreSaid(t *testing.T) {
	var said []string
	p, err := predict.Open("testdata/start-query-value", predict.Options{Model: "testdata/tiny-bert", Note: func(text string) { said = append(said, text) }})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	const want = " examples are longer than the "
	if _, err := p.Predict(t.Context(), []task.Example{{Text: "the king", Pair: "sees"}}); err != nil || strings.Contains(strings.Join(said, "\n"), want) {
		t.Errorf("of a short text is said %q (%v)", said, err)
	}
	long := strings.Repeat("the king sees ", 100)
	if _, err := p.Predict(t.Context(), []task.Example{{Text: long, Pair: "sees"}}); err != nil || !strings.HasPrefix(said[len(said)-1], "1 of 1"+want) {
		t.Errorf("of a long text is said %q (%v)", said, err)
	}
	before := len(said)
	examples, err := p.Examples(predict.Input{Reader: strings.NewReader(strings.Repeat("the king\tsees\n", 2000) + strings.Repeat(long+"\tsees\n", 3)), Format: own.TSV, NoHeader: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Stream(t.Context(), examples, func(predict.Prediction) error { return nil }); err != nil || len(said) != before+1 || !strings.HasPrefix(said[before], "3 of 2003"+want) {
		t.Errorf("of a stream is said %q (%v)", said[before:], err)
	}
}

// A bad line names its place; what came before it is predicted.
func TestStreamStopsAtABadLine(t *testing.T) {
	p := openTiny(t)
	examples, err := p.Examples(predict.Input{
		Reader: strings.NewReader("#1 String\t#2 String\na\tb\nc\td\nalone\n"), Name: "pairs.tsv", Format: own.TSV,
	})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	err = p.Stream(t.Context(), examples, func(predict.Prediction) error { n++; return nil })
	if err == nil || err.Error() != "pairs.tsv:4: 1 columns, want 2" || n != 2 {
		t.Errorf("%v after %d predictions", err, n)
	}
}

// An interruption is not kept waiting by a reader that has nothing to give.
func TestStreamIsInterrupted(t *testing.T) {
	p := openTiny(t)
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	defer writer.Close()
	go func() {
		writer.Write([]byte("a\tb\n"))
		cancel()
	}()
	examples, err := p.Examples(predict.Input{Reader: reader, Format: own.TSV, NoHeader: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Stream(ctx, examples, func(predict.Prediction) error { return nil }); !errors.Is(err, train.ErrInterrupted) {
		t.Errorf("%v", err)
	}
}

// A consumer that fails ends the stream, and its reader.
func TestStreamStopsWithItsConsumer(t *testing.T) {
	p := openTiny(t)
	full := errors.New("no space left")
	ended := make(chan struct{})
	var endless iter.Seq2[task.Example, error] = func(yield func(task.Example, error) bool) {
		defer close(ended)
		for yield(task.Example{Text: "a", Pair: "b"}, nil) {
		}
	}
	if err := p.Stream(t.Context(), endless, func(predict.Prediction) error { return full }); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
	<-ended
}
