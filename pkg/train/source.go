package train

import (
	"fmt"
	"math"
	"slices"

	"github.com/metatt/metatt/pkg/data"
)

// Micro is a micro-batch: examples of one task. In a group each process has a part of
// them, some processes perhaps none.
type Micro struct {
	Task  int        // among the run's
	Batch data.Batch // the examples that this process computes
	All   []int      // all examples, in the training set; nil: those of Batch
	Share float64    // of the step's loss: of all its examples, these
	Seed  uint64     // of the step's dropout masks
	Draws uint64     // seed of what else is drawn
	First bool       // of the step
}

// examples are all of the micro-batch's.
func (m Micro) examples() []int {
	if m.All == nil {
		return m.Batch.Indices
	}
	return m.All
}

// part is how much of the micro-batch this process computes, from 0 to 1.
func (m Micro) part() float64 { return float64(len(m.Batch.Indices)) / float64(len(m.examples())) }

// Step is what one update is made with.
type Step struct {
	Number   int // from 0
	Micros   []Micro
	Examples int
}

// Source hands out a run's micro-batches. What step k has depends on the seed and k
// alone, so that a resumed run needs no state of it.
type Source struct {
	tasks      []Task
	rank, size int // of this process in its group
	batchSize  int
	accumulate int
	shuffle    bool
	seed       uint64
	mixture    Mixture
	epoch      epoch
	heldOut    []heldOut     // by task; nil: none
	ahead      chan prepared // the next step, being packed; nil: none is
}

// prepared is a step that was packed ahead.
type prepared struct {
	step Step
	err  error
}

func newSource(s Setup) *Source {
	o := s.Options
	source := &Source{
		tasks: s.Tasks, size: 1, batchSize: o.BatchSize, accumulate: max(1, o.Accumulate), shuffle: o.Shuffle, seed: o.Seed, mixture: o.Mixture,
		epoch: epoch{number: -1},
	}
	if s.Group != nil {
		source.rank, source.size = s.Group.Rank(), s.Group.Size()
	}
	return source
}

// StepsPerEpoch is the number of steps that go over as many batches as all examples of
// all tasks make. The last may be short.
func StepsPerEpoch(examples []int, batchSize, accumulate int) int {
	batches := 0
	for _, n := range examples {
		batches += ceil(n, batchSize)
	}
	return ceil(batches, max(1, accumulate))
}

func ceil(n, d int) int { return (n + d - 1) / d }

// StepsPerEpoch is that of the run.
func (s *Source) StepsPerEpoch() int { return StepsPerEpoch(s.examples(), s.batchSize, s.accumulate) }

// examples counts each task's.
func (s *Source) examples() []int {
	examples := make([]int, len(s.tasks))
	for i, task := range s.tasks {
		examples[i] = task.Train.Len()
	}
	return examples
}

// Step is step number k, from 0; the one after it is packed in the background.
func (s *Source) Step(k int) (Step, error) {
	next := s.take()
	if next == nil || next.step.Number != k {
		step, err := s.pack(k)
		next = &prepared{step, err}
	}
	s.ahead = make(chan prepared, 1)
	go func(ahead chan<- prepared) {
		step, err := s.pack(k + 1)
		ahead <- prepared{step, err}
	}(s.ahead)
	return next.step, next.err
}

// take waits for what is being packed; nil: nothing is.
func (s *Source) take() *prepared {
	if s.ahead == nil {
		return nil
	}
	next := <-s.ahead
	s.ahead = nil
	return &next
}

// HoldOut leaves those micro-batches' examples out of all steps to come; nil: none. A task
// must have others.
func (s *Source) HoldOut(micros []Micro) {
	s.take() // it was packed with others
	s.heldOut = nil
	if len(micros) == 0 {
		return
	}
	s.heldOut = make([]heldOut, len(s.tasks))
	for _, m := range micros {
		h := &s.heldOut[m.Task]
		if h.has == nil {
			h.has = map[int]bool{}
		}
		for _, i := range m.Batch.Indices {
			h.has[i] = true
		}
	}
	for task := range s.heldOut {
		h := &s.heldOut[task]
		for i := range s.tasks[task].Train.Len() {
			if !h.has[i] {
				h.others = append(h.others, i)
			}
		}
	}
}

// heldOut is what no step has of a task's training examples, and those that are left.
type heldOut struct {
	has    map[int]bool
	others []int
}

// pack packs and checks the micro-batches of a step.
func (s *Source) pack(k int) (Step, error) {
	perEpoch := s.StepsPerEpoch()
	if number := k / perEpoch; number != s.epoch.number {
		s.epoch = s.plan(number)
	}
	step := Step{Number: k}
	first := k % perEpoch * s.accumulate
	for i, b := range s.epoch.batches[first:min(first+s.accumulate, len(s.epoch.batches))] {
		all := s.remaining(b, first+i)
		m, err := s.micro(b.task, s.own(all))
		if err != nil {
			return step, fmt.Errorf("step %d: %w", k+1, err)
		}
		m.All, m.Seed, m.Draws, m.First = all, microSeed(s.seed, k, 0), microSeed(s.seed, k, i), i == 0
		if s.rank > 0 {
			m.Draws = mixed(m.Draws + uint64(s.rank))
		}
		step.Micros = append(step.Micros, m)
	}
	step.Examples = share(step.Micros)
	return step, nil
}

// own is this process's part of a micro-batch's examples. The first process has one at least.
func (s *Source) own(all []int) []int {
	return all[ceil(s.rank*len(all), s.size):ceil((s.rank+1)*len(all), s.size)]
}

func (s *Source) micro(task int, indices []int) (Micro, error) {
	if len(indices) == 0 {
		return Micro{Task: task}, nil
	}
	m := Micro{Task: task, Batch: s.tasks[task].Train.Batch(indices)}
	return m, s.tasks[task].Model.Check(packed(m.Batch))
}

// share gives each micro-batch its part of the mean over all their examples, and counts
// these.
func share(micros []Micro) (examples int) {
	for _, m := range micros {
		examples += len(m.examples())
	}
	for i := range micros {
		micros[i].Share = float64(len(micros[i].examples())) / float64(examples)
	}
	return examples
}

// remaining is a batch's examples without those that are held out. One that has no other gets
// as many of the others, from a place that its number in the epoch decides.
func (s *Source) remaining(b batch, number int) []int {
	if s.heldOut == nil || len(s.heldOut[b.task].has) == 0 {
		return b.examples
	}
	h := s.heldOut[b.task]
	rest := slices.DeleteFunc(slices.Clone(b.examples), func(i int) bool { return h.has[i] })
	if len(rest) > 0 {
		return rest
	}
	for k := range min(len(b.examples), len(h.others)) {
		rest = append(rest, h.others[(number*s.batchSize+k)%len(h.others)])
	}
	return rest
}

// SampleSizes are how many examples of each task a sample of about so many micro-batches has.
func SampleSizes(examples []int, batches, batchSize int) []int {
	sizes := make([]int, len(examples))
	for task, n := range examples {
		of := batches / len(examples)
		if task < batches%len(examples) {
			of++
		}
		sizes[task] = min(max(1, of)*batchSize, n)
	}
	return sizes
}

// Sample is about so many micro-batches in an order of their own, the same for the same
// number: of each task alike, and at least one.
func (s *Source) Sample(batches, number int) ([]Micro, error) {
	var micros []Micro
	for task, size := range SampleSizes(s.examples(), batches, s.batchSize) {
		order := s.order(task, math.MaxInt32-number, true)[:size]
		for indices := range slices.Chunk(order, s.batchSize) {
			m, err := s.micro(task, indices)
			if err != nil {
				return nil, err
			}
			micros = append(micros, m)
		}
	}
	share(micros)
	return micros, nil
}

// microSeed mixes seed, step and micro-batch (splitmix64's finaliser): neighbouring
// ones get unrelated generators.
func microSeed(seed uint64, step, micro int) uint64 {
	return mixed(seed + 0x9e3779b97f4a7c15*uint64(step+1) + 0xd1b54a32d192ed03*uint64(micro))
}

func mixed(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
