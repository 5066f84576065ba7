package run_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/data"
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/models"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/optim"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/tokenizer"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/train"
)

// stepTimer remembers the fastest step after the first of a run.
type stepTimer struct {
	last    time.Time
	fastest float64 // seconds
}

func (*stepTimer) Begin(train.BeginInfo) {}
func (*stepTimer) Eval(train.EvalInfo)   {}
func (*stepTimer) Checkpoint(string)     {}
func (*stepTimer) Note(string)           {}
func (*stepTimer) Sweep(train.SweepInfo) {}
func (s *stepTimer) Step(info train.StepInfo) {
	now := time.Now()
	if info.Step > 1 {
		s.fastest = min(s.fastest, now.Sub(s.last).Seconds())
	}
	s.last = now
}

// stepBudget is the parameters of LoRA of rank 8 on query and value of MiniLM.
const stepBudget = 2 * 6 * 8 * 2 * 384

// contestant is a method at a size.
type contestant struct {
	name   string
	method adapter.Method
	spec   adapter.Spec
	count  int64
	timer  stepTimer
	memory int64 // bytes
}

// BenchmarkMethods compares a training step of every method on MiniLM, batch 32
// of about 60 tokens, bf16 where the CPU computes it, query and value: at the parameters of LoRA of rank 8,
// and LoRA and MetaTT at rank 8. The methods take turns, so that what else the
// machine does meets all of them; the fastest step counts. x is the time over
// LoRA's of rank 8. Memory is what two steps need at most above the loaded model:
// adapter, gradients, moments and what backward needs. What cannot be compared
// stands below the table. Run it with -benchtime 1x on a quiet machine.
func BenchmarkMethods(b *testing.B) {
	model, set := benchmarked(b)
	all, left, err := contestants(model.Architecture())
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range all {
		if c.memory, err = c.measureMemory(b.Context()); err != nil {
			b.Fatal(c.name, ": ", err)
		}
	}
	for b.Loop() {
		takeTurns(b, all, 6, model, set)
	}
	reference := all[0].timer.fastest
	var table strings.Builder
	for _, c := range all {
		fmt.Fprintf(&table, "\n%-18s %8d parameters  %7.1f ms a step  %.3f x  %7.1f MiB",
			c.name, c.count, 1e3*c.timer.fastest, c.timer.fastest/reference, float64(c.memory)/(1<<20))
	}
	fmt.Fprintf(&table, "\nnot at %d parameters:", stepBudget)
	for _, reason := range left {
		fmt.Fprintf(&table, "\n  %s", reason)
	}
	fmt.Println(table.String()) // testing would cut a log after ten lines
}

// BenchmarkAgainstLoRA is BenchmarkMethods of three alone, so often that the machine's
// moods do not decide: LoRA of rank 8, MetaTT-4D at its rank and at its parameters.
func BenchmarkAgainstLoRA(b *testing.B) {
	model, set := benchmarked(b)
	all, _, err := contestants(model.Architecture())
	if err != nil {
		b.Fatal(err)
	}
	all = slices.DeleteFunc(all, func(c *contestant) bool { return c.name != "lora r8" && c.method.Name != "metatt4d" })
	for b.Loop() {
		takeTurns(b, all, 14, model, set)
	}
	for _, c := range all {
		fmt.Printf("%-12s %6d parameters  %7.1f ms a step  %.3f x\n", c.name, c.count, 1e3*c.timer.fastest, c.timer.fastest/all[0].timer.fastest)
	}
}

// takeTurns trains each for a few steps, so many times.
func takeTurns(b *testing.B, all []*contestant, times int, model *encoder.Model, set *data.Set) {
	b.Helper()
	for range times {
		for _, c := range all {
			var err error
			if c.count, err = c.train(b.Context(), model, set, 4, &c.timer); err != nil {
				b.Fatal(c.name, ": ", err)
			}
		}
	}
}

// benchmarked is stepSetup for a benchmark, which is skipped where there is no model.
func benchmarked(b *testing.B) (*encoder.Model, *data.Set) {
	b.Helper()
	model, set, err := stepSetup()
	if err != nil {
		b.Skip("finetune fetch minilm brings the model: ", err)
	}
	b.Cleanup(model.Free)
	return model, set
}

// stepSetup is the model and the examples of a step.
func stepSetup() (*encoder.Model, *data.Set, error) {
	dir, err := hf.Resolve("minilm")
	if err != nil {
		return nil, nil, err
	}
	model, err := models.Load(dir, encoder.Options{Labels: 2, DType: stepDType(), Device: torch.CPU})
	if err != nil {
		return nil, nil, err
	}
	set, err := longSet(dir)
	if err != nil {
		model.Free()
		return nil, nil, err
	}
	return model, set, nil
}

// stepDType is what a run of model.dtype=auto has.
func stepDType() torch.DType {
	if torch.CPU.ComputesBFloat16() {
		return torch.BFloat16
	}
	return torch.Float32
}

// contestants are LoRA and MetaTT at rank 8, then every method that the budget
// fits; and of every other, the reason.
func contestants(model adapter.Architecture) (all []*contestant, left []string, err error) {
	spec := adapter.Spec{
		Architecture: model, Targets: []adapter.Kind{adapter.Query, adapter.Value}, Rank: 8, Seed: 1, Device: torch.CPU,
	}
	enter := func(name string, m adapter.Method, s adapter.Spec) {
		s.Alpha = m.Alpha()
		all = append(all, &contestant{name: name, method: m, spec: s, timer: stepTimer{fastest: math.Inf(1)}})
	}
	for _, name := range []string{"lora", "metatt4d", "metatt5d"} {
		m, err := adapter.Lookup(name)
		if err != nil {
			return nil, nil, err
		}
		enter(name+" r8", m, spec)
	}
	for _, m := range adapter.Methods() {
		wanted := spec
		wanted.Alpha = m.Alpha()
		if m.Name == "loretta-adp" {
			wanted.Rank = 64 // the bottleneck, of which the budget moves the tensor trains' rank
		}
		fit, err := adapter.FitBudget(m, wanted, stepBudget)
		switch {
		case m.Name == "lora": // it is there
		case err != nil:
			left = append(left, strings.TrimPrefix(err.Error(), m.Name+": "))
		case fit.Bounded && fit.Count < stepBudget*9/10:
			left = append(left, fmt.Sprintf("%s %d has %d parameters, and no larger rank is legal: %d %% of the budget stays unused",
				m.Name, fit.Size, fit.Count, 100-100*fit.Count/stepBudget))
		default:
			enter(fmt.Sprintf("%s %d", m.Name, fit.Size), m, fit.Spec)
		}
	}
	return all, left, nil
}

// train makes the contestant's adapter and trains it for a few steps. The
// parameters are those of the adapter.
func (c *contestant) train(ctx context.Context, model *encoder.Model, set *data.Set, steps int, observer train.Observer) (parameters int64, err error) {
	a, err := c.method.New(c.spec)
	if err != nil {
		return 0, err
	}
	defer a.Free()
	if err := adapter.Bind(a, model); err != nil {
		return 0, err
	}
	return adapter.Count(a.Parameters()), trainSteps(ctx, model, a, set, steps, observer)
}

// stepMemory names a contestant in the environment of the process that measures
// its memory.
const stepMemory = "METATT_TEST_STEP_MEMORY"

// measureMemory has a process of its own train the contestant: a peak cannot be
// taken back, and what one method leaves in the allocator another would use. The
// allocator gives every block of 64 KiB or more its own pages, and returns them
// when it is freed, so that the resident size is what is in use; one thread, so
// that buffers for each do not count.
func (c *contestant) measureMemory(ctx context.Context) (int64, error) {
	child := exec.CommandContext(ctx, os.Args[0])
	child.Env = append(os.Environ(), stepMemory+"="+c.name, "MALLOC_MMAP_THRESHOLD_=65536", "MALLOC_ARENA_MAX=1", "OMP_NUM_THREADS=1")
	child.Stderr = os.Stderr
	out, err := child.Output()
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
}

// printStepMemory is the process that measureMemory starts. It returns the exit
// code.
func printStepMemory(name string) int {
	bytes, err := stepMemoryOf(name)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(bytes)
	return 0
}

// stepMemoryOf is the growth from the resident size with the model loaded to the
// largest that two steps reach; before the second there are no moments.
func stepMemoryOf(name string) (int64, error) {
	model, set, err := stepSetup()
	if err != nil {
		return 0, err
	}
	defer model.Free()
	all, _, err := contestants(model.Architecture())
	if err != nil {
		return 0, err
	}
	i := slices.IndexFunc(all, func(c *contestant) bool { return c.name == name })
	if i < 0 {
		return 0, fmt.Errorf("no contestant %q", name)
	}
	debug.FreeOSMemory() // what loading left to Go's collector
	// Forgets the peak of loading (proc(5)).
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		return 0, err
	}
	before, err := processStatus("VmRSS")
	if err != nil {
		return 0, err
	}
	timer := stepTimer{}
	if _, err := all[i].train(context.Background(), model, set, 2, &timer); err != nil {
		return 0, err
	}
	peak, err := processStatus("VmHWM")
	return peak - before, err
}

// processStatus is a size of this process in bytes, by its name in proc(5).
func processStatus(name string) (int64, error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kilobytes << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/self/status has no %s", name)
}

// longSet is examples of about 60 tokens.
func longSet(model string) (*data.Set, error) {
	tokens, err := tokenizer.Load(model)
	if err != nil {
		return nil, err
	}
	named, err := task.Lookup("cola")
	if err != nil {
		return nil, err
	}
	var examples []task.Example
	for i := range 128 {
		examples = append(examples, task.Example{Text: strings.Repeat("the old ship left the harbour before dawn ", 5+i%5), Label: i % 2})
	}
	return data.Encode(context.Background(), tokens, named, examples, 128)
}

func trainSteps(ctx context.Context, model *encoder.Model, a adapter.Adapter, set *data.Set, steps int, observer train.Observer) error {
	schedule, err := optim.NewSchedule("constant", 1e-4, 0, steps)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "metatt-steps-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	few := *set
	few.Examples = few.Examples[:1] // of the evaluation at the end
	_, err = train.Run(ctx, train.Setup{
		Adapter: a, Tasks: []train.Task{{Name: set.Task.Name, Model: model, Train: set, Dev: &few}}, Dir: dir, DType: stepDType(), Device: torch.CPU, Dropout: model.Dropout(nil), Observer: observer,
		SaveAdapter: func(string) error { return nil },
		Options: train.Options{
			Steps: steps, BatchSize: 32, EvalBatchSize: 64, Shuffle: true, Schedule: schedule,
			Best:  train.Criterion{Name: set.Task.Best, Of: []train.TaskMetric{{Metric: set.Task.Best}}},
			AdamW: optim.AdamWConfig{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, ClipNorm: 1},
		},
	})
	return err
}

// Every method is in the benchmark's table, or below it with the reason.
func TestStepContestants(t *testing.T) {
	minilm := adapter.Architecture{ModelType: "bert", Hidden: 384, Layers: 6, Heads: 12, Intermediate: 1536}
	all, left, err := contestants(minilm)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range adapter.Methods() {
		compared := slices.ContainsFunc(all, func(c *contestant) bool { return c.method.Name == m.Name })
		excused := slices.ContainsFunc(left, func(reason string) bool { return strings.HasPrefix(reason, m.Name+" ") })
		if compared == excused && !strings.HasPrefix(m.Name, "metatt") {
			t.Errorf("%s: in the table %v, below it %v", m.Name, compared, excused)
		}
	}
	for _, c := range all[3:] {
		if n := c.method.Count; n != nil && n(c.spec) > stepBudget {
			t.Errorf("%s has %d parameters of %d", c.name, n(c.spec), stepBudget)
		}
	}
}
