package config

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func mustLoad(t *testing.T, text string, overrides ...string) *Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load([]string{path}, overrides, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// equal ignores where the values came from.
func equal(a, b *Config) bool {
	x, y := *a, *b
	x.where, y.where, x.from, y.from = nil, nil, nil, nil
	return reflect.DeepEqual(x, y)
}

func checkRoundTrip(t *testing.T, c *Config) {
	t.Helper()
	text, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	if again := mustLoad(t, string(text)); !equal(c, again) {
		t.Errorf("loading what was written\n%s\ngives %+v, want %+v", text, again, c)
	}
}

func TestDefaultsAreGolden(t *testing.T) {
	c, err := Load(nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/defaults.golden.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// full.yaml, for their tasks and methods full-custom.yaml, full-append.yaml, full-adalora.yaml and full-several.yaml, set every key to something other than
// its default.
func TestRoundTrip(t *testing.T) {
	full, err := Load([]string{"testdata/full.yaml"}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	custom, err := Load([]string{"testdata/full-custom.yaml"}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	appended, err := Load([]string{"testdata/full-append.yaml"}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	falling, err := Load([]string{"testdata/full-adalora.yaml"}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	several, err := Load([]string{"testdata/full-several.yaml"}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defaults := mustLoad(t, "")
	set := readFile("testdata/full.yaml").values
	maps.Copy(set, readFile("testdata/full-custom.yaml").values)
	maps.Copy(set, readFile("testdata/full-append.yaml").values)
	maps.Copy(set, readFile("testdata/full-adalora.yaml").values)
	for name, value := range readFile("testdata/full-several.yaml").values {
		set[strings.Replace(name, "tasks.cola.", "tasks.<task>.", 1)] = value
	}
	for _, key := range Keys() {
		byDefault, problem := key.parse(key.Default)
		if problem != "" {
			t.Fatalf("default of %s: %s", key.Name, problem)
		}
		if value, ok := set[key.Name]; !ok || reflect.DeepEqual(value, byDefault) {
			t.Errorf("all leave %s at its default", key.Name)
		}
	}
	for _, c := range []*Config{
		full,
		custom,
		appended,
		falling,
		several,
		defaults,
		mustLoad(t, "", "run.dir=true", "model.path=1e3", "data.glue= #x: y", "train.lr=1e-300"),
		mustLoad(t, "", "train.checkpoint_every=never", "adapter.method=metatt5d"),
		mustLoad(t, "adapter: {rank: 3}", "adapter.ranks=8,6,4"),
		mustLoad(t, "", "adapter.task_after=in", "adapter.ranks=8,6,4,5"),
		mustLoad(t, "", "task=rte,MRPC", "train.mixture=1.5", "train.eval_every=7"),
		mustLoad(t, "", "task=[rte, mrpc, wnli]", "train.mixture=uniform", "tasks.rte.lr=null"),
		mustLoad(t, "", "tasks.MRPC.weight=2"),
		mustLoad(t, "", "run.dir=null", "model.path=~", "adapter.init_from=é 語"),
	} {
		checkRoundTrip(t, c)
	}
}

func TestPrecedence(t *testing.T) {
	const file = "train: {lr: 2, seed: 2, epochs: 2}\n"
	env := map[string]string{"METATT_TRAIN_SEED": "3", "METATT_TRAIN_EPOCHS": "3", "METATT_TRAIN_LR": "", "METATT_MODEL_DROPOUT": "0.5"}
	path := filepath.Join(t.TempDir(), "run.yaml")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load([]string{path}, []string{"train.epochs=9", "train.epochs=4", "model.dropout=null"}, func(name string) (string, bool) {
		text, ok := env[name]
		return text, ok
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.Train.LR != 2 || c.Train.Seed != 3 || c.Train.Epochs != 4 || c.Train.BatchSize != 32 || c.Model.Dropout != nil {
		t.Errorf("got %+v, dropout %v", c.Train, c.Model.Dropout)
	}
	for key, want := range map[string]bool{"train.epochs": true, "model.dropout": true, "train.seed": false, "train.lr": false, "train.batch_size": false} {
		if c.Overrides(key) != want {
			t.Errorf("Overrides(%s) = %v", key, !want)
		}
	}
}

func TestReportsEverySource(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.yaml")
	if err := os.WriteFile(path, []byte("train:\n  lr: -1\nadapter:\n  method: metatt5d\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// The -1 of the file is reported although the command line replaces it.
	_, err := Load([]string{path}, []string{"train.lr=1", "lr=1", "train", "train=1", "a\x1b=1", "adapter.init=ze-id-id-id"}, func(name string) (string, bool) {
		if name == "METATT_TRAIN_SEED" {
			return "x", true
		}
		return "", false
	})
	want := strings.Join([]string{
		path + `:2: train.lr: -1 is out of range; must be > 0`,
		`METATT_TRAIN_SEED: train.seed: "x" is not an integer`,
		`command line: lr: unknown key; did you mean train.lr?`,
		`command line: "train" is not of the form key=value`,
		`command line: train: is a section: set a key in it, such as train.epochs`,
		`command line: "a\x1b": unknown key`,
		`command line: adapter.init: "ze-id-id-id" is for 4 cores; metatt5d has 5`,
	}, "\n")
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestValueForms(t *testing.T) {
	for _, test := range []struct {
		file, override string
		got            func(*Config) any
		want           any
	}{
		{"adapter: {targets: [value, ffn_up]}", "adapter.targets=value, ffn_up", func(c *Config) any { return c.Adapter.Targets }, []string{"value", "ffn_up"}},
		{"adapter:\n  targets: value,query", "adapter.targets=value,query", func(c *Config) any { return c.Adapter.Targets }, []string{"value", "query"}},
		{"adapter: {targets: all}", "adapter.targets=all", func(c *Config) any { return c.Adapter.Targets }, []string{"query", "key", "value", "output", "ffn_up", "ffn_down"}},
		{"adapter: {targets: [all]}", "adapter.targets=all", func(c *Config) any { return len(c.Adapter.Targets) }, 6},
		{"task: STS-B", "task=STSB", func(c *Config) any { return c.Task() }, "stsb"},
		{"task: 'Sst2'", "task=sst-2", func(c *Config) any { return c.Task() }, "sst2"},
		{"task: [MRPC, sst-2]", "task=mrpc, SST-2", func(c *Config) any { return c.Tasks }, Tasks{"mrpc", "sst2"}},
		{"task: [rte]", "task=[rte]", func(c *Config) any { return c.Tasks }, Tasks{"rte"}},
		{"task: mrpc,rte", "task=[mrpc,rte]", func(c *Config) any { return c.Tasks }, Tasks{"mrpc", "rte"}},
		{"task: [mrpc, sst2]\ntrain: {best_metric: SST-2}", "train.best_metric=", func(c *Config) any { return len(c.Tasks) == 2 && c.Train.BestMetric == "sst2" || len(c.Tasks) == 1 }, true},
		{"train: {eval_every: 7}", "train.eval_every=7", func(c *Config) any { return c.Train.EvalEvery }, Interval{Steps: 7}},
		{"train: {head_lr: null}", "train.head_lr=null", func(c *Config) any { return c.Train.HeadLR == nil }, true},
		{"model: {path: 2024}", "model.path=2024", func(c *Config) any { return c.Model.Path }, "2024"},
		{"model: {path: a=b}", "model.path=a=b", func(c *Config) any { return c.Model.Path }, "a=b"},
		{"model: {dropout: 0}", "model.dropout=0", func(c *Config) any { return *c.Model.Dropout }, 0.0},
		{"train: {lr: 1e-3}", "train.lr=.001", func(c *Config) any { return c.Train.LR }, 0.001},
		{"train: {checkpoint_every: 7}", "train.checkpoint_every=7", func(c *Config) any { return c.Train.CheckpointEvery }, Interval{Steps: 7}},
		{"train: {checkpoint_every: never}", "train.checkpoint_every=never", func(c *Config) any { return c.Train.CheckpointEvery }, Interval{}},
		{"train: {checkpoint_every: epoch}", "train.checkpoint_every=epoch", func(c *Config) any { return c.Train.CheckpointEvery }, Interval{Epoch: true}},
		{"device: cuda:3", "device=cuda:3", func(c *Config) any { return c.Device }, "cuda:3"},
		{"data: {shuffle: false}", "data.shuffle=false", func(c *Config) any { return c.Data.Shuffle }, false},
		{"train: {best_metric: ''}", "train.best_metric=", func(c *Config) any { return c.Train.BestMetric }, ""},
		{"adapter: {method: metatt5d}", "adapter.method=metatt5d", func(c *Config) any { return c.Adapter.Setting("init") }, "or-id-id-id-ze"},
		{"adapter: {method: lora}", "adapter.method=lora", func(c *Config) any { return c.Adapter.Setting("init") }, ""},
		{"adapter: {ranks: [8, 6, 4]}", "adapter.ranks=8,6,4", func(c *Config) any { return c.Adapter.Setting("ranks") }, []int{8, 6, 4}},
		{"adapter: {ranks: [8, 6, 4]}", "adapter.ranks=8,6,4", func(c *Config) any { return c.Adapter.Rank }, 8},
		{"adapter: {ranks: [8, 6, 4]}", "adapter.ranks=[8,6, 4]", func(c *Config) any { return c.Adapter.Setting("ranks") }, []int{8, 6, 4}},
		{"adapter: {ranks: []}", "adapter.ranks=[]", func(c *Config) any { return c.Adapter.Setting("ranks") }, []int{}},
		{"adapter: {targets: ['query', \"value\"]}", "adapter.targets= ['query', \"value\"] ", func(c *Config) any { return c.Adapter.Targets }, []string{"query", "value"}},
		{"adapter: {targets: [all]}", "adapter.targets=[all]", func(c *Config) any { return len(c.Adapter.Targets) }, 6},
		{"adapter: {ranks: []}", "adapter.ranks=", func(c *Config) any { return c.Adapter.Setting("ranks") }, []int{}},
		{"adapter: {task_after: layer}", "adapter.task_after=layer", func(c *Config) any { return c.Adapter.Setting("init") }, "ze-id-id-id-id"},
		{"adapter: {init: or-ze-no-id}", "adapter.init=or-ze-no-id", func(c *Config) any { return c.Adapter.Setting("init") }, "or-ze-no-id"},
	} {
		if got := test.got(mustLoad(t, test.file)); !reflect.DeepEqual(got, test.want) {
			t.Errorf("file %s: got %v, want %v", test.file, got, test.want)
		}
		if got := test.got(mustLoad(t, "", test.override)); !reflect.DeepEqual(got, test.want) {
			t.Errorf("override %s: got %v, want %v", test.override, got, test.want)
		}
	}
}

func TestAgrees(t *testing.T) {
	recorded := mustLoad(t, "", "train.lr=2", "model.dropout=0", "run.dir=runs/a", "train.seed=7")
	for _, given := range []*Config{
		mustLoad(t, ""), // says nothing
		recorded,
		mustLoad(t, "train: {lr: 2.0}\nmodel: {dropout: 0.0}", "adapter.targets=query,value"),
		mustLoad(t, "run: {dir: elsewhere}"),
		mustLoad(t, "adapter: {rank: 3, init_from: ''}", "adapter.rank=8"),
	} {
		if err := given.Agrees(recorded); err != nil {
			t.Error(err)
		}
	}
	given := mustLoad(t, "train:\n  lr: 1\n  seed: 7\n  checkpoint_every: 3\n", "adapter.targets=query", "model.dropout=0.5")
	path := given.where["train.seed"][:len(given.where["train.seed"])-2]
	err := given.Agrees(recorded)
	want := strings.Join([]string{
		"command line: model.dropout: 0.5 here, 0 in the run: a run keeps its configuration",
		"command line: adapter.targets: [query] here, [query value] in the run: a run keeps its configuration",
		path + ":2: train.lr: 1 here, 2 in the run: a run keeps its configuration",
		path + ":4: train.checkpoint_every: 3 here, epoch in the run: a run keeps its configuration",
	}, "\n")
	var configError *Error
	if !errors.As(err, &configError) || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	several := mustLoad(t, "", "task=mrpc,rte", "tasks.rte.weight=2")
	if err := mustLoad(t, "task: [mrpc, rte]\ntasks: {rte: {weight: 2, lr: null}, mrpc: {weight: 1}}").Agrees(several); err != nil {
		t.Error(err)
	}
	err = mustLoad(t, "", "task=rte,mrpc", "tasks.rte.weight=3", "tasks.mrpc.limit=5", "train.mixture=sqrt").Agrees(several)
	want = strings.Join([]string{
		"command line: task: [rte mrpc] here, [mrpc rte] in the run: a run keeps its configuration",
		"command line: tasks.mrpc.limit: 5 here, null in the run: a run keeps its configuration",
		"command line: tasks.rte.weight: 3 here, 2 in the run: a run keeps its configuration",
		"command line: train.mixture: sqrt here, size in the run: a run keeps its configuration",
	}, "\n")
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if err := mustLoad(t, "", "model.dropout=0").Agrees(mustLoad(t, "")); err == nil || !strings.Contains(err.Error(), "0 here, null in the run") {
		t.Errorf("got %v", err)
	}

	// What a saved adapter decided stands in the run's configuration; the file's values never counted.
	recorded = mustLoad(t, "", "adapter.init_from=saved", "adapter.rank=4")
	if err := mustLoad(t, "adapter: {rank: 8, init_from: saved}").Agrees(recorded); err != nil {
		t.Error(err)
	}
	appended := mustLoad(t, "", "adapter.append.to=saved", "adapter.rank=4")
	if err := mustLoad(t, "adapter: {rank: 8, append: {to: saved}}").Agrees(appended); err != nil {
		t.Error(err)
	}
	if err := mustLoad(t, "adapter: {append: {to: saved, grow: 1}}").Agrees(appended); err == nil {
		t.Error("another growth agrees")
	}
	for _, overrides := range [][]string{{"adapter.rank=8"}, {"adapter.init_from=other"}} {
		if err := mustLoad(t, "adapter: {init_from: saved}", overrides...).Agrees(recorded); err == nil {
			t.Errorf("%v agrees", overrides)
		}
	}
}

// A run records what auto came to, and where relative paths led; whoever gives the same again agrees.
func TestAgreesWithWhatTheRunCameTo(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	recorded := mustLoad(t, "", "device=cuda:0", "model.dtype=bf16", "model.path="+here+"/model", "data.glue="+here+"/glue", "adapter.init_from="+here+"/saved")
	for _, given := range []*Config{
		mustLoad(t, "device: auto\nmodel: {dtype: auto, path: model}\ndata: {glue: ../config/glue}\nadapter: {init_from: ./saved}\n"),
		mustLoad(t, "device: cuda\ndata: {glue: ''}\n"),
	} {
		if err := given.Agrees(recorded); err != nil {
			t.Error(err)
		}
	}
	for _, override := range []string{"device=cpu", "device=cuda:1", "model.path=other", "model.path=minilm", "data.glue=../glue"} {
		if err := mustLoad(t, "", override).Agrees(recorded); err == nil {
			t.Errorf("%s agrees", override)
		}
	}
}

// adapter.ranks take the place of a rank below them; one above them would be without effect.
func TestRankBesideRanks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.yaml")
	if err := os.WriteFile(path, []byte("adapter: {ranks: [8, 6, 4]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load([]string{path}, []string{"adapter.rank=5"}, nil)
	if want := "command line: adapter.rank: 5 stands beside adapter.ranks [8 6 4], which take its place: leave one of them out (adapter.ranks= empties the list)"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if c, err := Load([]string{path}, []string{"adapter.rank=5", "adapter.ranks="}, nil); err != nil || c.Adapter.Rank != 5 || len(c.Adapter.Setting("ranks").([]int)) != 0 {
		t.Errorf("emptied: %v, %v", c, err)
	}
}

// One list must not be shared between configurations, nor with the schema.
func TestListsAreNotShared(t *testing.T) {
	first := mustLoad(t, "", "adapter.targets=all")
	first.Adapter.Targets[0] = "spoilt"
	mustLoad(t, "").Adapter.Targets[0] = "spoilt"
	if c := mustLoad(t, "", "adapter.targets=all"); c.Adapter.Targets[0] != "query" {
		t.Errorf("got %v", c.Adapter.Targets)
	}
}

// The names and defaults that issues, papers and other programs rely on.
func TestKeys(t *testing.T) {
	var names []string
	for _, key := range Keys() {
		names = append(names, key.Name)
		if key.Doc == "" || key.Type == "" {
			t.Errorf("%s lacks type or meaning", key.Name)
		}
		if strings.ToLower(key.Name) != key.Name {
			t.Errorf("%s: viper ignores case, so keys are lower case", key.Name)
		}
	}
	for _, name := range []string{"model.path", "model.dtype", "model.dropout", "task", "data.glue", "data.shuffle", "data.max_length",
		"adapter.method", "adapter.rank", "adapter.alpha", "adapter.dropout", "adapter.targets", "adapter.init", "adapter.init_from",
		"adapter.ranks", "adapter.task_after", "adapter.append.to", "adapter.append.start", "adapter.append.grow", "adapter.adalora.initial_rank", "adapter.adalora.hold", "adapter.adalora.settle", "adapter.adalora.every",
		"train.epochs", "train.max_steps", "train.batch_size", "train.lr", "train.seed", "train.warmup", "train.schedule",
		"train.weight_decay", "train.clip_norm", "dmrg.mode", "dmrg.at", "dmrg.maxdim", "dmrg.mindim", "dmrg.cutoff", "dmrg.budget",
		"dmrg.balance", "dmrg.moments", "dmrg.tol", "run.dir"} {
		if !slices.Contains(names, name) {
			t.Errorf("no key %s", name)
		}
	}
	c := mustLoad(t, "")
	if c.Train.WeightDecay != 0 || c.Train.ClipNorm != 1 || c.Train.Beta1 != 0.9 || c.Train.Beta2 != 0.999 || c.Train.Eps != 1e-8 ||
		c.Adapter.Setting("init") != "ze-id-id-id" || !slices.Equal(c.Adapter.Targets, []string{"query", "value"}) {
		t.Errorf("defaults: %+v", c)
	}
}

func TestReadyConfigurations(t *testing.T) {
	files, err := filepath.Glob("../../configs/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, path := range files {
		c, err := Load([]string{path}, nil, nil)
		if err != nil {
			t.Error(err)
			continue
		}
		checkRoundTrip(t, c)
	}
}

// Brackets are YAML's, and hold what a file's may hold.
func TestBrackets(t *testing.T) {
	if c := mustLoad(t, "dmrg: {mode: paper, maxdim: [4, 2]}", "dmrg.at=[1,2]"); !slices.Equal(c.DMRG.At, []int{1, 2}) {
		t.Errorf("dmrg.at is %v", c.DMRG.At)
	}
	for override, want := range map[string]string{
		"adapter.targets=[query, valu]":  `command line: adapter.targets: "valu" is unknown; did you mean value?`,
		"adapter.targets=[query, query]": `command line: adapter.targets: "query" is listed twice`,
		"adapter.ranks=[8, 6":            `command line: adapter.ranks: "[8, 6" is no list as YAML writes it; write [A, B] or A,B`,
		"adapter.ranks=[8, 6] 4":         `command line: adapter.ranks: "[8, 6] 4" is no list as YAML writes it; write [A, B] or A,B`,
		"adapter.ranks=[1]\n--- [2]":     `command line: adapter.ranks: "[1]\n--- [2]" is no list as YAML writes it; write [A, B] or A,B`,
		"adapter.ranks=[[8], 6]":         `command line: adapter.ranks: expected list of integers >= 1, found a list in it`,
		"adapter.ranks=['8', 6]":         `command line: adapter.ranks: expected list of integers >= 1, found the text "8" in it`,
		"adapter.ranks=[a: 8]":           `command line: adapter.ranks: expected list of integers >= 1, found keys and values in it`,
		"adapter.rank=[8]":               `command line: adapter.rank: "[8]" is not an integer`,
	} {
		if _, err := Load(nil, []string{override}, nil); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", override, err, want)
		}
	}
}

// The rank of loretta-adp is a bottleneck's width, with a default of its own; a
// rank that is given anywhere counts.
func TestDefaultBottleneck(t *testing.T) {
	for want, c := range map[int]*Config{
		8:  mustLoad(t, "adapter: {method: loretta-rep}"),
		64: mustLoad(t, "adapter: {method: loretta-adp}"),
		6:  mustLoad(t, "adapter: {method: loretta-adp, rank: 6}"),
		5:  mustLoad(t, "adapter: {rank: 5}", "adapter.method=loretta-adp"),
	} {
		if c.Adapter.Rank != want {
			t.Errorf("rank %d of %s, want %d", c.Adapter.Rank, c.Adapter.Method, want)
		}
	}
}
