package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/convert"
	"github.com/metatt/metatt/pkg/inspect"
	"github.com/metatt/metatt/pkg/predict"
	"github.com/metatt/metatt/pkg/run"
)

// Every command that reads an adapter hands the task over.
func TestTaskFlag(t *testing.T) {
	var got []string
	asked := errors.New("asked")
	b := backend{
		evaluate: func(_ context.Context, o predict.EvalOptions) (*predict.Evaluation, error) {
			got = append(got, o.Predictor.Task)
			return nil, asked
		},
		predictor: func(_ string, o predict.Options) (predictor, error) {
			got = append(got, o.Task)
			return nil, asked
		},
		merge:   func(_ context.Context, o convert.MergeOptions) error { got = append(got, o.Task); return asked },
		inspect: func(o inspect.Options) (*inspect.Inspection, error) { got = append(got, o.Task); return nil, asked },
	}
	for _, words := range []string{"eval a", "predict a text", "merge a b", "inspect a"} {
		for _, args := range [][]string{strings.Fields(words), append(strings.Fields(words), "--task", "rte")} {
			if r := command(t, t.Context(), b, 0, nil, args...); r.code != 1 || r.stderr != "finetune: asked\n" {
				t.Errorf("%v: %+v", args, r)
			}
		}
	}
	if text := strings.Join(got, ","); text != ",rte,,rte,,rte,,rte" {
		t.Errorf("asked for %s", text)
	}
}

// An appended task is stated by both numbers of parameters, ranks that differ one
// by one.
func TestTablesOfAnAppendedTask(t *testing.T) {
	const want = `────────────────────────────────────────────────────────────────
the task's own      240          0.0011 % of the backbone
whole adapter       6,960        with MRPC, STS-B, frozen
head parameters     770
backbone            22,713,216   frozen
────────────────────────────────────────────────────────────────
`
	frozen := []string{"MRPC", "STS-B"}
	var out strings.Builder
	writeTable(&out, planTable(&run.Plan{Task: "RTE", AdapterParams: 240, WholeParams: 6960, HeadParams: 770, BackboneParams: 22713216, FrozenTasks: frozen}))
	if !strings.Contains(out.String(), want) {
		t.Errorf("got\n%s", &out)
	}
	out.Reset()
	writeTable(&out, summaryTable(&run.Summary{
		Task: "RTE", Method: "metatt4d", Rank: 10, Ranks: []int64{8, 10, 10, 8}, DType: "bf16", Device: "cpu",
		AdapterParams: 240, WholeParams: 6960, HeadParams: 770, BackboneParams: 22713216, FrozenTasks: frozen,
	}))
	if text := out.String(); !strings.Contains(text, want) || !strings.HasPrefix(text, "\nRTE · metatt4d ranks 8 10 10 8 · bf16 on cpu\n") {
		t.Errorf("got\n%s", text)
	}
	out.Reset()
	writeTable(&out, inspectionTable(&inspect.Inspection{
		Dir: "a", Task: "RTE", Deltas: [][]float64{{1.5}},
		Config: adapter.Config{Tasks: []string{"MRPC", "STS-B", "RTE"}, FrozenTasks: frozen, Targets: []string{"query"}},
	}))
	for _, line := range []string{"frozen ", "MRPC, STS-B\n", "‖ΔW‖ of RTE layer 0"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("no %q in\n%s", line, &out)
		}
	}
}
