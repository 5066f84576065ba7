package run_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/convert"
	"github.com/metatt/metatt/pkg/inspect"
	"github.com/metatt/metatt/pkg/predict"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/run/runtest"
	"github.com/metatt/metatt/pkg/safetensors"
)

// taskLogits are an adapter's logits for one of its tasks on MRPC's dev set.
func taskLogits(t *testing.T, dir string, o predict.Options) []float32 {
	t.Helper()
	return runtest.Logits(t, dir, o, runtest.MRPCDev(t))
}

// firstTask trains MRPC with a task mode.
func firstTask(t *testing.T, overrides ...string) string {
	t.Helper()
	o := tiny(t, append([]string{"adapter.targets=all", "adapter.rank=3", "train.max_steps=9"}, overrides...)...)
	summary, err := run.Train(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(summary.RunDir, "adapter", "last")
}

// appended is the overrides of a run that appends own data to an adapter.
func appended(t *testing.T, to string, overrides ...string) []string {
	return append(ownRun(reviews(t), "adapter.append.to="+to, "data.max_length=20", "train.weight_decay=0.5", "train.clip_norm=0.1"), overrides...)
}

// A task appended and trained leaves the first one's logits as they were bit for
// bit, and everything that is saved of it; its own are learned.
func TestAppendedTaskLeavesTheFirst(t *testing.T) {
	for _, c := range [][]string{
		{"metatt4d", "in", "zero", "0"}, {"metatt4d", "layer", "mrpc", "1"}, {"metatt4d", "matrix", "mean", "0"},
		{"metatt5d", "in", "mean", "1"}, {"metatt5d", "layer", "zero", "1"}, {"metatt5d", "matrix", "mrpc", "0"}, {"metatt5d", "head", "zero", "0"},
	} {
		for _, dtype := range []string{"fp32", "bf16"} {
			t.Run(fmt.Sprint(c, dtype), func(t *testing.T) {
				first := firstTask(t, "adapter.method="+c[0], "adapter.task_after="+c[1], "model.dtype="+dtype)
				options := predict.Options{DType: dtype}
				want := taskLogits(t, first, options)
				o := tiny(t, appended(t, first, "adapter.append.start="+c[2], "adapter.append.grow="+c[3], "model.dtype="+dtype)...)
				summary, err := run.Train(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				if values := losses(t, summary.RunDir); values[len(values)-1] == values[0] {
					t.Error("nothing is learned")
				}
				second := filepath.Join(summary.RunDir, "adapter", "last")
				options.Task = "mrpc"
				if got := taskLogits(t, second, options); !slices.Equal(got, want) {
					t.Errorf("logits %v, were %v", got, want)
				}
				options.Task = "custom"
				if got := taskLogits(t, second, options); slices.Equal(got, want) || len(got) != len(want)/2*3 {
					t.Errorf("the new task's logits: %v", got)
				}
				checkKept(t, first, second)
				checkCounts(t, summary, second)
			})
		}
	}
}

// checkKept: what was saved of the first task is saved again, the slices of its
// cores where they have grown.
func checkKept(t *testing.T, first, second string) {
	t.Helper()
	open := func(dir string) *safetensors.File {
		f, err := safetensors.Open(filepath.Join(dir, adapter.WeightsFile))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	before, after := open(first), open(second)
	for _, name := range before.Names() {
		was, _ := before.Info(name)
		is, ok := after.Info(name)
		if !ok {
			t.Errorf("%s is lost", name)
			continue
		}
		a, b := make([]byte, was.Size), make([]byte, is.Size)
		if err := errors.Join(before.ReadInto(name, a), after.ReadInto(name, b)); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(name, "heads.") || slices.Equal(was.Shape, is.Shape) {
			if !bytes.Equal(a, b) {
				t.Errorf("%s differs", name)
			}
			continue
		}
		for i := range was.Shape[0] {
			for n := range was.Shape[1] {
				for j := range was.Shape[2] {
					x := 4 * ((i*was.Shape[1]+n)*was.Shape[2] + j)
					y := 4 * ((i*is.Shape[1]+n)*is.Shape[2] + j)
					if !bytes.Equal(a[x:x+4], b[y:y+4]) {
						t.Fatalf("%s[%d %d %d] differs", name, i, n, j)
					}
				}
			}
		}
	}
	names := after.Names()
	for _, name := range []string{"heads.MRPC.classifier.weight", "heads.custom.classifier.bias"} {
		if !slices.Contains(names, name) {
			t.Errorf("no %s among %v", name, names)
		}
	}
	c := savedConfig(t, second)
	if !slices.Equal(c.Tasks, []string{"MRPC", "custom"}) || !slices.Equal(c.FrozenTasks, []string{"MRPC"}) || len(c.Labels["MRPC"]) != 2 || len(c.Labels["custom"]) != 3 ||
		c.LongestOf("MRPC") != 24 || c.LongestOf("custom") != 20 || c.Columns["custom"].Pair != "body" {
		t.Errorf("saved %+v", c)
	}
}

// checkCounts: both numbers of parameters are stated.
func checkCounts(t *testing.T, s *run.Summary, dir string) {
	t.Helper()
	i, err := inspect.Adapter(inspect.Options{Dir: dir, Task: "custom"})
	if err != nil {
		t.Fatal(err)
	}
	if s.WholeParams != i.Count || s.AdapterParams >= s.WholeParams || s.AdapterParams == 0 || !slices.Equal(s.FrozenTasks, []string{"MRPC"}) {
		t.Errorf("the task's own %d, whole %d, inspected %d, frozen %v", s.AdapterParams, s.WholeParams, i.Count, s.FrozenTasks)
	}
	other, err := inspect.Adapter(inspect.Options{Dir: dir, Task: "mrpc"})
	if err != nil || other.Count != i.Count || other.Deltas[1][1] == i.Deltas[1][1] || other.Task != "MRPC" {
		t.Errorf("of the first task: %+v (%v)", other, err)
	}
}

// A third task joins, and an appended one is trained further; what is frozen is
// not.
func TestTasksAfterTheSecond(t *testing.T) {
	first := firstTask(t, "adapter.task_after=layer", "adapter.rank=4", "adapter.ranks=3,4,3,2", "adapter.init=ze-no-no-no-no")
	if ranks := savedConfig(t, first).Ranks; !slices.Equal(ranks, []int64{3, 4, 3, 2}) {
		t.Errorf("ranks %v", ranks)
	}
	o := tiny(t, appended(t, first, "adapter.append.grow=1")...)
	summary, err := run.Train(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(summary.Ranks, []int64{3, 5, 4, 2}) {
		t.Errorf("ranks %v", summary.Ranks)
	}
	second := summary.RunDir // the best adapter is taken
	want := map[string][]float32{"mrpc": taskLogits(t, first, predict.Options{}), "custom": taskLogits(t, second, predict.Options{Task: "custom"})}
	third := tiny(t, "task=sample", "adapter.append.to="+second, "train.max_steps=3", "adapter.append.start=custom")
	plan, err := run.Describe(t.Context(), third)
	if err != nil {
		t.Fatal(err)
	}
	if plan.AdapterParams != 5*4 || plan.WholeParams != 12*3+3*3*5+5*3*4+4*8*2+2*12 || !slices.Equal(plan.FrozenTasks, []string{"MRPC", "custom"}) {
		t.Errorf("%d, %d parameters, frozen %v", plan.AdapterParams, plan.WholeParams, plan.FrozenTasks)
	}
	if plan.Modes[2] != (adapter.Mode{Name: "task", Size: 3}) {
		t.Errorf("modes %v", plan.Modes)
	}
	if summary, err = run.Train(t.Context(), third); err != nil {
		t.Fatal(err)
	}
	last := filepath.Join(summary.RunDir, "adapter", "last")
	for task, logits := range want {
		if got := taskLogits(t, last, predict.Options{Task: task}); !slices.Equal(got, logits) {
			t.Errorf("%s: logits %v, were %v", task, got, logits)
		}
	}
	further := tiny(t, "task=sample", "adapter.init_from="+last, "train.max_steps=2")
	if summary, err = run.Train(t.Context(), further); err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(summary.RunDir, "adapter", "last")
	for task, logits := range want {
		if got := taskLogits(t, again, predict.Options{Task: task}); !slices.Equal(got, logits) {
			t.Errorf("%s: trained further, the logits are %v, were %v", task, got, logits)
		}
	}
	if slices.Equal(taskLogits(t, again, predict.Options{Task: "sample"}), taskLogits(t, last, predict.Options{Task: "sample"})) {
		t.Error("the last task was not trained further")
	}
	for _, c := range []struct {
		overrides []string
		want      string
	}{
		{[]string{"adapter.init_from=" + last}, "MRPC is frozen, only sample can be trained further"},
		{[]string{"task=rte", "adapter.init_from=" + last}, "rte is appended by adapter.append.to"},
	} {
		if _, err := run.Train(t.Context(), tiny(t, c.overrides...)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c.overrides, err)
		}
	}
	if _, err := predict.Open(last, predict.Options{}); err == nil || !strings.Contains(err.Error(), "has the tasks MRPC, custom, sample: one is needed: choose it by --task") {
		t.Error(err)
	}
	if _, err := inspect.Adapter(inspect.Options{Dir: last, Task: "rte"}); err == nil || !strings.Contains(err.Error(), `no task "rte"; it has MRPC, custom, sample`) {
		t.Error(err)
	}
	e, err := predict.Evaluate(t.Context(), predict.EvalOptions{Dir: summary.RunDir, GLUE: "testdata/glue", Predictor: predict.Options{Task: "mrpc"}})
	if err != nil || e.Task != "MRPC" {
		t.Errorf("%+v, %v", e, err)
	}
}

// A run that appends is stopped and resumed to the same metrics and adapter.
func TestInterruptedAppendsEndTheSame(t *testing.T) {
	first := firstTask(t, "adapter.task_after=in")
	overrides := appended(t, first, "adapter.append.grow=2", "train.epochs=3")
	whole := tiny(t, overrides...)
	if _, err := run.Train(t.Context(), whole); err != nil {
		t.Fatal(err)
	}
	weights := filepath.Join("adapter", "last", adapter.WeightsFile)
	want, err := os.ReadFile(filepath.Join(whole.Config.Run.Dir, weights))
	if err != nil {
		t.Fatal(err)
	}
	o := tiny(t, overrides...)
	interrupted(t, o, 2, 3, 7)
	if _, err := run.Resume(t.Context(), o.Config.Run.Dir, o); err != nil {
		t.Fatal(err)
	}
	if got, want := metrics(t, o.Config.Run.Dir), metrics(t, whole.Config.Run.Dir); !bytes.Equal(got, want) {
		t.Errorf("metrics.jsonl differs:\n%s\nwant\n%s", got, want)
	}
	if got, err := os.ReadFile(filepath.Join(o.Config.Run.Dir, weights)); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the last adapter differs (%v)", err)
	}
}

// The model that one task is merged into has that task's logits.
func TestMergedTask(t *testing.T) {
	first := firstTask(t, "adapter.task_after=matrix")
	summary, err := run.Train(t.Context(), tiny(t, appended(t, first, "adapter.append.grow=1")...))
	if err != nil {
		t.Fatal(err)
	}
	both := filepath.Join(summary.RunDir, "adapter", "last")
	if err := convert.Merge(t.Context(), convert.MergeOptions{Dir: both, Out: filepath.Join(t.TempDir(), "merged")}); err == nil || !strings.Contains(err.Error(), "the tasks MRPC, custom: one is needed") {
		t.Error(err)
	}
	for _, task := range []string{"MRPC", "custom"} {
		merged := filepath.Join(t.TempDir(), "merged")
		if err := convert.Merge(t.Context(), convert.MergeOptions{Dir: both, Out: merged, Task: task}); err != nil {
			t.Fatal(err)
		}
		want := taskLogits(t, both, predict.Options{Task: task})
		got := taskLogits(t, withoutCore(t, both), predict.Options{Task: task, Model: merged})
		exported := filepath.Join(t.TempDir(), "lora")
		if _, err := convert.Export(t.Context(), convert.ExportOptions{Dir: both, Out: exported, Task: task}); err != nil {
			t.Fatal(err)
		}
		lora := taskLogits(t, exported, predict.Options{})
		scale := float64(slices.Max(want) - slices.Min(want))
		for i := range want {
			// fp32, and what tests of merged models have everywhere.
			if math.Abs(float64(got[i]-want[i])) > 1e-5*scale || math.Abs(float64(lora[i]-want[i])) > 1e-5*scale {
				t.Errorf("%s: logit %d: merged %v, a LoRA %v, adapted %v", task, i, got[i], lora[i], want[i])
			}
		}
		if none := taskLogits(t, withoutCore(t, both), predict.Options{Task: task}); slices.Equal(none, want) {
			t.Error("the adapter changes nothing: the test tells nothing")
		}
	}
}

// withoutCore is a copy of an adapter whose first core is zero: it changes nothing.
func withoutCore(t *testing.T, dir string) string {
	t.Helper()
	file, err := safetensors.Open(filepath.Join(dir, adapter.WeightsFile))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var tensors []safetensors.Tensor
	for _, name := range file.Names() {
		info, _ := file.Info(name)
		data := make([]byte, info.Size)
		if name != "cores.0" {
			if err := file.ReadInto(name, data); err != nil {
				t.Fatal(err)
			}
		}
		tensors = append(tensors, safetensors.Tensor{Name: name, DType: info.DType, Shape: info.Shape, Data: data})
	}
	out := filepath.Join(t.TempDir(), "none")
	if err := os.CopyFS(out, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := safetensors.Write(filepath.Join(out, adapter.WeightsFile), tensors, nil); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestWrongAppendedTasks(t *testing.T) {
	with := firstTask(t, "adapter.task_after=layer")
	without := firstTask(t)
	lora := firstTask(t, "adapter.method=lora")
	for name, c := range map[string]struct {
		overrides []string
		want      string
	}{
		"no task mode":         {appended(t, without), "metatt4d without a task mode: a task is appended to an adapter that was trained with one"},
		"no train":             {appended(t, lora), "lora without a task mode"},
		"the same task":        {[]string{"adapter.append.to=" + with}, "has the task mrpc already; its tasks are MRPC"},
		"unknown start":        {appended(t, with, "adapter.append.start=rte"), `called "rte": there are zero, mean and the tasks MRPC`},
		"too much growth":      {appended(t, with, "adapter.append.grow=99"), "its largest legal rank"},
		"another rank":         {appended(t, with, "adapter.rank=2"), "has 3: leave the key out"},
		"other ranks":          {appended(t, with, "adapter.ranks=3,3,2,1"), "has [3 3 3 3]: leave the key out"},
		"another place":        {appended(t, with, "adapter.task_after=matrix"), "has layer: leave the key out"},
		"a sweep":              {appended(t, with, "dmrg.mode=canonical", "dmrg.at=1", "dmrg.maxdim=2"), "a sweep would change MRPC, which are frozen"},
		"no adapter":           {appended(t, t.TempDir()), "no adapter here"},
		"another architecture": {appended(t, foreign(t, with)), "made for a model of"},
	} {
		t.Run(name, func(t *testing.T) {
			o := tiny(t, c.overrides...)
			_, err := run.Train(t.Context(), o)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v does not say %q in a line", err, c.want)
			}
			if _, err := os.Stat(o.Config.Run.Dir); err == nil {
				t.Error("a run directory was made")
			}
		})
	}
}

// foreign is a copy of an adapter that says it is for another model.
func foreign(t *testing.T, dir string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "foreign")
	if err := os.CopyFS(out, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(out, adapter.ConfigFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(text, []byte(`"num_hidden_layers": 3`), []byte(`"num_hidden_layers": 4`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	return out
}

// A task mode alone, and its head's name; the adapter goes on as another task's.
func TestTaskMode(t *testing.T) {
	first := firstTask(t, "adapter.task_after=layer")
	c := savedConfig(t, first)
	if !slices.Equal(c.Modes, []string{"in", "layer", "task", "matrix", "out"}) || !slices.Equal(c.Tasks, []string{"MRPC"}) || c.FrozenTasks != nil {
		t.Errorf("saved %+v", c)
	}
	if got := taskLogits(t, first, predict.Options{Task: "mrpc"}); !slices.Equal(got, taskLogits(t, first, predict.Options{})) {
		t.Error("the only task by its name is another")
	}
	summary, err := run.Train(t.Context(), tiny(t, "task=sample", "adapter.init_from="+first, "train.max_steps=2"))
	if err != nil {
		t.Fatal(err)
	}
	last := filepath.Join(summary.RunDir, "adapter", "last")
	if c := savedConfig(t, last); !slices.Equal(c.Tasks, []string{"sample"}) || len(c.Labels) != 1 || len(c.MaxLengths) != 1 {
		t.Errorf("saved %+v", c)
	}
	saved, err := adapter.Read(last)
	if err != nil {
		t.Fatal(err)
	}
	defer saved.Close()
	if names := saved.Names(); !slices.Contains(names, "heads.sample.classifier.weight") || slices.Contains(names, "heads.MRPC.classifier.weight") {
		t.Errorf("tensors %v", names)
	}
}
