package train

import (
	"errors"
	"fmt"
	"math"
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
func (checker) Packs() bool                                                        { return false }
func (checker) NewBatch(encoder.Input) *encoder.Batch                              { return nil }
func (checker) NewBatchOf(encoder.Input, encoder.Shape) *encoder.Batch             { return nil }
func (checker) Logits(*encoder.Batch, adapter.Pass, encoder.Dropout) *torch.Tensor { return nil }
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
		seeds, masks := map[uint64]bool{}, map[uint64]bool{}
		for k := range 30 {
			step := mustStep(t, s, k)
			steps = append(steps, fmt.Sprint(step))
			for _, m := range step.Micros { // the step's masks are the same however it is divided
				if seeds[m.Draws] || m.First && masks[m.Seed] || m.Seed != step.Micros[0].Seed {
					t.Errorf("%s: step %d has a seed again", name, k)
				}
				seeds[m.Draws], masks[m.Seed] = true, true
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
