package experiment

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func planned(t *testing.T, text string) *Plan {
	t.Helper()
	e, err := Read(written(t, text), nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := e.Plan()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func names(p *Plan) string {
	var all []string
	for _, r := range p.Runs {
		all = append(all, r.Name)
	}
	return strings.Join(all, " ")
}

func TestPlanOfGridAndList(t *testing.T) {
	p := planned(t, `
set: {train.lr: 5e-4, adapter.rank: 3}
runs:
  - {adapter.method: metatt4d, adapter.ranks: [2, 3, 2]}
  - {adapter.method: lora}
grid: {train.seed: [1, 2], adapter.targets: [[query], [query, value]]}
when:
  - {if: {adapter.method: [lora, dora]}, set: {adapter.alpha: 16}}
  - {if: {adapter.method: lora, train.seed: 2}, set: {train.lr: 7e-4}}
`)
	want := "metatt4d-ranks2,3,2-seed1-targetsquery metatt4d-ranks2,3,2-seed1-targetsquery,value metatt4d-ranks2,3,2-seed2-targetsquery metatt4d-ranks2,3,2-seed2-targetsquery,value " +
		"lora-seed1-targetsquery lora-seed1-targetsquery,value lora-seed2-targetsquery lora-seed2-targetsquery,value"
	if got := names(p); got != strings.ReplaceAll(want, ",", "_") {
		t.Errorf("%s", got)
	}
	last := p.Runs[7].Config
	if last.Train.LR != 7e-4 || *last.Adapter.Alpha != 16 || last.Adapter.Rank != 3 || !slices.Equal(last.Adapter.Targets, []string{"query", "value"}) || last.Train.Seed != 2 {
		t.Errorf("%+v", last)
	}
	if first := p.Runs[0].Config; first.Train.LR != 5e-4 || first.Adapter.Alpha != nil || first.Train.Seed != 1 {
		t.Errorf("%+v", first)
	}
}

// What a method has no use for is left out of its runs, said, and makes no run twice.
func TestPlanLeavesOutWhatIsNotForTheMethod(t *testing.T) {
	p := planned(t, "grid: {adapter.method: [head, lora, cp4d], adapter.rank: [2, 4], adapter.dropout: [0.1]}")
	if got := names(p); got != "head lora-rank2-dropout0.1 lora-rank4-dropout0.1 cp4d-rank2 cp4d-rank4" {
		t.Error(got)
	}
	notes := strings.Join(p.Notes, "\n")
	for _, want := range []string{":3: adapter.rank is not for head", ":3: adapter.dropout is not for cp4d", "1 run is the same as another"} {
		if !strings.Contains(notes, want) {
			t.Errorf("%s: not in %s", want, notes)
		}
	}
	// What a run is given alone is an error where it is not for its method.
	e, err := Read(written(t, "runs: [{adapter.method: cp4d, adapter.dropout: 0.1}]"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Plan(); err == nil || !strings.Contains(err.Error(), ":3: adapter.dropout: is for method") {
		t.Error(err)
	}
}

// A fault of every run is told once, with its place.
func TestPlanTellsFaultsOnce(t *testing.T) {
	e, err := Read(written(t, "set: {adapter.dropout: 0.5, dmrg.at: [1]}\ngrid: {train.seed: [1, 2, 3]}"), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = e.Plan()
	if err == nil || strings.Count(err.Error(), "\n") > 0 || !strings.Contains(err.Error(), ":3: dmrg.at: ") {
		t.Error(err)
	}
}

func TestRandomIsSeeded(t *testing.T) {
	const text = "random: {trials: 40, seed: %d, values: {train.lr: {from: 1e-4, to: 1e-2, scale: log}, adapter.rank: {from: 1, to: 3}, train.schedule: [linear, cosine]}}"
	one, same, other := planned(t, fmt.Sprintf(text, 1)), planned(t, fmt.Sprintf(text, 1)), planned(t, fmt.Sprintf(text, 2))
	if names(one) != names(same) || names(one) == names(other) {
		t.Error("the seed does not decide")
	}
	ranks, small := map[int]int{}, 0
	for _, r := range one.Runs {
		c := r.Config
		if c.Train.LR < 1e-4 || c.Train.LR > 1e-2 {
			t.Errorf("lr %g", c.Train.LR)
		}
		if c.Train.LR < 1e-3 {
			small++
		}
		ranks[c.Adapter.Rank]++
	}
	if small < 10 || small > 30 { // half of them in the logarithm, a tenth in the numbers
		t.Errorf("%d of 40 below 1e-3", small)
	}
	if len(ranks) != 3 || ranks[1] == 0 || ranks[3] == 0 {
		t.Errorf("ranks %v", ranks)
	}
}

func TestPlanOfAChoice(t *testing.T) {
	p := planned(t, `
grid: {adapter.method: [lora, full], train.seed: [1, 2]}
choose:
  values: {train.lr: [1e-3, 2e-3]}
  on: {train.seed: [7, 8]}
  set: {train.epochs: 1}
when:
  - {if: {adapter.method: full}, choose: {train.lr: [1e-5, 2e-5, 3e-5]}}
`)
	want := "choose/lora-seed7-lr1e-3 choose/lora-seed8-lr1e-3 choose/lora-seed7-lr2e-3 choose/lora-seed8-lr2e-3 lora-seed1 lora-seed2 " +
		"choose/full-seed7-lr1e-5 choose/full-seed8-lr1e-5 choose/full-seed7-lr2e-5 choose/full-seed8-lr2e-5 choose/full-seed7-lr3e-5 choose/full-seed8-lr3e-5 " +
		"full-seed1 full-seed2"
	if got := names(p); got != want {
		t.Error(got)
	}
	if c := p.Runs[2].Config; c.Train.Epochs != 1 || c.Train.LR != 2e-3 || c.Train.Seed != 7 {
		t.Errorf("%+v", c.Train)
	}
	if err := p.Refresh(); err != nil {
		t.Fatal(err)
	}
	if last := p.Runs[len(p.Runs)-1]; last.State != Waiting || last.Config != nil {
		t.Errorf("%s", last.State)
	}
}

func TestLabelsFitAFolder(t *testing.T) {
	p := planned(t, "grid: {adapter.targets: [[query, key, value, output, ffn_up, ffn_down], [query, key, value, output, ffn_up]], train.best_metric: [accuracy], adapter.method: [lora], model.path: [\"a/b'c d"+strings.Repeat("x", 200)+"\"]}")
	a, b := p.Runs[0].Name, p.Runs[1].Name
	if len(a) > longestName || a == b || strings.ContainsAny(a+b, "/' ") {
		t.Errorf("%s and %s", a, b)
	}
}

// A base that is not whole alone is completed by set.
func TestBaseThatSetCompletes(t *testing.T) {
	dir := t.TempDir()
	base, file := filepath.Join(dir, "base.yaml"), filepath.Join(dir, "question.yaml")
	for path, text := range map[string]string{
		base: "{task: custom, model: {path: testdata/tiny-bert}}",
		file: "base: base.yaml\nset: {data.train: a.csv, data.dev: b.csv, data.label: y}\nrandom: {trials: 1, values: {adapter.budget: {from: 1000, to: 1000000}}}",
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	e, err := Read(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := e.Plan(); err != nil || p.Runs[0].Config.Data.Train != "a.csv" {
		t.Error(err)
	}
}
