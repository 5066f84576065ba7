package convert_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/adapter/factored"
	"github.com/metatt/metatt/pkg/convert"
	"github.com/metatt/metatt/pkg/metatt"
	"github.com/metatt/metatt/pkg/models"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/predict"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/run/runtest"
	"github.com/metatt/metatt/pkg/safetensors"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/torch/torchtest"
)

// tinyModel loads a model with a fixed batch.
func tinyModel(t *testing.T, dir string) runtest.FixedBatch {
	t.Helper()
	m, err := models.Load(dir, encoder.Options{Labels: 2, DType: torch.Float32, Device: torch.CPU, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Free)
	return runtest.FixedBatch{Model: m}
}

// saveDisturbed saves an adapter no tensor of which is zero, with the model's
// head under names of that prefix, and returns the model's logits under it.
func saveDisturbed(t *testing.T, dir string, a adapter.Adapter, model runtest.FixedBatch, config adapter.Config, task int) (logits []float64) {
	t.Helper()
	if err := adapter.Bind(a, model); err != nil {
		t.Fatal(err)
	}
	torchtest.Compute(t, func() {
		torch.Seed(9)
		torch.NoGrad(func() {
			for _, p := range a.Parameters() {
				p.Tensor.AddInPlace(torch.Randn(torch.Float32, torch.CPU, p.Tensor.Shape()...).MulScalar(0.2))
			}
		})
		logits = logitsUnder(model, a, task)
	})
	stored := adapter.StoredHead(config, model.Head())
	if len(config.Tasks) > 1 {
		stored = nil
		for _, task := range config.Tasks {
			for _, p := range model.Head() {
				stored = append(stored, adapter.Parameter{Name: "heads." + task + "." + p.Name, Tensor: p.Tensor})
			}
		}
	}
	if err := adapter.Save(dir, config, slices.Concat(adapter.State(a), stored)); err != nil {
		t.Fatal(err)
	}
	return logits
}

func logitsUnder(model runtest.FixedBatch, a adapter.Adapter, task int) (logits []float64) {
	torch.NoGrad(func() {
		logits = torchtest.Values(model.Logits(a.Begin(adapter.Step{DType: torch.Float32, Task: task})))
	})
	return logits
}

// checkExported opens an export on a fresh model: everything in it is used, and
// the logits are those.
func checkExported(t *testing.T, dir, modelDir string, want []float64) adapter.Config {
	t.Helper()
	saved, err := adapter.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer saved.Close()
	model := tinyModel(t, modelDir)
	a, _, err := saved.PutOn(model, "", torch.CPU)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Free()
	torchtest.Compute(t, func() {
		torchtest.Close(t, "logits", logitsUnder(model, a, 0), want, torchtest.Default)
	})
	return saved.Config
}

// Every method whose updates are products of two thin matrices is exported as a
// LoRA with the same logits; every other says why not.
func TestExportOfEveryMethod(t *testing.T) {
	for family, modelDir := range map[string]string{"bert": "testdata/tiny-bert", "roberta": runtest.TinyRoBERTa(t)} {
		for _, method := range adapter.Methods() {
			for _, targets := range [][]adapter.Kind{
				{adapter.Query, adapter.Value}, {adapter.FFNDown, adapter.Key}, {adapter.Output}, {adapter.FFNUp}, adapter.Kinds(),
			} {
				t.Run(fmt.Sprint(family, "/", method.Name, "/", targets), func(t *testing.T) {
					model := tinyModel(t, modelDir)
					a, err := method.New(adapter.Spec{
						Architecture: model.Architecture(), Targets: targets, Rank: 2, Alpha: min(method.Alpha(), 4), Seed: 5, Device: torch.CPU,
					})
					if err != nil {
						t.Fatal(err)
					}
					defer a.Free()
					config := a.Config()
					config.Tasks, config.Labels, config.MaxLength = []string{"MRPC"}, map[string][]string{"MRPC": {"0", "1"}}, 77
					dir, out := t.TempDir(), filepath.Join(t.TempDir(), "lora")
					want := saveDisturbed(t, dir, a, model, config, 0)
					exported, err := convert.Export(t.Context(), convert.ExportOptions{Dir: dir, Out: out})
					if _, factored := a.(adapter.Factored); !factored {
						if err == nil || !strings.Contains(err.Error(), method.Name+" is no LoRA: ") {
							t.Errorf("not refused: %v", err)
						}
						if _, err := os.Stat(out); err == nil {
							t.Error("it left a folder")
						}
						return
					}
					if err != nil {
						t.Fatal(err)
					}
					if exported.Method != method.Name || exported.Task != "MRPC" || exported.Layers != model.Architecture().Layers || len(exported.Targets) != len(targets) {
						t.Errorf("says %+v", exported)
					}
					c := checkExported(t, out, modelDir, want)
					if c.Method != "lora" || !slices.Equal(c.Tasks, config.Tasks) || !slices.Equal(c.Labels["MRPC"], config.Labels["MRPC"]) || c.MaxLength != 77 {
						t.Errorf("described as %+v", c)
					}
				})
			}
		}
	}
}

// The reasons name what to do instead.
func TestExportSaysWhyNot(t *testing.T) {
	model := tinyModel(t, "testdata/tiny-bert")
	for method, want := range map[string]string{
		"dora":        "its updates are not products of two thin matrices; merge it instead",
		"full":        "it trains tensors of the backbone itself; merge it instead",
		"bitfit":      "it trains tensors of the backbone itself; merge it instead",
		"head":        "it changes no weight of the backbone",
		"loretta-adp": "ReLU between two matrices",
	} {
		m, err := adapter.Lookup(method)
		if err != nil {
			t.Fatal(err)
		}
		a, err := m.New(adapter.Spec{Architecture: model.Architecture(), Targets: []adapter.Kind{adapter.Query}, Rank: 2, Alpha: 1, Device: torch.CPU})
		if err != nil {
			t.Fatal(err)
		}
		if err := adapter.CheckConvertible(a); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", method, err)
		}
		a.Free()
	}
}

// Each matrix gets the rank that its update has, by facts of the methods.
func TestExportedRanks(t *testing.T) {
	const modelDir = "testdata/tiny-bert"
	model := tinyModel(t, modelDir)
	for _, c := range []struct {
		method  string
		targets []adapter.Kind
		spec    adapter.Spec
		want    map[adapter.Kind]int64
	}{
		// Bonds of different ranks: an attention matrix has the smallest, blocks of
		// output columns those before the matrix core, of input rows the last.
		{"metatt4d", adapter.Kinds(), adapter.Spec{Settings: metatt.Settings{Ranks: []int{6, 5, 3}, Init: "no-no-no-ze"}},
			map[adapter.Kind]int64{adapter.Query: 3, adapter.Output: 3, adapter.FFNUp: 5, adapter.FFNDown: 3}},
		{"metatt4d", adapter.Kinds(), adapter.Spec{Settings: metatt.Settings{Ranks: []int{2, 5, 4}, Init: "no-no-no-ze"}},
			map[adapter.Kind]int64{adapter.Query: 2, adapter.FFNUp: 2, adapter.FFNDown: 4}},
		{"metatt5d", []adapter.Kind{adapter.Query, adapter.FFNDown}, adapter.Spec{Settings: metatt.Settings{Ranks: []int{4, 3, 5, 2}, Init: "no-no-no-no-ze"}},
			map[adapter.Kind]int64{adapter.Query: 3, adapter.FFNDown: 5}},
		{"lora", adapter.Kinds(), adapter.Spec{Rank: 5}, map[adapter.Kind]int64{adapter.Query: 5, adapter.FFNUp: 5}},
		{"cp4d", adapter.Kinds(), adapter.Spec{Rank: 7}, map[adapter.Kind]int64{adapter.Query: 7, adapter.FFNDown: 7}},
		// Above the matrix's own rank there is nothing to store.
		{"cp4d", adapter.Kinds(), adapter.Spec{Rank: 17}, map[adapter.Kind]int64{adapter.Query: 12, adapter.FFNUp: 12, adapter.FFNDown: 12}},
		{"vera", adapter.Kinds(), adapter.Spec{Rank: 19}, map[adapter.Kind]int64{adapter.Query: 12, adapter.FFNUp: 12, adapter.FFNDown: 12}},
		{"fact-tk", adapter.Kinds(), adapter.Spec{Rank: 4}, map[adapter.Kind]int64{adapter.Query: 4, adapter.FFNUp: 4}},
		{"tenslora", adapter.Kinds(), adapter.Spec{Rank: 5, Settings: factored.ModeRankSettings{Ranks: []int{5, 3, 4, 2}}},
			map[adapter.Kind]int64{adapter.Query: 3, adapter.Output: 3, adapter.FFNUp: 5, adapter.FFNDown: 3}},
		{"tenslora", adapter.Kinds(), adapter.Spec{Rank: 4}, map[adapter.Kind]int64{adapter.Query: 4, adapter.FFNUp: 4}},
		{"loretta-rep", []adapter.Kind{adapter.Key}, adapter.Spec{Rank: 4, Settings: factored.TensorTrainSettings{TTRank: 2}}, map[adapter.Kind]int64{adapter.Key: 2}},
		{"tt-lora", []adapter.Kind{adapter.Value, adapter.FFNUp}, adapter.Spec{Rank: 3}, map[adapter.Kind]int64{adapter.Value: 3, adapter.FFNUp: 3}},
	} {
		t.Run(fmt.Sprint(c.method, c.spec.Settings, c.spec.Rank), func(t *testing.T) {
			m, err := adapter.Lookup(c.method)
			if err != nil {
				t.Fatal(err)
			}
			c.spec.Architecture, c.spec.Targets, c.spec.Alpha, c.spec.Device = model.Architecture(), c.targets, min(m.Alpha(), 2), torch.CPU
			a, err := m.New(c.spec)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Free()
			dir, out := t.TempDir(), filepath.Join(t.TempDir(), "lora")
			want := saveDisturbed(t, dir, a, model, a.Config(), 0)
			exported, err := convert.Export(t.Context(), convert.ExportOptions{Dir: dir, Out: out})
			if err != nil {
				t.Fatal(err)
			}
			checkExported(t, out, modelDir, want)
			file, err := safetensors.Open(filepath.Join(out, adapter.WeightsFile))
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			for kind, rank := range c.want {
				name := adapter.PEFTPrefix + model.Architecture().Module(model.Architecture().Site(1, kind)) + ".lora_A.weight"
				info, _ := file.Info(name)
				if len(info.Shape) != 2 || info.Shape[0] != rank {
					t.Errorf("%s has shape %v, want rank %d", name, info.Shape, rank)
				}
				if rank < exported.Lowest || rank > exported.Highest {
					t.Errorf("said to be of ranks %d to %d", exported.Lowest, exported.Highest)
				}
			}
		})
	}
}

// Of an adapter with a task mode, one task's updates and head are exported.
func TestExportOfATask(t *testing.T) {
	const modelDir = "testdata/tiny-bert"
	model := tinyModel(t, modelDir)
	m, err := adapter.Lookup("metatt4d")
	if err != nil {
		t.Fatal(err)
	}
	a, err := m.New(adapter.Spec{
		Architecture: model.Architecture(), Targets: []adapter.Kind{adapter.Value, adapter.FFNUp}, Settings: metatt.Settings{Ranks: []int{4, 5, 3, 2}, Init: "no-no-no-no-ze"},
		Tasks: []string{"CoLA", "MRPC"}, Alpha: 1, Device: torch.CPU,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Free()
	config := a.Config()
	config.Labels = map[string][]string{"MRPC": {"0", "1"}}
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "lora")
	want := saveDisturbed(t, dir, a, model, config, 1)
	for task, message := range map[string]string{
		"": "the adapter has the tasks CoLA, MRPC, and a LoRA is for one: choose it by --task", "RTE": `no task "RTE"; it has CoLA, MRPC`,
	} {
		if _, err := convert.Export(t.Context(), convert.ExportOptions{Dir: dir, Out: out, Task: task}); err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("task %q: %v", task, err)
		}
	}
	if _, err := convert.Export(t.Context(), convert.ExportOptions{Dir: dir, Out: out, Task: "MRPC"}); err != nil {
		t.Fatal(err)
	}
	if c := checkExported(t, out, modelDir, want); !slices.Equal(c.Tasks, []string{"MRPC"}) {
		t.Errorf("tasks %v", c.Tasks)
	}
	if _, err := convert.Export(t.Context(), convert.ExportOptions{Dir: dir, Out: out, Task: "MRPC"}); err == nil || !strings.Contains(err.Error(), out+" exists already") {
		t.Errorf("onto a folder that is there: %v", err)
	}
}

// A run is exported by its best adapter, and the export predicts as it does.
func TestExportOfARun(t *testing.T) {
	summary, err := run.Train(t.Context(), runtest.Tiny(t, "adapter.method=adalora", "adapter.rank=1", "adapter.targets=query,ffn_down", "train.max_steps=6", "adapter.adalora.every=1", "train.lr=0.05"))
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "lora")
	if _, err := convert.Export(t.Context(), convert.ExportOptions{Dir: summary.RunDir, Out: out}); err != nil {
		t.Fatal(err)
	}
	evaluated := func(dir string) string {
		e, err := predict.Evaluate(t.Context(), predict.EvalOptions{Dir: dir, GLUE: "testdata/glue"})
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(e.Splits[0].Metrics)
	}
	if got, want := evaluated(out), evaluated(summary.RunDir); got != want {
		t.Errorf("the export is judged %s, the run's adapter %s", got, want)
	}
}
