package train

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"testing"
)

// What is held out is in no step, that which is packed already included: a batch of nothing
// else gets others of its task. Other tasks keep their examples of those numbers.
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
			for _, example := range m.Batch.Indices {
				at := [2]int{m.Task, example}
				seen[at] = true
				if held[at] {
					t.Errorf("step %d, task %d: %v has %d, which is held out", k, m.Task, m.Batch.Indices, example)
				}
			}
			if len(m.Batch.Indices)+1 != len(m.Batch.Offsets) || int(m.Batch.Offsets[len(m.Batch.Indices)]) != len(m.Batch.IDs) {
				t.Errorf("step %d: a batch of %d examples has offsets %v", k, len(m.Batch.Indices), m.Batch.Offsets)
			}
			if all := len(whole.Batch.Indices); k == 1 && i == 1 && (m.Task != whole.Task || len(m.Batch.Indices) != all || len(slices.Compact(slices.Sorted(slices.Values(m.Batch.Indices)))) != all) {
				t.Errorf("in the place of a batch that is held out as a whole stands %v of task %d, want as many others of task %d", m.Batch.Indices, m.Task, whole.Task)
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
