package config

import (
	"errors"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// overlays writes a file of each text and loads them over one another.
func overlays(t *testing.T, env map[string]string, overrides []string, texts ...string) (*Config, []string, error) {
	t.Helper()
	dir := t.TempDir()
	files := make([]string, len(texts))
	for i, text := range texts {
		files[i] = filepath.Join(dir, string(rune('a'+i))+".yaml")
		write(t, files[i], text)
	}
	c, err := Load(files, overrides, func(name string) (string, bool) { text, ok := env[name]; return text, ok })
	return c, files, err
}

// The later of several files counts, key by key; the environment and the command line stand over all.
func TestOverlays(t *testing.T) {
	c, _, err := overlays(t, map[string]string{"METATT_TRAIN_EPOCHS": "4"}, []string{"train.seed=5"},
		"task: [rte, mrpc]\ntrain: {lr: 1, seed: 1, epochs: 1, batch_size: 1}\nadapter: {targets: [query, key]}\nmodel: {dropout: 0.5}\ntasks: {rte: {lr: 1, weight: 1}}\n",
		"# nothing\n",
		"train: {lr: 2, seed: 2, epochs: 2}\nadapter: {targets: [value]}\ntasks: {rte: {weight: 2}, mrpc: {limit: 2}}\n",
		"train: {lr: 3}\nmodel: {dropout: null}\n",
	)
	if err != nil {
		t.Fatal(err)
	}
	if r := c.Train; r.LR != 3 || r.Seed != 5 || r.Epochs != 4 || r.BatchSize != 1 {
		t.Errorf("got %+v", r)
	}
	if c.Model.Dropout != nil || !slices.Equal(c.Adapter.Targets, []string{"value"}) {
		t.Errorf("dropout %v, targets %v", c.Model.Dropout, c.Adapter.Targets)
	}
	if rte, mrpc := c.Settings("rte"), c.Settings("mrpc"); *rte.LR != 1 || rte.Weight != 2 || *mrpc.Limit != 2 {
		t.Errorf("rte %+v, mrpc %+v", rte, mrpc)
	}
	checkRoundTrip(t, c)
}

// What is wrong is said of its own file and line, also where another file replaces it, or makes it wrong.
func TestProblemsOfOverlays(t *testing.T) {
	_, files, err := overlays(t, nil, []string{"train.lr=1"},
		"task: stsb\ntrain:\n  lr: -1\nadapter:\n  ranks: [8, 6, 4]\n",
		"train:\n\n  lr: 2\n  sede: 1\n",
		"adapter:\n  method: lora\n",
	)
	missing := filepath.Join(filepath.Dir(files[0]), "missing.yaml")
	want := strings.Join([]string{
		files[0] + ":3: train.lr: -1 is out of range; must be > 0",
		files[1] + ":4: train.sede: unknown key; did you mean train.seed?",
		files[0] + ":5: adapter.ranks: is for method metatt4d, metatt5d, tenslora; the method is lora",
	}, "\n")
	var wrong *Error
	if !errors.As(err, &wrong) || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if _, err := Load([]string{missing, files[2]}, nil, nil); err == nil || err.Error() != missing+": no such file or directory" {
		t.Errorf("got %v", err)
	}
	c, files, err := overlays(t, nil, nil, "train:\n  lr: 1\n", "train: {lr: 2}\n", "train:\n\n  seed: 3\n")
	if err != nil {
		t.Fatal(err)
	}
	err = c.Agrees(mustLoad(t, ""))
	want = files[1] + ":1: train.lr: 2 here, 0.001 in the run: a run keeps its configuration\n" +
		files[2] + ":3: train.seed: 3 here, 42 in the run: a run keeps its configuration"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

// One rank and ranks of bonds: the one that stands over the other counts, where the schema lets it.
func TestRankOverRanks(t *testing.T) {
	if _, files, err := overlays(t, nil, nil, "adapter: {ranks: [8, 6, 4]}\n", "adapter: {rank: 5}\n"); err == nil || !strings.HasPrefix(err.Error(), files[1]+":1: adapter.rank: 5 stands beside") {
		t.Errorf("got %v", err)
	}
	for _, texts := range [][]string{
		{"adapter: {rank: 5}\n", "adapter: {ranks: [8, 6, 4]}\n"},
		{"adapter: {ranks: [8, 6, 4]}\n", "adapter: {ranks: [], rank: 8}\n"},
	} {
		c, _, err := overlays(t, nil, nil, texts...)
		if err != nil || c.Adapter.Rank != 8 {
			t.Errorf("%q: %v, %v", texts, c, err)
		}
	}
}

// No file and an empty one are the defaults.
func TestNoOverlays(t *testing.T) {
	none, err := Load(nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	empty, _, err := overlays(t, nil, nil, "", "{}")
	if err != nil || !equal(none, empty) || reflect.DeepEqual(none, mustLoad(t, "", "train.seed=1")) {
		t.Errorf("%+v, %v", empty, err)
	}
}
