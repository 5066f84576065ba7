package run_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/run/runtest"
	"github.com/metatt/metatt/pkg/safetensors"
)

// saved are PEFT's keys of the last adapter of a run.
func saved(t *testing.T, o run.Options) map[string]any {
	t.Helper()
	s, err := adapter.Read(filepath.Join(o.Config.Run.Dir, "adapter", "last"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	return s.Config.PEFT
}

// A share of steps with more digits than the adapter's folder keeps is the same after the run was resumed.
func TestScheduleOfAdaLoRAOutlivesTheProcess(t *testing.T) {
	keys := []string{"adapter.method=adalora", "adapter.rank=2", "train.max_steps=6", "train.eval_every=1", "train.lr=1e-2",
		"adapter.adalora.hold=0.3333333333333333", "adapter.adalora.settle=0.3333333333333333", "adapter.adalora.every=1"}
	whole, parts := tiny(t, keys...), tiny(t, keys...)
	if _, err := run.Train(t.Context(), whole); err != nil {
		t.Fatal(err)
	}
	interrupted(t, parts, 3)
	if _, err := run.Resume(t.Context(), parts.Config.Run.Dir, parts); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(metrics(t, whole.Config.Run.Dir), metrics(t, parts.Config.Run.Dir)) {
		t.Error("the resumed run took another course")
	}
}

// How a saved adapter is trained further is the run's to say, in a file as well as on the command line; what it does not
// say stays as it was. Where the ranks have fallen, that is said.
func TestTrainingOfASavedAdapter(t *testing.T) {
	first := tiny(t, "adapter.method=adalora", "adapter.rank=2", "adapter.dropout=0.1", "adapter.adalora.hold=0.4", "adapter.adalora.every=2", "train.max_steps=1")
	if _, err := run.Train(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file           string
		keys           []string
		dropout        float64
		hold, settle   float64
		fault          string
		recordedSettle string
	}{
		{dropout: 0.1, hold: 400_000, settle: 300_000, recordedSettle: "settle: 0.3"},
		{file: "adapter: {method: adalora, dropout: 0.5, adalora: {settle: 0.2}}", dropout: 0.5, hold: 400_000, settle: 200_000, recordedSettle: "settle: 0.2"},
		{keys: []string{"adapter.method=adalora", "adapter.dropout=0", "adapter.adalora.hold=0.25"}, dropout: 0, hold: 250_000, settle: 300_000, recordedSettle: "settle: 0.3"},
		{keys: []string{"adapter.method=adalora", "adapter.adalora.initial_rank=4"}, fault: "adapter.adalora.initial_rank"},
		{keys: []string{"adapter.method=adalora", "adapter.adalora.settle=0.7"}, fault: "leave no steps for ranks to fall"},
	} {
		keys := append([]string{"adapter.init_from=" + first.Config.Run.Dir, "train.max_steps=1"}, c.keys...)
		o := tiny(t, keys...)
		if c.file != "" {
			file := filepath.Join(runtest.Files(t, map[string]string{"over.yaml": c.file}), "over.yaml")
			var err error
			if o.Config, err = config.Load([]string{"testdata/tiny.yaml", file}, append(keys, "run.dir="+o.Config.Run.Dir), nil); err != nil {
				t.Fatal(err)
			}
		}
		_, err := run.Train(t.Context(), o)
		if c.fault != "" {
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%v: %v, want %s", c.keys, err, c.fault)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s %v: %v", c.file, c.keys, err)
		}
		if peft := saved(t, o); peft["lora_dropout"] != c.dropout || peft["tinit"] != c.hold || peft["tfinal"] != c.settle || peft["deltaT"] != 2. || peft["init_r"] != 3. {
			t.Errorf("%s %v: %v", c.file, c.keys, peft)
		}
		if record, err := os.ReadFile(filepath.Join(o.Config.Run.Dir, "config.yaml")); err != nil || !strings.Contains(string(record), c.recordedSettle) || !strings.Contains(string(record), "initial_rank: 0") {
			t.Errorf("%s %v: recorded %s (%v)", c.file, c.keys, record, err)
		}
	}
	fallen := tiny(t, "adapter.init_from="+first.Config.Run.Dir, "train.max_steps=10")
	if _, err := run.Train(t.Context(), fallen); err != nil {
		t.Fatal(err)
	}
	var said []string
	again := tiny(t, "adapter.init_from="+fallen.Config.Run.Dir, "train.max_steps=1")
	again.Observer = notes{texts: &said}
	if _, err := run.Train(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(said, "\n"); !strings.Contains(text, "have fallen already") {
		t.Errorf("not said: %s", text)
	}
}

// An adapter that was trained for another task, or on another model, is trained further with a word.
func TestStartOfAnotherRunIsSaid(t *testing.T) {
	first := tiny(t, "train.max_steps=1")
	if _, err := run.Train(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	trainedOn, err := filepath.Abs(first.Config.Model.Path)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := t.TempDir()
	if err := os.CopyFS(elsewhere, os.DirFS(first.Config.Model.Path)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		keys []string
		want []string
	}{
		{nil, nil},
		{[]string{"task=sample"}, []string{"sample goes on with the classifier of MRPC"}},
		{ownRun(reviews(t)), []string{"custom begins with outputs of its own: the classifier of MRPC", "newly initialised, in neither", "has shape [2 12] in the adapter"}},
		{[]string{"model.path=" + elsewhere}, []string{"was trained on " + trainedOn + ", the model of this run is " + elsewhere}},
	} {
		var said []string
		o := tiny(t, append([]string{"adapter.init_from=" + first.Config.Run.Dir}, c.keys...)...)
		o.Observer = notes{texts: &said}
		if _, err := run.Describe(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		text := strings.Join(said, "\n")
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("%v: %q is not said: %s", c.keys, want, text)
			}
		}
		if c.want == nil && (strings.Contains(text, "goes on with") || strings.Contains(text, "was trained on")) {
			t.Errorf("of the same task and model: %s", text)
		}
	}
}

// An adapter is trained further for a task with another number of outputs, as MNLI's for MRPC: updates stay, outputs are new.
func TestStartForOtherOutputs(t *testing.T) {
	first := tiny(t, "train.max_steps=3")
	if _, err := run.Train(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	second := tiny(t, ownRun(reviews(t), "adapter.init_from="+first.Config.Run.Dir, "train.max_steps=1", "train.lr=1e-12")...)
	summary, err := run.Train(t.Context(), second)
	if err != nil {
		t.Fatal(err)
	}
	open := func(dir string) []safetensors.Tensor {
		return tensorsOf(t, filepath.Join(dir, "adapter", "last", adapter.WeightsFile))
	}
	after := open(summary.RunDir)
	for i, before := range open(first.Config.Run.Dir) {
		if strings.Contains(before.Name, "classifier") {
			if got := after[i].Shape[0]; got != 3 || before.Shape[0] != 2 {
				t.Errorf("%s has %d outputs", before.Name, got)
			}
			continue
		}
		for k := 0; k < len(before.Data); k += 4 {
			of := func(data []byte) float64 {
				return float64(math.Float32frombits(binary.LittleEndian.Uint32(data[k:])))
			}
			if math.Abs(of(after[i].Data)-of(before.Data)) > 1e-6 {
				t.Fatalf("%s was not taken over", before.Name)
			}
		}
	}
}

// A row of zeros, as pruning leaves it, has no direction that DoRA could scale: it is no NaN.
func TestDoRAOfAPrunedRow(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pruned")
	if err := os.CopyFS(dir, os.DirFS(tinyBERT)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "model.safetensors")
	tensors := tensorsOf(t, path)
	for _, tensor := range tensors {
		if strings.HasSuffix(tensor.Name, "query.weight") {
			clear(tensor.Data[:4*tensor.Shape[1]])
		}
	}
	if err := safetensors.Write(path, tensors, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := run.Train(t.Context(), tiny(t, "adapter.method=dora", "model.path="+dir, "train.max_steps=3")); err != nil {
		t.Error(err)
	}
}

// VeRA's matrices are of the run's seed, which is read as it is written, however large.
func TestLargeSeedOfVeRA(t *testing.T) {
	const seed = "1764200000000000001"
	first := tiny(t, "adapter.method=vera", "train.seed="+seed, "train.max_steps=1")
	if _, err := run.Train(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	second := tiny(t, "adapter.init_from="+first.Config.Run.Dir, "train.max_steps=1")
	if _, err := run.Train(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(second.Config.Run.Dir, "adapter", "last", adapter.ConfigFile))
	if err != nil || !strings.Contains(string(text), `"projection_prng_key": `+seed) {
		t.Errorf("%s, %v", text, err)
	}
}

// A task that is appended in another format of numbers is so with a word: those before are judged in it too.
func TestAppendedInAnotherFormat(t *testing.T) {
	first := firstTask(t, "adapter.task_after=layer", "model.dtype=fp32")
	for dtype, want := range map[string]bool{"fp32": false, "bf16": true} {
		var said []string
		o := tiny(t, appended(t, first, "model.dtype="+dtype)...)
		o.Observer = notes{texts: &said}
		if _, err := run.Describe(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if text := strings.Join(said, "\n"); strings.Contains(text, "MRPC was trained in fp32, and this run computes in bf16") != want {
			t.Errorf("%s: %s", dtype, text)
		}
	}
}
