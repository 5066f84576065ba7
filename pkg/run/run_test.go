package run_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/predict"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/run/runtest"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/task/glue"
	"github.com/metatt/metatt/pkg/train"
)

// silent is an observer that calls step, if there is one, after each step.
type silent struct {
	runtest.Silent
	step func(train.StepInfo)
}

func (s silent) Step(info train.StepInfo) {
	if s.step != nil {
		s.step(info)
	}
}

// tiny asks for a run on the committed fixtures.
func tiny(t *testing.T, overrides ...string) run.Options {
	t.Helper()
	return runtest.Tiny(t, overrides...)
}

// interrupted trains a run that is stopped after the first of the steps, goes on
// with it until the next, and so on.
func interrupted(t *testing.T, o run.Options, after ...int) {
	t.Helper()
	for i, step := range after {
		ctx, cancel := context.WithCancel(t.Context())
		o.Observer = silent{step: func(s train.StepInfo) {
			if s.Step == step {
				cancel()
			}
		}}
		var err error
		if i == 0 {
			_, err = run.Train(ctx, o)
		} else {
			_, err = run.Resume(ctx, o.Config.Run.Dir, o)
		}
		cancel()
		if !errors.Is(err, train.ErrInterrupted) {
			t.Fatalf("stop after step %d: %v", step, err)
		}
	}
}

func metrics(t *testing.T, dir string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, train.MetricsFile))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// losses are those of the step events.
func losses(t *testing.T, dir string) []float64 {
	t.Helper()
	var values []float64
	for line := range bytes.Lines(metrics(t, dir)) {
		var e struct {
			Event string
			Loss  float64
		}
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		if e.Event == "step" {
			values = append(values, e.Loss)
		}
	}
	return values
}

// Ten steps from a saved start follow plain PyTorch on transformers' BERT:
// parity/make_fixtures.py wrote the expected losses.
func TestLossesEqualPyTorch(t *testing.T) {
	text, err := os.ReadFile("testdata/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var expected map[string]struct{ Losses []float64 }
	if err := json.Unmarshal(text, &expected); err != nil {
		t.Fatal(err)
	}
	for name, want := range expected {
		t.Run(name, func(t *testing.T) {
			o := tiny(t, "adapter.init_from=testdata/start-"+name, "model.dropout=0", "data.shuffle=false",
				"train.max_steps=10", "train.batch_size=4", "train.warmup=0.2")
			summary, err := run.Train(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			got := losses(t, summary.RunDir)
			if len(got) != len(want.Losses) || len(got) == 0 {
				t.Fatalf("%d losses, want %d", len(got), len(want.Losses))
			}
			for i := range got {
				if math.Abs(got[i]-want.Losses[i]) > 1e-4*want.Losses[i] {
					t.Errorf("step %d: loss %v, PyTorch has %v", i+1, got[i], want.Losses[i])
				}
			}
		})
	}
}

// A run that is stopped and resumed writes the same metrics.jsonl and ends
// with the same adapter as one that was left alone.
func TestInterruptedRunsEndTheSame(t *testing.T) {
	whole := tiny(t, "train.epochs=4")
	if _, err := run.Train(t.Context(), whole); err != nil {
		t.Fatal(err)
	}
	want := metrics(t, whole.Config.Run.Dir)
	adapter := filepath.Join("adapter", "last", "adapter_model.safetensors")
	wantAdapter, err := os.ReadFile(filepath.Join(whole.Config.Run.Dir, adapter))
	if err != nil {
		t.Fatal(err)
	}
	const perEpoch = 7 // 45 examples in batches of 7
	for _, stops := range [][]int{{3, 11, 20}, {1, perEpoch, 2 * perEpoch}, {perEpoch + 1, 27, 28}} {
		t.Run(fmt.Sprint(stops), func(t *testing.T) {
			o := tiny(t, "train.epochs=4")
			interrupted(t, o, stops...)
			summary, err := run.Resume(t.Context(), o.Config.Run.Dir, o)
			if err != nil {
				t.Fatal(err)
			}
			if summary.Steps != 4*perEpoch || summary.Interrupted {
				t.Errorf("%d steps, interrupted %v", summary.Steps, summary.Interrupted)
			}
			if got := metrics(t, o.Config.Run.Dir); !bytes.Equal(got, want) {
				t.Errorf("metrics.jsonl differs:\n%s\nwant\n%s", got, want)
			}
			if got, err := os.ReadFile(filepath.Join(o.Config.Run.Dir, adapter)); err != nil || !bytes.Equal(got, wantAdapter) {
				t.Errorf("the last adapter differs (%v)", err)
			}
		})
	}
}

// What a killed process wrote after its last checkpoint is written again.
func TestResumeCutsWhatTheCheckpointDoesNotKnow(t *testing.T) {
	whole, killed := tiny(t), tiny(t, "train.checkpoint_every=5", "train.keep_checkpoints=2")
	if _, err := run.Train(t.Context(), whole); err != nil {
		t.Fatal(err)
	}
	interrupted(t, killed, 13)
	// As after kill -9: the checkpoint of the interruption was never made, the
	// last line is torn.
	dir := killed.Config.Run.Dir
	if err := os.RemoveAll(filepath.Join(dir, "checkpoints", "step-00000013")); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, train.MetricsFile), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"event":"st`); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, err := run.Resume(t.Context(), dir, killed); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(metrics(t, dir), metrics(t, whole.Config.Run.Dir)) {
		t.Error("metrics.jsonl differs from a run that was left alone")
	}
}

func TestRunDirectory(t *testing.T) {
	o := tiny(t, "adapter.targets=all")
	summary, err := run.Train(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{
		"config.yaml", "environment.json", "summary.json", "metrics.jsonl", "timings.jsonl",
		"adapter/best/adapter_config.json", "adapter/best/adapter_model.safetensors",
		"adapter/last/adapter_config.json", "checkpoints/step-00000021/state.json",
	} {
		if _, err := os.Stat(filepath.Join(summary.RunDir, file)); err != nil {
			t.Errorf("%v", err)
		}
	}
	// The resolved configuration gives the same run again.
	again, err := config.Load([]string{filepath.Join(summary.RunDir, "config.yaml")}, []string{"run.dir=" + filepath.Join(t.TempDir(), "again")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	repeated, err := run.Train(t.Context(), run.Options{Config: again, Observer: silent{}})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(metrics(t, summary.RunDir), metrics(t, repeated.RunDir)) {
		t.Error("the resolved configuration gives another curve")
	}
	if summary.AdapterParams != 2*12*4+(3+4+2*2)*16 || summary.HeadParams != 2*12+2 {
		t.Errorf("%d adapter and %d head parameters", summary.AdapterParams, summary.HeadParams)
	}
}

// copyModel is a copy of the tiny model in a folder of its own.
func copyModel(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "model")
	if err := os.CopyFS(dir, os.DirFS("testdata/tiny-bert")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func replace(t *testing.T, path, old, with string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(old)) {
		t.Fatalf("%s does not hold %q", path, old)
	}
	if err := os.WriteFile(path, bytes.Replace(text, []byte(old), []byte(with), 1), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Every wrong input is one line that names the place, and leaves no run behind.
func TestWrongInput(t *testing.T) {
	glueWith := func(t *testing.T, old, with string) string {
		dir := filepath.Join(t.TempDir(), "glue")
		if err := os.CopyFS(dir, os.DirFS("testdata/glue")); err != nil {
			t.Fatal(err)
		}
		replace(t, filepath.Join(dir, "MRPC", "train.tsv"), old, with)
		return "data.glue=" + dir
	}
	for _, c := range []struct {
		name  string
		set   func(t *testing.T) []string
		want  []string
		usage bool // a *config.Error: exit code 2
	}{
		{"no such model", func(t *testing.T) []string { return []string{"model.path=testdata/nothing"} }, []string{"testdata/nothing"}, false},
		{"folder without a model", func(t *testing.T) []string { return []string{"model.path=testdata/glue"} }, []string{"testdata/glue", "config.json"}, false},
		{"no weights", func(t *testing.T) []string {
			dir := copyModel(t)
			os.Remove(filepath.Join(dir, "model.safetensors"))
			return []string{"model.path=" + dir}
		}, []string{"model.safetensors"}, false},
		{"truncated weights", func(t *testing.T) []string {
			dir := copyModel(t)
			os.Truncate(filepath.Join(dir, "model.safetensors"), 20000)
			return []string{"model.path=" + dir}
		}, []string{"model.safetensors", "truncated"}, false},
		{"tensor of the wrong shape", func(t *testing.T) []string {
			dir := copyModel(t)
			replace(t, filepath.Join(dir, "config.json"), `"intermediate_size": 24`, `"intermediate_size": 36`)
			return []string{"model.path=" + dir}
		}, []string{"model.safetensors", "intermediate.dense.weight", "[24 12]", "[36 12]"}, false},
		{"missing tensor", func(t *testing.T) []string {
			dir := copyModel(t)
			replace(t, filepath.Join(dir, "config.json"), `"num_hidden_layers": 3`, `"num_hidden_layers": 4`)
			return []string{"model.path=" + dir}
		}, []string{"encoder.layer.3.attention.self.query.weight is missing", "nearest"}, false},
		{"vocabulary larger than the model's", func(t *testing.T) []string {
			dir := copyModel(t)
			f, _ := os.OpenFile(filepath.Join(dir, "vocab.txt"), os.O_APPEND|os.O_WRONLY, 0)
			f.WriteString("surplus\n")
			f.Close()
			return []string{"model.path=" + dir}
		}, []string{"vocabulary"}, false},
		{"row with too few columns", func(t *testing.T) []string { return []string{glueWith(t, "\t0\t1\t", "\t")} }, []string{"train.tsv:2:", "column"}, false},
		{"label that does not exist", func(t *testing.T) []string { return []string{glueWith(t, "\n1\t", "\n7\t")} }, []string{"train.tsv:", `"7"`}, false},
		{"no GLUE folder", func(t *testing.T) []string { return []string{"data.glue=testdata/nothing"} }, []string{"data.glue", "testdata/nothing"}, false},
		{"rank above the bond", func(t *testing.T) []string { return []string{"adapter.rank=13"} }, []string{"adapter", "rank 13", "between 1 and 12"}, true},
		{"TT rank above the bond", func(t *testing.T) []string { return []string{"adapter.method=loretta-rep", "adapter.tt_rank=3"} }, []string{"adapter", "tt_rank 3 is above 2"}, true},
		{"bottleneck above the width", func(t *testing.T) []string { return []string{"adapter.method=loretta-adp", "adapter.rank=13"} }, []string{"adapter", "rank 13 is above 12"}, true},
		{"rank above LoRA's", func(t *testing.T) []string { return []string{"adapter.method=lora", "adapter.rank=13"} }, []string{"adapter", "rank 13", "between 1 and 12"}, true},
		{"more positions than there are", func(t *testing.T) []string { return []string{"data.max_length=41"} }, []string{"data.max_length", "40 positions"}, true},
		{"device that is not there", func(t *testing.T) []string { return []string{"device=cuda:93"} }, []string{"device", "cuda:93"}, true},
		{"metric of another task", func(t *testing.T) []string { return []string{"train.best_metric=spearman"} }, []string{"train.best_metric", "spearman"}, true},
		{"no adapter to start from", func(t *testing.T) []string { return []string{"adapter.init_from=testdata/glue"} }, []string{"adapter_config.json is missing"}, false},
		{"contradiction to the adapter", func(t *testing.T) []string {
			return []string{"adapter.init_from=testdata/start-all", "adapter.rank=2", "adapter.alpha=3"}
		}, []string{"command line: adapter.rank", "adapter.alpha"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := tiny(t, c.set(t)...)
			_, err := run.Train(t.Context(), o)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			var wrong *config.Error
			if errors.As(err, &wrong) != c.usage {
				t.Errorf("error %q: is a config error: %v, want %v", err, !c.usage, c.usage)
			}
			if !c.usage && strings.Contains(err.Error(), "\n") {
				t.Errorf("error is not one line: %q", err)
			}
			if _, err := os.Stat(o.Config.Run.Dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a run directory was left behind (%v)", err)
			}
		})
	}
}

func TestRunDirectoryIsNotOverwritten(t *testing.T) {
	o := tiny(t, "train.max_steps=1")
	if _, err := run.Train(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	before := metrics(t, o.Config.Run.Dir)
	if _, err := run.Train(t.Context(), o); err == nil || !strings.Contains(err.Error(), "--resume") {
		t.Errorf("a second run in the same folder: %v", err)
	}
	if !bytes.Equal(before, metrics(t, o.Config.Run.Dir)) {
		t.Error("the first run's metrics changed")
	}
}

func TestDescribeWritesNothing(t *testing.T) {
	o := tiny(t)
	p, err := run.Describe(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if p.Steps != 21 || p.StepsPerEpoch != 7 || p.Examples[0] != (run.TaskExamples{Task: "MRPC", Train: 45, Dev: 15}) || p.Sites != 6 || p.MemoryBytes <= 0 {
		t.Errorf("%+v", p)
	}
	if _, err := os.Stat(o.Config.Run.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a run directory was made (%v)", err)
	}
}

// The built-in task needs no GLUE folder, even where one is named.
func TestSampleTaskNeedsNoFolder(t *testing.T) {
	o := tiny(t, "task=sample", "data.glue=", "train.max_steps=2")
	o.GLUEDir = "testdata/glue"
	if _, err := run.Train(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

// A saved adapter predicts what training evaluated.
func TestPredictorIsWhatWasEvaluated(t *testing.T) {
	o := tiny(t)
	summary, err := run.Train(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	predictsWhatWasEvaluated(t, summary, predict.Options{})
}

// predictsWhatWasEvaluated holds a run's last adapter, from disk, to the figures
// of the run's last evaluation.
func predictsWhatWasEvaluated(t *testing.T, summary *run.Summary, o predict.Options) {
	t.Helper()
	p, err := predict.Open(filepath.Join(summary.RunDir, "adapter", "last"), o)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	named, _ := task.Lookup("mrpc")
	examples, err := glue.Folder("testdata/glue").Read(named, task.Dev, nil)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := p.Logits(t.Context(), examples)
	if err != nil {
		t.Fatal(err)
	}
	got, err := named.Evaluate(slices.Concat(rows...), 2, examples)
	if err != nil || !slices.Equal(got, summary.Last) {
		t.Errorf("%v (%v), training evaluated %v", got, err, summary.Last)
	}
}
