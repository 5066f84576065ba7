package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// recordOf writes a run directory by hand: one evaluation, and what it came to.
func recordOf(t *testing.T, dir string, seed int, method string, accuracy float64) {
	t.Helper()
	path := filepath.Join(dir, fmt.Sprintf("%s-%d", method, seed))
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"config.yaml":      fmt.Sprintf("model: {path: a-folder-of-a-checkpoint-with-a-very-long-name-%s}\nadapter: {method: %s}\ntrain: {seed: %d}\n", method, method, seed),
		"environment.json": "{}",
		"metrics.jsonl": `{"event":"step","step":1,"loss":0.5,"lr":0.001}` + "\n" +
			fmt.Sprintf(`{"event":"eval","step":1,"epoch":1,"loss":0.5,"metrics":{"accuracy":%v,"f1":null},"best":true}`, accuracy) + "\n",
		"timings.jsonl": `{"event":"eval","step":1,"seconds":0.25,"samples_per_second":128,"eval_seconds":1}` + "\n",
		"summary.json": fmt.Sprintf(`{"task":"MRPC","method":%q,"rank":8,"seed":%d,"steps":1,"adapter_parameters":6656,"head_parameters":770,"last":{"accuracy":%v,"f1":null},
			"best":{"epoch":1,"step":1,"metric":"accuracy","value":%v},"seconds":102,"samples_per_second":812,"peak_bytes":569376768,"device":"cpu","dtype":"fp32"}`, method, seed, accuracy, accuracy),
	} {
		if err := os.WriteFile(filepath.Join(path, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// recordsOf is a folder of runs of two methods over three seeds.
func recordsOf(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for seed := range 3 {
		recordOf(t, dir, seed+1, "lora", 0.70+float64(seed)/100)
		recordOf(t, dir, seed+1, "metatt4d", 0.72+float64(seed)/100)
	}
	return dir
}

const comparedTable = `6 runs of 6 in 2 groups, told apart by task, metric, method, rank
with these also differ model.path

MRPC · accuracy
──────────────────────────────────────────────────────────────
             n            best  median            last  median
──────────────────────────────────────────────────────────────
lora r8      3  0.7100 ±0.0100  0.7100  0.7100 ±0.0100  0.7100
metatt4d r8  3  0.7300 ±0.0100  0.7300  0.7300 ±0.0100  0.7300
mean ±standard deviation over seeds
`

// The tables fit 80 columns, also with long names; files are written beside them.
func TestReport(t *testing.T) {
	dir, out := recordsOf(t), t.TempDir()
	got := command(t, t.Context(), backend{}, 80, nil, "report", dir, "--html", filepath.Join(out, "r.html"), "--csv", filepath.Join(out, "r.csv"),
		"--markdown", filepath.Join(out, "r.md"), "--latex", filepath.Join(out, "r.tex"), "--plots", filepath.Join(out, "plots"))
	if got.code != exitDone || got.stderr != "" || !strings.HasPrefix(got.stdout, comparedTable) || !strings.Contains(got.stdout, "+0.0200 … +0.0200") {
		t.Errorf("%d %s\n%s", got.code, got.stderr, got.stdout)
	}
	checkColumns(t, got.stdout, 80)
	for _, name := range []string{"r.html", "r.csv", "r.md", "r.tex", "plots/mrpc-parameters.png", "plots/mrpc-time.svg"} {
		if info, err := os.Stat(filepath.Join(out, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	got = command(t, t.Context(), backend{}, 0, nil, "report", dir, "--by", "method,model.path", "--against", "lora")
	if got.code != exitDone || !strings.Contains(got.stdout, "model.path=a-folder") {
		t.Errorf("%d %s\n%s", got.code, got.stderr, got.stdout)
	}
	// A name alone may be wider than the terminal: it is not cut.
	for _, line := range strings.Split(got.stdout, "\n") {
		if !strings.Contains(line, "a-very-long-name") {
			checkColumns(t, line, 80)
		}
	}
}

func TestReportRefuses(t *testing.T) {
	dir := recordsOf(t)
	for _, c := range []struct {
		words []string
		code  int
		want  string
	}{
		{[]string{"report"}, exitUsage, "no runs: give run directories, or a folder of them"},
		{[]string{"report", filepath.Join(dir, "none")}, exitFailure, "none: no such file or directory"},
		{[]string{"report", dir, "--by", "adapter.rnk"}, exitUsage, "did you mean adapter.rank?"},
		{[]string{"report", dir, "--against", "dora"}, exitUsage, "no group is that"},
		{[]string{"report", dir, "--htm", "x"}, exitUsage, "did you mean --html?"},
		{[]string{"report", dir, "--html", filepath.Join(dir, "none", "r.html")}, exitFailure, "no such file or directory"},
	} {
		got := command(t, t.Context(), backend{}, 80, nil, c.words...)
		if got.code != c.code || !strings.Contains(got.stderr, c.want) || strings.Count(got.stderr, "\n") != 1 {
			t.Errorf("%q: %d %s", c.words, got.code, got.stderr)
		}
	}
}
