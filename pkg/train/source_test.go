package train

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/data"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/tokenizer"
	"github.com/metatt/metatt/pkg/torch"
)

// checker is a model that refuses batches of so many tokens or more; 0: none.
type checker struct{ refuses int }

func (c checker) Check(in encoder.Input) error {
	if c.refuses > 0 && len(in.IDs) >= c.refuses {
		return errors.New("too long")
	}
	return nil
}
func (checker) Forward(encoder.Input, adapter.Pass, encoder.Dropout) *torch.Tensor { return nil }
func (checker) Head() []adapter.Parameter                                          { return nil }

// sized are tasks of so many examples, of one to four words.
func sized(t testing.TB, sizes ...int) (tasks []Task) {
	t.Helper()
	tokens, err := tokenizer.Load("../run/testdata/tiny-bert")
	if err != nil {
		t.Fatal(err)
	}
	cola, err := task.Lookup("cola")
	if err != nil {
		t.Fatal(err)
	}
	for k, n := range sizes {
		examples := make([]task.Example, n)
		for i := range examples {
			examples[i] = task.Example{Text: strings.Repeat("king ", 1+i%4), Label: i % 2}
		}
		set, err := data.Encode(t.Context(), tokens, cola, examples, 10)
		if err != nil {
			t.Fatal(err)
		}
		tasks = append(tasks, Task{Name: fmt.Sprint(k), Model: checker{}, Train: set})
	}
	return tasks
}

// sourceOf is a source of those tasks.
func sourceOf(tasks []Task, o Options) *Source { return newSource(Setup{Tasks: tasks, Options: o}) }

func mustStep(t testing.TB, s *Source, k int) Step {
	t.Helper()
	step, err := s.Step(k)
	if err != nil {
		t.Fatal(err)
	}
	if step.Number != k {
		t.Fatalf("step %d for %d", step.Number, k)
	}
	return step
}

// One task's micro-batches are its order cut by the batch size, and steps of several of
// them end with the epoch; every example has its share of a step.
func TestStepsOfOneTask(t *testing.T) {
	for _, c := range []struct{ examples, batch, accumulate int }{
		{23, 5, 1}, {20, 5, 0}, {3, 7, 1}, {1, 1, 1}, {23, 4, 3}, {25, 4, 3}, {25, 4, 7}, {25, 4, 100}, {24, 4, 2}, {1, 8, 4},
	} {
		for _, shuffle := range []bool{true, false} {
			tasks := sized(t, c.examples)
			s := sourceOf(tasks, Options{BatchSize: c.batch, Accumulate: c.accumulate, Shuffle: shuffle, Seed: 9})
			accumulate := max(1, c.accumulate)
			perEpoch := (c.examples + c.batch*accumulate - 1) / (c.batch * accumulate)
			if n := StepsPerEpoch([]int{c.examples}, c.batch, c.accumulate); n != perEpoch || s.StepsPerEpoch() != n {
				t.Fatalf("%+v: %d and %d steps an epoch, want %d", c, n, s.StepsPerEpoch(), perEpoch)
			}
			for epoch := range 3 {
				var want [][]int
				for cut := range slices.Chunk(tasks[0].Train.Order(9, epoch, shuffle), c.batch) {
					want = append(want, cut)
				}
				for k := range perEpoch {
					step := mustStep(t, s, epoch*perEpoch+k)
					examples, shares := 0, 0.0
					for i, m := range step.Micros {
						if len(want) == 0 || !slices.Equal(m.Batch.Indices, want[0]) {
							t.Fatalf("%+v: epoch %d, step %d, micro-batch %d: %v, left are %v", c, epoch, k, i, m.Batch.Indices, want)
						}
						if m.First != (i == 0) || m.Task != 0 {
							t.Errorf("%+v: micro-batch %d: %+v", c, i, m)
						}
						want = want[1:]
						examples += len(m.Batch.Indices)
						shares += m.Share
					}
					for _, m := range step.Micros {
						if math.Abs(m.Share-float64(len(m.Batch.Indices))/float64(examples)) > 1e-15 {
							t.Errorf("%+v: a share of %v for %d of %d examples", c, m.Share, len(m.Batch.Indices), examples)
						}
					}
					if full := k < perEpoch-1; step.Examples != examples || math.Abs(shares-1) > 1e-12 || full && len(step.Micros) != accumulate {
						t.Errorf("%+v: step %d: %d of %d examples, shares of %v, %d micro-batches", c, k, step.Examples, examples, shares, len(step.Micros))
					}
				}
				if len(want) > 0 {
					t.Errorf("%+v: epoch %d: %v were not handed out", c, epoch, want)
				}
			}
		}
	}
}

// What a step has does not depend on what was asked for before it, packed ahead or not.
func TestStepsAreFunctionsOfTheirNumbers(t *testing.T) {
	tasks := sized(t, 31, 1, 12)
	for name, o := range map[string]Options{
		"size": {}, "accumulating": {Accumulate: 3}, "sqrt": {Mixture: Mixture{Temperature: 2}, Accumulate: 2}, "in turn": {Mixture: Mixture{RoundRobin: true}},
	} {
		o.BatchSize, o.Shuffle, o.Seed = 4, true, 3
		s := sourceOf(tasks, o)
		var steps []string
		seeds := map[uint64]bool{}
		for k := range 30 {
			step := mustStep(t, s, k)
			steps = append(steps, fmt.Sprint(step))
			for _, m := range step.Micros {
				if seeds[m.Seed] {
					t.Errorf("%s: step %d has a seed again", name, k)
				}
				seeds[m.Seed] = true
			}
		}
		for _, order := range [][]int{{17, 18, 3, 4, 17}, {29, 0, 1, 1, 2, 28}, {12}} {
			other := sourceOf(tasks, o)
			for _, k := range order {
				if got := fmt.Sprint(mustStep(t, other, k)); got != steps[k] {
					t.Errorf("%s: step %d, asked for in %v: %s, want %s", name, k, order, got, steps[k])
				}
			}
			other.HoldOut([]Micro{{Task: 0, Batch: data.Batch{Indices: []int{1, 2, 3}}}})
			mustStep(t, other, 5)
			other.HoldOut(nil)
			if got := fmt.Sprint(mustStep(t, other, 6)); got != steps[6] {
				t.Errorf("%s: after all are let in again: %s, want %s", name, got, steps[6])
			}
		}
		o.Seed++
		if got := fmt.Sprint(mustStep(t, sourceOf(tasks, o), 17)); got == steps[17] {
			t.Errorf("%s: another seed has the same step", name)
		}
	}
}

// What is held out is in no step, that which is packed already included, but for a batch
// of nothing else; other tasks keep their examples of those numbers.
func TestHoldOut(t *testing.T) {
	s := sourceOf(sized(t, 14, 9), Options{BatchSize: 3, Accumulate: 2, Shuffle: true, Seed: 1})
	perEpoch := s.StepsPerEpoch()
	first := mustStep(t, s, 0)
	next := mustStep(t, sourceOf(s.tasks, Options{BatchSize: 3, Accumulate: 2, Shuffle: true, Seed: 1}), 1) // is being packed
	whole := next.Micros[1]                                                                                 // all of this one
	part := next.Micros[0]
	part.Batch.Indices = part.Batch.Indices[:1]
	for len(s.ahead) == 0 { // packed, with what is to be held out
		runtime.Gosched()
	}
	s.HoldOut([]Micro{whole, part})
	held := map[[2]int]bool{{part.Task, part.Batch.Indices[0]}: true}
	for _, i := range whole.Batch.Indices {
		held[[2]int{whole.Task, i}] = true
	}
	seen := map[[2]int]bool{}
	for k := 1; k <= 2*perEpoch; k++ {
		step := mustStep(t, s, k)
		shares, examples := 0.0, 0
		for i, m := range step.Micros {
			shares += m.Share
			examples += len(m.Batch.Indices)
			nothingElse := k == 1 && i == 1
			for _, example := range m.Batch.Indices {
				at := [2]int{m.Task, example}
				seen[at] = true
				if held[at] && !nothingElse {
					all := !slices.ContainsFunc(m.Batch.Indices, func(j int) bool { return !held[[2]int{m.Task, j}] })
					if !all {
						t.Errorf("step %d, task %d: %v has %d, which is held out", k, m.Task, m.Batch.Indices, example)
					}
				}
			}
			if len(m.Batch.Indices)+1 != len(m.Batch.Offsets) || int(m.Batch.Offsets[len(m.Batch.Indices)]) != len(m.Batch.IDs) {
				t.Errorf("step %d: a batch of %d examples has offsets %v", k, len(m.Batch.Indices), m.Batch.Offsets)
			}
			if nothingElse && !slices.Equal(m.Batch.Indices, whole.Batch.Indices) {
				t.Errorf("of the batch that is held out as a whole %v is left, want %v", m.Batch.Indices, whole.Batch.Indices)
			}
		}
		if math.Abs(shares-1) > 1e-12 || examples != step.Examples {
			t.Errorf("step %d: shares of %v, %d of %d examples", k, shares, examples, step.Examples)
		}
	}
	for task, n := range []int{14, 9} {
		for i := range n {
			if at := [2]int{task, i}; !seen[at] && !held[at] {
				t.Errorf("example %d of task %d is missed", i, task)
			}
		}
	}
	if again := mustStep(t, s, 0); again.Examples > first.Examples {
		t.Errorf("%d examples, were %d", again.Examples, first.Examples)
	}
}

// A sample is the same for the same number, has each task, and no example twice; taking
// it disturbs nothing that is being packed.
func TestSample(t *testing.T) {
	s := sourceOf(sized(t, 40, 1, 13), Options{BatchSize: 4, Shuffle: false, Seed: 8})
	for _, c := range []struct{ batches, want int }{{1, 3}, {3, 3}, {5, 4}, {8, 6}, {1000, 15}} {
		before := fmt.Sprint(mustStep(t, s, 2))
		sample, err := s.Sample(c.batches, 0)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := s.Sample(c.batches, 0)
		other, _ := s.Sample(c.batches, 1)
		if fmt.Sprint(again) != fmt.Sprint(sample) || fmt.Sprint(other) == fmt.Sprint(sample) {
			t.Errorf("%d batches: %v, again %v, of another number %v", c.batches, sample, again, other)
		}
		seen, perTask, shares := map[[2]int]bool{}, map[int]bool{}, 0.0
		for _, m := range sample {
			perTask[m.Task] = true
			shares += m.Share
			for _, i := range m.Batch.Indices {
				if seen[[2]int{m.Task, i}] {
					t.Errorf("%d batches: example %d of task %d twice", c.batches, i, m.Task)
				}
				seen[[2]int{m.Task, i}] = true
			}
		}
		if len(sample) != c.want || len(perTask) != 3 || math.Abs(shares-1) > 1e-12 {
			t.Errorf("%d batches: %d micro-batches of %d tasks with shares of %v, want %d of 3", c.batches, len(sample), len(perTask), shares, c.want)
		}
		if after := fmt.Sprint(mustStep(t, s, 2)); after != before {
			t.Errorf("%d batches: step 2 is %s, was %s", c.batches, after, before)
		}
	}
}

// A batch that the model cannot take is the error of its step, and of no other.
func TestBatchesThatAreRefused(t *testing.T) {
	tasks := sized(t, 8)
	tasks[0].Model = checker{refuses: 6}
	s := sourceOf(tasks, Options{BatchSize: 1}) // of 3, 4, 5, 6, 3, … tokens
	for k := range 3 {
		mustStep(t, s, k)
	}
	for range 2 {
		if _, err := s.Step(3); err == nil || err.Error() != "step 4: too long" {
			t.Errorf("step 4: %v", err)
		}
	}
	mustStep(t, s, 4)
	if _, err := s.Sample(9, 0); err == nil {
		t.Error("a sample of what is refused was taken")
	}
}
