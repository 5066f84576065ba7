package main

import (
	"context"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/train"
)

// screen is what a terminal shows after the output: its lines, the cursor's last. It fails on a line that would
// have wrapped and on control sequences that a plain terminal need not know.
func screen(t *testing.T, output string, columns int) []string {
	t.Helper()
	lines, line, at := []string{}, []rune{}, 0
	sequence := regexp.MustCompile(`^\x1b\[([0-9]*)([a-zA-Z])`)
	for len(output) > 0 {
		if m := sequence.FindStringSubmatch(output); m != nil {
			switch m[1] + m[2] {
			case "0K":
				line = line[:at]
			case "2K":
				line = []rune(strings.Repeat(" ", at))
			case "0m", "1m":
			default:
				t.Fatalf("unexpected control sequence %q", m[0])
			}
			output = output[len(m[0]):]
			continue
		}
		r, n := utf8.DecodeRuneInString(output)
		output = output[n:]
		switch {
		case r == '\r':
			at = 0
		case r == '\n':
			lines, line, at = append(lines, strings.TrimRight(string(line), " ")), nil, 0
		case r < ' ':
			t.Fatalf("unexpected control character %q", r)
		default:
			if at < len(line) {
				line[at] = r
			} else {
				line = append(line, r)
			}
			at++
			if columns > 0 && at >= columns && strings.ContainsAny(string(line), "█░") {
				t.Fatalf("the bar fills %d of %d columns: %q", at, columns, string(line))
			}
		}
	}
	return append(lines, strings.TrimRight(string(line), " "))
}

func checkColumns(t *testing.T, text string, columns int) {
	t.Helper()
	for _, line := range strings.Split(text, "\n") {
		if n := utf8.RuneCountInString(line); n > columns {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

const closingTable = `
mrpc · metatt4d rank 8 · fp32 on cpu
────────────────────────────────────────────────────────────────
accuracy            0.7600       best, epoch 2
accuracy            0.7600       last
f1                  0.8200       last
────────────────────────────────────────────────────────────────
adapter parameters  6,656        0.029 % of the backbone
head parameters     770
backbone            22,713,216   frozen
────────────────────────────────────────────────────────────────
time                1:42         6 steps
samples/s           812
peak memory         1.2 GiB
────────────────────────────────────────────────────────────────
saved in            runs/mrpc-metatt4d-r8-s42
`

func TestPlainOutput(t *testing.T) {
	path := writeConfig(t, t.TempDir(), "run:\n  log_every: 4\n")
	want := `training: 3,668 examples, batch 32, epochs 2, steps 6
step 1/6  epoch 1  loss 0.7000  lr 1.00e-03  812 samples/s  7:30 left
epoch 1  step 3  accuracy 0.7300  f1 undefined  in 1.2s
checkpoint runs/mrpc-metatt4d-r8-s42/checkpoints/step-000003
step 4/6  epoch 2  loss 0.1750  lr 1.00e-03  812 samples/s  3:00 left
step 6/6  epoch 2  loss 0.1167  lr 1.00e-03  812 samples/s  0:00 left
epoch 2  step 6  accuracy 0.7600  f1 0.8200  in 1.2s  best so far
checkpoint runs/mrpc-metatt4d-r8-s42/checkpoints/step-000003
`
	// A terminal that cannot move its cursor is like none.
	for columns, term := range map[int]string{0: "xterm", 80: "dumb"} {
		got := command(t, t.Context(), backend{train: scripted}, columns, map[string]string{"TERM": term}, "train", "-c", path)
		if got.stderr != want {
			t.Errorf("got\n%s\nwant\n%s", got.stderr, want)
		}
		if got.stdout != closingTable {
			t.Errorf("got\n%s\nwant\n%s", got.stdout, closingTable)
		}
		checkColumns(t, got.stdout+got.stderr, 80)
	}
}

func TestTerminalOutput(t *testing.T) {
	path := writeConfig(t, t.TempDir(), "")
	for _, env := range []map[string]string{nil, {"NO_COLOR": "1"}} {
		got := command(t, t.Context(), backend{train: scripted}, 80, env, "train", "-c", path)
		want := []string{
			"training: 3,668 examples, batch 32, epochs 2, steps 6",
			"epoch 1  step 3  accuracy 0.7300  f1 undefined  in 1.2s",
			"epoch 2  step 6  accuracy 0.7600  f1 0.8200  in 1.2s  best so far",
			"", // the bar is gone
		}
		if lines := screen(t, got.stderr, 80); strings.Join(lines, "\n") != strings.Join(want, "\n") {
			t.Errorf("got\n%s", strings.Join(lines, "\n"))
		}
		if coloured := strings.Contains(got.stderr, "m"+"epoch 2"); coloured != (env == nil) {
			t.Errorf("coloured %v with %v", coloured, env)
		}
		if got.stdout != closingTable {
			t.Errorf("got\n%s", got.stdout)
		}
	}
}

// At every width the bar stays on its line and tells as much as fits, the loss before all else.
func TestBarFitsEveryWidth(t *testing.T) {
	for columns := 1; columns <= 200; columns++ {
		var out strings.Builder
		b := &bar{out: &out, total: 300}
		v := &barView{out: &out, columns: func(io.Writer) int { return columns }, bar: b, epochs: 10}
		v.Step(train.StepInfo{Step: 129, Total: 300, Epoch: 5, Loss: 0.409, LR: 5.7e-4, SamplesPerSecond: 1812, ETA: 12*time.Minute + 42*time.Second})
		line := screen(t, out.String(), 0)[0]
		if n := utf8.RuneCountInString(line); n >= max(columns, barFrame) {
			t.Errorf("%d columns on %d: %q", n, columns, line)
		}
		for _, part := range []struct {
			from int
			text string
		}{{10, "43%"}, {34, "loss 0.4090"}, {42, "12:42"}, {48, "1,812"}, {72, "lr 5.7e-04"}, {74, "samples/s"}, {92, "epoch 5/10"}} {
			if columns >= part.from && !strings.Contains(line, part.text) {
				t.Errorf("%d columns: no %s in %q", columns, part.text, line)
			}
		}
	}
}

// The terminal may be resized while a run goes on, and what is printed above the bar leaves no trace of it.
func TestBarFollowsTheTerminal(t *testing.T) {
	var out strings.Builder
	columns := 100
	v := &barView{out: &out, columns: func(io.Writer) int { return columns }}
	v.Begin(train.BeginInfo{Total: 10, Done: 4, Epochs: 1, BatchSize: 8, Examples: 80})
	if line := screen(t, out.String(), columns)[1]; !strings.HasPrefix(line, "  40% ███") {
		t.Errorf("a resumed run starts at %q", line)
	}
	for step := 5; step < 10; step++ {
		columns -= 12
		v.shown = time.Time{}
		v.Step(train.StepInfo{Step: step, Total: 10, Epoch: 1, Loss: 0.5})
		v.Note("note " + strconv.Itoa(step))
	}
	lines := screen(t, out.String(), 0)
	if got := strings.Join(lines[1:6], ","); got != "note 5,note 6,note 7,note 8,note 9" {
		t.Errorf("got %q", got)
	}
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "  90% ███") || utf8.RuneCountInString(last) >= columns {
		t.Errorf("got %q on %d columns", last, columns)
	}
	v.close()
	if lines := screen(t, out.String(), 0); lines[len(lines)-1] != "" {
		t.Errorf("left %q", lines[len(lines)-1])
	}
}

func TestDryRun(t *testing.T) {
	path := writeConfig(t, t.TempDir(), "")
	plan := &run.Plan{
		Task: "MRPC", Method: "metatt4d", Model: "models/minilm", ModelType: "bert",
		Hidden: 384, Layers: 6, Heads: 12, Device: "cpu", DType: "fp32", Sites: 12, Targets: []string{"query", "value"},
		Modes: []adapter.Mode{{Name: "in", Size: 384}, {Name: "layer", Size: 6}, {Name: "matrix", Size: 2}, {Name: "out", Size: 384}}, Ranks: []int64{8, 7, 6},
		AdapterParams: 6656, HeadParams: 770, BackboneParams: 22713216, Examples: []run.TaskExamples{{Task: "MRPC", Train: 3668, Dev: 408}},
		Steps: 1150, StepsPerEpoch: 115, Epochs: 10, BatchSize: 32, MemoryBytes: 1234567890,
	}
	b := backend{describe: func(_ context.Context, o run.Options) (*run.Plan, error) {
		o.Observer.Note("a note")
		return plan, nil
	}}
	got := command(t, t.Context(), b, 0, nil, "train", "--dry-run", "-c", path)
	want := `
dry run: MRPC · metatt4d · fp32 on cpu
────────────────────────────────────────────────────────────────
model               bert, 6 layers, 384 wide, 12 heads
from                models/minilm
data                3,668 train, 408 dev examples
sites               12: query, value
tensor train        in 384 × layer 6 × matrix 2 × out 384
ranks               8 7 6
────────────────────────────────────────────────────────────────
adapter parameters  6,656        0.029 % of the backbone
head parameters     770
backbone            22,713,216   frozen
────────────────────────────────────────────────────────────────
steps               1,150        115 an epoch, batch 32
epochs              10
memory              about 1.1 GiB
`
	if got.code != 0 || got.stdout != want || got.stderr != "a note\n" {
		t.Errorf("got %d\n%s%s", got.code, got.stdout, got.stderr)
	}
}

func TestTablesWithoutFigures(t *testing.T) {
	s := &run.Summary{RunDir: "runs/x", Task: "mrpc", Method: "head", HeadParams: 770, BackboneParams: 22713216, Device: "cpu", DType: "fp32"}
	var out strings.Builder
	writeTable(&out, summaryTable(s))
	if text := out.String(); !strings.HasPrefix(text, "\nmrpc · head · fp32 on cpu\n") || strings.Contains(text, "best") {
		t.Errorf("got\n%s", text)
	}
}

func TestEvalLineNamesTheOnlyClass(t *testing.T) {
	line := evalLine(train.EvalInfo{Epoch: 1, Step: 2, Seconds: 1,
		Tasks: []train.TaskEval{{Metrics: task.Metrics{{Name: "accuracy", Value: 0.5}}, OneClass: "acceptable"}}})
	if want := `epoch 1  step 2  accuracy 0.5000  in 1s  every example is predicted as "acceptable"`; line != want {
		t.Errorf("%s, want %s", line, want)
	}
}

// Of several tasks a line says what is compared by its name, which need not be the mean.
func TestEvalLineOfSeveralTasks(t *testing.T) {
	value := 0.25
	e := train.EvalInfo{Epoch: 1, Step: 2, Seconds: 1, Criterion: "CoLA.matthews", Value: &value, Tasks: []train.TaskEval{
		{Task: "MRPC", Metrics: task.Metrics{{Name: "accuracy", Value: 0.5}}}, {Task: "CoLA", Metrics: task.Metrics{{Name: "matthews", Value: 0.25}}},
	}}
	want := "epoch 1  step 2  CoLA.matthews 0.2500  in 1s\n  MRPC   accuracy 0.5000\n  CoLA   matthews 0.2500"
	if line := evalLine(e); line != want {
		t.Errorf("%s, want %s", line, want)
	}
	e.Value = nil
	if line := evalLine(e); !strings.Contains(line, "CoLA.matthews undefined") {
		t.Error(line)
	}
}
