package run_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/convert"
	"github.com/metatt/metatt/pkg/predict"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/run/runtest"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/train"
)

// threeTasks is a GLUE folder of MRPC, a small RTE, a CoLA and a regression, STS-B.
func threeTasks(t *testing.T) string {
	t.Helper()
	files := map[string]string{}
	for _, name := range []string{"train", "dev"} {
		text, err := os.ReadFile("testdata/glue/MRPC/" + name + ".tsv")
		if err != nil {
			t.Fatal(err)
		}
		files["MRPC/"+name+".tsv"] = string(text)
	}
	rte, cola := "index\tsentence1\tsentence2\tlabel\n", ""
	stsb := "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"
	for i := range 17 {
		first, second := "the king sees"+strings.Repeat(" a cat", i%4), "a king"+strings.Repeat(" never", i%3)
		if i < 11 {
			rte += fmt.Sprintf("%d\t%s\t%s\t%s\n", i, first, second, []string{"entailment", "not_entailment"}[i%2])
		}
		cola += fmt.Sprintf("gj04\t%d\t\t%s %s\n", i%3%2, first, second)
		stsb += fmt.Sprintf("%d\tg\tf\ty\to\ts\ts\t%s\t%s\t%.2f\n", i, first, second, float64(i%6)*0.9)
	}
	for folder, text := range map[string]string{"RTE": rte, "CoLA": cola, "STS-B": stsb} {
		files[folder+"/train.tsv"], files[folder+"/dev.tsv"] = text, text
	}
	return runtest.Files(t, files)
}

// several asks for a run of three tasks.
func several(t *testing.T, overrides ...string) run.Options {
	t.Helper()
	return tiny(t, append([]string{"task=mrpc,rte,stsb", "data.glue=" + threeTasks(t), "train.batch_size=5", "train.epochs=1"}, overrides...)...)
}

// A run that accumulates, learns several tasks or is to stop early ends, after any
// interruption, as one that was left alone.
func TestSeveralTasksResume(t *testing.T) {
	for name, keys := range map[string][]string{
		"accumulation":      {"task=mrpc", "train.accumulate=3", "train.epochs=2"},
		"one update":        {},
		"a task mode":       {"adapter.task_after=layer", "train.accumulate=2", "train.mixture=sqrt", "tasks.rte.weight=0.5", "tasks.stsb.lr=1e-3"},
		"in turn":           {"adapter.method=lora", "train.mixture=round-robin", "train.eval_every=4", "train.weight_decay=0.1", "train.head_lr=3e-3"},
		"patience":          {"train.eval_every=2", "train.patience=3", "train.lr=1e-5", "train.best_metric=rte", "train.checkpoint_every=3"},
		"alike":             {"adapter.method=adalora", "train.mixture=uniform", "adapter.adalora.every=1", "data.limit=9", "train.epochs=2"},
		"3":                 {"task=rte,cola,mrpc", "train.mixture=3", "adapter.method=dora", "train.schedule=cosine", "tasks.mrpc.limit=8"},
		"sweeps":            {"adapter.task_after=layer", "dmrg.mode=canonical", "dmrg.unit=step", "dmrg.at=3,6", "dmrg.maxdim=3,2"},
		"pairs":             {"adapter.task_after=matrix", "adapter.rank=2", "dmrg.mode=two-site", "dmrg.unit=step", "dmrg.at=1", "dmrg.pair_steps=1", "dmrg.maxdim=2", "dmrg.tol=1e-3", "dmrg.probe_batches=4", "train.accumulate=2"},
		"growth":            {"adapter.task_after=layer", "adapter.rank=2", "dmrg.mode=enrich", "dmrg.unit=step", "dmrg.at=1,5", "dmrg.grow=1", "dmrg.maxdim=2", "dmrg.gradient_batches=3"},
		"the whole network": {"adapter.method=full", "model.dtype=bf16", "train.accumulate=2", "train.lr=1e-4"},
	} {
		t.Run(name, func(t *testing.T) {
			o := several(t, keys...)
			whole, err := run.Train(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if name == "patience" && (!whole.Stopped || whole.Steps >= 10) {
				t.Errorf("stopped %v after %d steps", whole.Stopped, whole.Steps)
			}
			for stop := 1; stop <= whole.Steps; stop++ {
				again := several(t, keys...)
				interrupted(t, again, stop)
				s, err := run.Resume(t.Context(), again.Config.Run.Dir, again)
				if err != nil {
					t.Fatalf("after step %d: %v", stop, err)
				}
				if !sameFiles(t, fmt.Sprintf("stopped after step %d", stop), s.RunDir, whole.RunDir) {
					return
				}
				if s.Steps != whole.Steps || s.Stopped != whole.Stopped || *s.Best.Value != *whole.Best.Value {
					t.Fatalf("stopped after step %d: %+v, want %+v", stop, s, whole)
				}
			}
		})
	}
}

// lastEval is the last evaluation that a run has recorded.
func lastEval(t *testing.T, dir string) train.EvalEvent {
	t.Helper()
	var last train.EvalEvent
	for event, err := range train.Events(strings.NewReader(string(metrics(t, dir))), train.MetricsFile) {
		if err != nil {
			t.Fatal(err)
		}
		if event.Eval != nil {
			last = *event.Eval
		}
	}
	return last
}

// What a run of several tasks has saved is judged, trained further, merged, converted
// and appended to, task by task, as it was in the run.
func TestWhatSeveralTasksSave(t *testing.T) {
	for name, keys := range map[string][]string{
		"a task mode":              {"adapter.task_after=layer", "adapter.targets=all"},
		"one update":               {"adapter.targets=query,ffn_down"},
		"lora":                     {"adapter.method=lora"},
		"bitfit":                   {"adapter.method=bitfit", "model.dtype=bf16"},
		"no pooler":                {"model.path=" + withoutPooler(t)},
		"roberta, 5d":              {"adapter.method=metatt5d", "adapter.task_after=head", "model.path=" + runtest.TinyRoBERTa(t)},
		"the checkpoint's classes": {"task=stsb,mrpc,rte", "adapter.task_after=in"},
	} {
		t.Run(name, func(t *testing.T) {
			o := several(t, append(keys, "data.limit=13", "train.lr=3e-3")...)
			s, err := run.Train(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			last := lastEval(t, s.RunDir)
			if len(last.Tasks) != 3 || last.Metrics != nil || s.Last != nil || len(s.Tasks) != 3 {
				t.Fatalf("the last evaluation is %+v, the summary %+v", last, s)
			}
			sum := 0.0
			for _, e := range last.Tasks {
				named, err := task.Lookup(e.Task)
				if err != nil {
					t.Fatal(err)
				}
				main, _ := e.Metrics.Get(named.Best)
				sum += main.Value / 3
				judged, err := predict.Evaluate(t.Context(), predict.EvalOptions{Dir: s.RunDir, Predictor: predict.Options{Task: e.Task}})
				if err != nil {
					t.Fatal(err)
				}
				if s.Best.Step == last.Step && !slices.Equal(judged.Splits[0].Metrics, e.Metrics) {
					t.Errorf("%s: eval says %v, the run %v", e.Task, judged.Splits[0].Metrics, e.Metrics)
				}
			}
			if last.Criterion == nil || *last.Criterion-sum > 1e-12 || sum-*last.Criterion > 1e-12 {
				t.Errorf("the mean is %v, want %v", last.Criterion, sum)
			}
			of := filepath.Join(s.RunDir, "adapter", "last")
			examples := runtest.MRPCDev(t)
			for _, e := range last.Tasks {
				out := filepath.Join(t.TempDir(), "merged")
				if err := convert.Merge(t.Context(), convert.MergeOptions{Dir: of, Out: out, Task: e.Task}); err != nil {
					t.Errorf("merge of %s: %v", e.Task, err)
				}
				if method := o.Config.Adapter.Method; method == "bitfit" {
					continue
				}
				want := runtest.Logits(t, of, predict.Options{Task: e.Task}, examples)
				out = filepath.Join(t.TempDir(), "exported")
				if _, err := convert.Export(t.Context(), convert.ExportOptions{Dir: of, Out: out, Task: e.Task}); err != nil {
					t.Errorf("export of %s: %v", e.Task, err)
					continue
				}
				got := runtest.Logits(t, out, predict.Options{}, examples)
				for i := range want {
					if d := got[i] - want[i]; d > 1e-5 || d < -1e-5 {
						t.Errorf("%s: logit %d of the export is %v, want %v", e.Task, i, got[i], want[i])
					}
				}
			}
			// Further, from there, with tasks in another order.
			again := tiny(t, "task=stsb,rte,mrpc", "data.glue="+o.Config.Data.GLUE, "model.path="+o.Config.Model.Path, "model.dtype="+o.Config.Model.DType, "adapter.init_from="+of,
				"train.lr=1e-12", "train.max_steps=1", "data.limit=13")
			further, err := run.Train(t.Context(), again)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range lastEval(t, further.RunDir).Tasks {
				i := slices.IndexFunc(last.Tasks, func(l train.TaskEval) bool { return l.Task == e.Task })
				if !slices.Equal(e.Metrics, last.Tasks[i].Metrics) || e.Loss-last.Tasks[i].Loss > 1e-5 || last.Tasks[i].Loss-e.Loss > 1e-5 {
					t.Errorf("%s: after a step by nothing %+v, was %+v", e.Task, e, last.Tasks[i])
				}
			}
		})
	}
}

// A task joins those of a run of several, which stay as they were to the bit.
func TestAppendingToSeveralTasks(t *testing.T) {
	o := several(t, "adapter.task_after=layer")
	s, err := run.Train(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	appended, err := run.Train(t.Context(), tiny(t, "task=cola", "data.glue="+o.Config.Data.GLUE, "adapter.append.to="+s.RunDir, "train.max_steps=4"))
	if err != nil {
		t.Fatal(err)
	}
	before, after := filepath.Join(s.RunDir, "adapter", "best"), filepath.Join(appended.RunDir, "adapter", "last")
	for _, name := range []string{"mrpc", "rte", "stsb"} {
		want, got := runtest.Logits(t, before, predict.Options{Task: name}, runtest.MRPCDev(t)), runtest.Logits(t, after, predict.Options{Task: name}, runtest.MRPCDev(t))
		if !slices.Equal(got, want) {
			t.Errorf("%s: logits %v, were %v", name, got, want)
		}
	}
	if len(appended.FrozenTasks) != 3 {
		t.Errorf("frozen are %v", appended.FrozenTasks)
	}
}

func TestWrongUsesOfSeveralTasks(t *testing.T) {
	glue := threeTasks(t)
	train := func(keys ...string) error {
		c, err := run.Train(t.Context(), tiny(t, append([]string{"data.glue=" + glue, "train.max_steps=1"}, keys...)...))
		_ = c
		return err
	}
	one, three := several(t, "task=mrpc"), several(t, "adapter.task_after=layer")
	for _, o := range []run.Options{one, three} {
		if _, err := run.Train(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		keys []string
		want string
	}{
		{[]string{"task=mrpc,rte", "adapter.init_from=" + three.Config.Run.Dir}, "the adapter has the tasks MRPC, RTE, STS-B: a run of mrpc, rte goes on from one of the same tasks"},
		{[]string{"task=mrpc", "adapter.init_from=" + three.Config.Run.Dir}, "training it for mrpc alone would change the others"},
		{[]string{"task=mrpc,rte", "adapter.init_from=" + one.Config.Run.Dir}, "the adapter has the tasks MRPC: a run of mrpc, rte goes on from one of the same tasks"},
		{[]string{"task=mrpc,rte", "train.best_metric=rte.f1"}, "RTE has the metrics [accuracy], not f1"},
		{[]string{"task=mrpc,rte", "adapter.init_from=testdata/peft/bare"}, "names no task"},
		{[]string{"task=mrpc,cola,rte", "data.glue=" + runtest.Files(t, map[string]string{"MRPC/train.tsv": "x"})}, "MRPC"},
	} {
		if err := train(c.keys...); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v, want %q", c.keys, err, c.want)
		}
	}
	if _, err := predict.Evaluate(t.Context(), predict.EvalOptions{Dir: three.Config.Run.Dir}); err == nil || !strings.Contains(err.Error(), "choose it by --task") {
		t.Errorf("eval without a task: %v", err)
	}
}

// Patience waits for AdaLoRA's ranks to fall, and the best adapter is of those that the run ends with: evaluations
// before were of more parameters.
func TestBestOfAdaLoRA(t *testing.T) {
	s, err := run.Train(t.Context(), tiny(t, "adapter.method=adalora", "train.max_steps=20", "train.lr=1e-7", "train.eval_every=1", "train.patience=2"))
	if err != nil || s.Steps != 16 || !s.Stopped || s.Best == nil || s.Best.Step != 14 { // they have fallen by step 20 - 0.3 · 20
		t.Fatalf("%+v (%v)", s, err)
	}
	for folder, fallen := range map[string]bool{"best": true, "last": true, "best-before-pruning": false} {
		saved, err := adapter.Read(filepath.Join(s.RunDir, "adapter", folder))
		if err != nil {
			t.Fatal(err)
		}
		defer saved.Close()
		if _, has := saved.Config.PEFT["rank_pattern"].(map[string]any); has != fallen {
			t.Errorf("%s: rank_pattern %v", folder, has)
		}
	}
}

// A limit is of each split, drawn by the seed, the same in every run and told of; the training set's may be another.
func TestLimits(t *testing.T) {
	var said []string
	o := several(t, "data.limit=9", "tasks.rte.limit=0", "train.max_steps=1")
	o.Observer = notes{texts: &said}
	if _, err := run.Train(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(said, "\n")
	for _, want := range []string{"MRPC: 9 of 45 examples of train, drawn by seed 42", "MRPC: 9 of 15 examples of dev", "STS-B: 9 of 17 examples of train"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not said: %s", want, text)
		}
	}
	if strings.Contains(text, "RTE: ") && strings.Contains(text, "RTE: 9 of") {
		t.Errorf("RTE has no limit: %s", text)
	}
	record, err := os.ReadFile(filepath.Join(o.Config.Run.Dir, "config.yaml"))
	if err != nil || !strings.Contains(string(record), "limit: 9") {
		t.Errorf("the record says %s (%v)", record, err)
	}
	said = nil
	o = several(t, "data.train_limit=9", "data.limit_seed=3", "tasks.rte.limit=5", "train.max_steps=1")
	o.Observer = notes{texts: &said}
	if _, err := run.Train(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	text = strings.Join(said, "\n")
	for _, want := range []string{"MRPC: 9 of 45 examples of train, drawn by seed 3", "STS-B: 9 of 17 examples of train", "RTE: 5 of"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not said: %s", want, text)
		}
	}
	if strings.Contains(text, "MRPC: 9 of 15 examples of dev") {
		t.Errorf("the training set's limit is the dev set's too: %s", text)
	}
}

// train_subset is of the tasks that have one.
func TestSubsetBesideAnotherTask(t *testing.T) {
	folder := runtest.MNLI(t)
	if err := os.CopyFS(filepath.Join(folder, "MRPC"), os.DirFS("testdata/glue/MRPC")); err != nil {
		t.Fatal(err)
	}
	s, err := run.Train(t.Context(), tiny(t, "task=mnli,mrpc", "data.glue="+folder, "data.train_subset=true", "train.epochs=1"))
	if err != nil || s.Steps != 2+7 { // 12 and 45 examples in batches of 7
		t.Errorf("%+v (%v)", s, err)
	}
}
