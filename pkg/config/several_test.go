package config

import (
	"math"
	"os"
	"strings"
	"testing"
)

// A task's settings come from the file, the environment and the command line, each key on its own.
func TestSettingsOfTasks(t *testing.T) {
	path := t.TempDir() + "/run.yaml"
	write(t, path, "task: [mrpc, rte, STS-B, cola]\ntasks:\n  rte: {lr: 0.5, weight: 3}\n  mrpc:\n  stsb: {limit: 0}\ndata: {limit: 9, train_limit: 8}\ntrain: {lr: 2, seed: 3}\n")
	env := map[string]string{"METATT_TASKS_RTE_WEIGHT": "4", "METATT_TASKS_COLA_WEIGHT": "0.5", "METATT_TASKS_MRPC_LR": ""}
	c, err := Load([]string{path}, []string{"tasks.rte.limit=7", "tasks.sts-b.weight=2"}, func(name string) (string, bool) { text, ok := env[name]; return text, ok })
	if err != nil {
		t.Fatal(err)
	}
	for task, want := range map[string]struct {
		lr, weight float64
		train, dev int
	}{"mrpc": {2, 1, 8, 9}, "rte": {0.5, 4, 7, 7}, "stsb": {2, 2, 0, 0}, "cola": {2, 0.5, 8, 9}} {
		if got := c.Settings(task); *got.LR != want.lr || got.Weight != want.weight {
			t.Errorf("%s: %v, %v, want %v", task, *got.LR, got.Weight, want)
		}
		train, seed := c.Drawn(task, true)
		if dev, _ := c.Drawn(task, false); train != want.train || dev != want.dev || seed != 3 {
			t.Errorf("%s: %d and %d examples by seed %d, want %v", task, train, dev, seed, want)
		}
	}
	none, own := 0, 5
	c.Data.TrainLimit, c.Data.LimitSeed = &none, &own
	if limit, seed := c.Drawn("mrpc", true); limit != 0 || seed != 5 {
		t.Errorf("%d examples by seed %d: a training limit of 0 is all, limit_seed stands over train.seed", limit, seed)
	}
	headLR := 0.25
	if c.Train.HeadLR = &headLR; *c.Settings("mrpc").LR != headLR || *c.Settings("rte").LR != 0.5 {
		t.Error("train.head_lr is not between train.lr and a task's own")
	}
	if !c.Overrides("tasks.stsb.weight") || c.Overrides("tasks.rte.weight") {
		t.Error("the place of a task's setting is lost")
	}
	checkRoundTrip(t, mustLoad(t, "task: [mrpc, rte]", "tasks.rte.limit=7"))
}

// A run of one task is written as ever; what tasks have for themselves only where some do.
func TestResolvedTasks(t *testing.T) {
	for _, test := range []struct{ overrides, want string }{
		{"task=rte", "task: rte\nmodel:"},
		{"task=[rte]", "task: rte\nmodel:"},
		{"task=rte,cola tasks.cola.weight=2", "task: [rte, cola]\ntasks:\n  cola:\n    lr: null\n    weight: 2\n    limit: null\nmodel:"},
		{"task=rte,cola train.mixture=3", "  mixture: 3\n"},
		{"task=rte,cola train.mixture=2", "  mixture: sqrt\n"},
	} {
		text, err := mustLoad(t, "", strings.Fields(test.overrides)...).YAML()
		if err != nil || !strings.Contains(string(text), test.want) {
			t.Errorf("%s: %v, no %q in\n%s", test.overrides, err, test.want, text)
		}
	}
}

func TestMixture(t *testing.T) {
	for text, want := range map[string]Mixture{
		"size": {Temperature: 1}, "1": {Temperature: 1}, "sqrt": {Temperature: 2}, "uniform": {Temperature: math.Inf(1)},
		"round-robin": {RoundRobin: true}, "2.5": {Temperature: 2.5},
	} {
		if c := mustLoad(t, "task: [mrpc, rte]\ntrain: {mixture: "+text+"}"); c.Train.Mixture != want {
			t.Errorf("%s is %+v, want %+v", text, c.Train.Mixture, want)
		}
	}
}

// Names that are a task's alone are no answer to a slip elsewhere.
func TestSuggestionsOfTasks(t *testing.T) {
	for name, want := range map[string]string{
		"train.weigth": "unknown key", "tasks.batch_size": "unknown key; did you mean train.batch_size?", "tasks.weight": "unknown key; did you mean tasks.<task>.weight?", "lr": "unknown key; did you mean train.lr?",
		"tasks.cola": "is a section: set a key in it, such as tasks.cola.lr", "tasks.SST-2": "is a section: set a key in it, such as tasks.sst2.lr",
		"tasks.SST-2.wait": "unknown key; did you mean tasks.sst2.weight?", "gradient_accumulation_steps": "unknown key; did you mean train.accumulate?",
	} {
		_, err := Load(nil, []string{name + "=1"}, nil)
		if err == nil || !strings.HasSuffix(err.Error(), ": "+want) {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
