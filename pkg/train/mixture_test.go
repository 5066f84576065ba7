package train

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/metatt/metatt/pkg/data"
	"github.com/metatt/metatt/pkg/task"
)

// unpacked are tasks of so many examples, which have no tokens.
func unpacked(sizes []int) (tasks []Task) {
	for i, n := range sizes {
		tasks = append(tasks, Task{Name: fmt.Sprint(i), Train: &data.Set{Examples: make([]task.Example, n)}})
	}
	return tasks
}

// drawnSizes are those of up to seven tasks, among them one of 1 example and one of
// 10,000; or of many that are tiny.
func drawnSizes(draw *rand.Rand) []int {
	sizes := []int{1, 10_000}
	if draw.IntN(3) == 0 {
		sizes = append(sizes, 1, 1, 2, 1, 1, 1, 3)
	}
	for range draw.IntN(5) {
		sizes = append(sizes, 1+int(math.Exp(8*draw.Float64())))
	}
	draw.Shuffle(len(sizes), func(i, j int) { sizes[i], sizes[j] = sizes[j], sizes[i] })
	return sizes
}

// In proportion to size, which is the default, an epoch has every example of every task
// once, in batches of one task.
func TestEpochsHaveEveryExampleOnce(t *testing.T) {
	draw := rand.New(rand.NewPCG(1, 2))
	for range 12 {
		sizes, size := drawnSizes(draw), 1+draw.IntN(40)
		for _, mixture := range []Mixture{{}, {Temperature: 1}} {
			s := sourceOf(unpacked(sizes), Options{BatchSize: size, Shuffle: true, Seed: draw.Uint64(), Mixture: mixture})
			var orders [][]int
			for epoch := range 2 {
				seen := make([][]bool, len(sizes))
				for task, n := range sizes {
					seen[task] = make([]bool, n)
				}
				var order []int
				e := s.plan(epoch)
				for _, c := range e.batches {
					order = append(order, c.task)
					for _, i := range c.examples {
						if seen[c.task][i] {
							t.Fatalf("%v in batches of %d: example %d of task %d twice in epoch %d", sizes, size, i, c.task, epoch)
						}
						seen[c.task][i] = true
					}
				}
				for task := range seen {
					if slices.Contains(seen[task], false) {
						t.Fatalf("%v in batches of %d: epoch %d misses an example of task %d", sizes, size, epoch, task)
					}
				}
				if len(e.batches) != s.StepsPerEpoch() {
					t.Errorf("%v in batches of %d: %d batches, %d steps", sizes, size, len(e.batches), s.StepsPerEpoch())
				}
				orders = append(orders, order)
			}
			if slices.Equal(orders[0], orders[1]) {
				t.Errorf("%v in batches of %d: tasks come in the same order in each epoch", sizes, size)
			}
		}
	}
}

// The micro-batches of an epoch are as many as all examples make; each task has its part
// of them, rounded, and one at least; and its examples pass by one after another, all of
// them before any comes again, over the ends of epochs.
func TestPartsOfTasks(t *testing.T) {
	draw := rand.New(rand.NewPCG(3, 4))
	for _, mixture := range []Mixture{{Temperature: 2}, {Temperature: 1.3}, {Temperature: 7}, {Temperature: 1e6}, {Temperature: math.Inf(1)}, {RoundRobin: true}} {
		for range 8 {
			sizes, size := drawnSizes(draw), 1+draw.IntN(40)
			what := fmt.Sprintf("%+v of %v in batches of %d", mixture, sizes, size)
			s := sourceOf(unpacked(sizes), Options{BatchSize: size, Shuffle: draw.IntN(2) == 0, Seed: draw.Uint64(), Mixture: mixture})
			total := s.StepsPerEpoch()
			checkParts(t, what, mixture, sizes, s.plan(0), total)
			passes := make([][]int, len(sizes))
			for epoch := range 4 {
				e := s.plan(epoch)
				if len(e.batches) != total {
					t.Errorf("%s: %d micro-batches in epoch %d, want %d", what, len(e.batches), epoch, total)
				}
				for _, c := range e.batches {
					if len(c.examples) == 0 || len(c.examples) > size {
						t.Fatalf("%s: a micro-batch of %d", what, len(c.examples))
					}
				}
				// Of a task in their own order: shuffling is among tasks.
				for task, quota := range s.mixture.quotas(sizes, size) {
					for _, c := range s.batches(task, epoch*quota, quota) {
						passes[task] = append(passes[task], c.examples...)
						if !slices.ContainsFunc(e.batches, func(other batch) bool { return other.task == task && slices.Equal(other.examples, c.examples) }) {
							t.Fatalf("%s: epoch %d lacks what task %d has of it", what, epoch, task)
						}
					}
				}
			}
			for task, examples := range passes {
				for pass := range slices.Chunk(examples, sizes[task]) {
					slices.Sort(pass)
					if len(slices.Compact(pass)) != len(pass) {
						t.Fatalf("%s: task %d: an example comes again before all have come", what, task)
					}
				}
			}
		}
	}
}

// checkParts holds an epoch to the proportions of its mixture.
func checkParts(t *testing.T, what string, m Mixture, sizes []int, e epoch, total int) {
	t.Helper()
	exponent := 1 / m.Temperature
	if m.RoundRobin {
		exponent = 0
	}
	sum, parts := 0.0, make([]int, len(sizes))
	for _, n := range sizes {
		sum += math.Pow(float64(n), exponent)
	}
	for _, c := range e.batches {
		parts[c.task]++
	}
	lifted := 0.0 // what tasks below one batch have beyond their part, at the others' cost
	for _, n := range sizes {
		lifted += max(0, 1-float64(total)*math.Pow(float64(n), exponent)/sum)
	}
	for task, n := range sizes {
		exact := float64(total) * math.Pow(float64(n), exponent) / sum
		if part := float64(parts[task]); part < 1 || part > math.Ceil(exact)+1e-9 || part < math.Floor(exact-lifted)-1e-9 {
			t.Errorf("%s: task %d has %v of %d micro-batches, its part is %v", what, task, part, total, exact)
		}
	}
	if !m.RoundRobin {
		return
	}
	for i, c := range e.batches[:len(sizes)*slices.Min(parts)] {
		if c.task != i%len(sizes) {
			t.Fatalf("%s: micro-batch %d is of task %d", what, i, c.task)
		}
	}
}
