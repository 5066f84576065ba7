package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/repeat"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/run/runtest"
	"github.com/metatt/metatt/pkg/train"
)

// The tables of a repetition fit 80 columns, and its exit code says whether something is wrong.
func TestRepeat(t *testing.T) {
	t.Chdir("../../pkg/run")
	b := backend{train: run.Train, repeat: repeat.Prepare}
	summary, err := run.Train(t.Context(), runtest.Tiny(t, "train.max_steps=6", "train.eval_every=3", "dmrg.mode=canonical", "dmrg.unit=step", "dmrg.at=2", "dmrg.maxdim=2"))
	if err != nil {
		t.Fatal(err)
	}
	dir := summary.RunDir
	got := command(t, t.Context(), b, 0, nil, "repeat", dir)
	if got.code != 0 || !strings.Contains(got.stdout, "ended after step 6\n") || !strings.Contains(got.stdout, "as recorded ") ||
		!strings.Contains(got.stdout, "every number is the same\n") || !strings.Contains(got.stdout, "\nsweeps              1 of 1 the same\n") ||
		!strings.Contains(got.stdout, "\nranks               2 2 2, the same\n") || !strings.Contains(got.stderr, "step 6/6") {
		t.Errorf("got %+v", got)
	}
	metrics := filepath.Join(dir, train.MetricsFile)
	text, err := os.ReadFile(metrics)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(metrics, []byte(strings.Replace(string(text), `"accuracy":0`, `"accuracy":10`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	got = command(t, t.Context(), b, 0, nil, "repeat", dir, filepath.Join(t.TempDir(), "again"))
	if got.code != 1 || !strings.HasSuffix(got.stderr, "finetune: numbers differ, although all that they depend on is the same\n") ||
		!strings.Contains(got.stdout, "\nevaluations         1 of 2 the same\n                    first in step 3; most 10, in step 3\n                    step 3 accuracy: 10.") {
		t.Errorf("got %+v", got)
	}
	// With another number of threads, they may.
	environment := filepath.Join(dir, run.EnvironmentFile)
	if text, err = os.ReadFile(environment); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(environment, []byte(strings.Replace(string(text), `"Threads": `, `"Threads": 9`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	got = command(t, t.Context(), b, 0, nil, "repeat", dir, filepath.Join(t.TempDir(), "again"))
	if got.code != 0 || !strings.Contains(got.stdout, "\nthreads             then 9") || !strings.Contains(got.stdout, "numbers differ\n") {
		t.Errorf("got %+v", got)
	}
	if got = command(t, t.Context(), b, 0, nil, "repeat"); got.code != 2 || got.stderr != "finetune: no run directory given (see finetune repeat --help)\n" {
		t.Errorf("got %+v", got)
	}
	if got = command(t, t.Context(), b, 0, nil, "repeat", "a", "b", "c"); got.code != 2 || got.stderr != "finetune: unexpected argument \"c\" (see finetune repeat --help)\n" {
		t.Errorf("got %+v", got)
	}
	checkColumns(t, command(t, t.Context(), b, 0, nil, "repeat", "--help").stdout, 80)
}
