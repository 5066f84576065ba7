package train

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Mixture is how the micro-batches of an epoch are shared out among tasks: in turn, or
// shuffled, a task of n examples having a part in proportion to n^(1/Temperature) (Raffel et
// al. 2020, §3.5.2). With the zero Mixture, that of Temperature 1, an epoch has every example of every
// task once.
type Mixture struct {
	RoundRobin  bool
	Temperature float64 // 0: 1; +Inf: all tasks alike
}

// epoch is the micro-batches of one epoch, in order.
type epoch struct {
	number  int // from 0
	batches []batch
}

// batch is the examples of one micro-batch.
type batch struct {
	task     int
	examples []int // in its training set
}

// plan makes the micro-batches of an epoch.
func (s *Source) plan(number int) epoch {
	quotas := s.mixture.quotas(s.examples(), s.batchSize)
	e := epoch{number: number}
	perTask := make([][]batch, len(s.tasks))
	for task, quota := range quotas {
		perTask[task] = s.batches(task, number*quota, quota)
	}
	if s.mixture.RoundRobin {
		for i := range slices.Max(quotas) {
			for _, batches := range perTask {
				if i < len(batches) {
					e.batches = append(e.batches, batches[i])
				}
			}
		}
		return e
	}
	e.batches = slices.Concat(perTask...)
	if len(s.tasks) > 1 {
		const apart = 0x6d697874757265 // from the orders of examples
		order := rand.New(rand.NewPCG(mixed(s.seed+apart), uint64(number)))
		order.Shuffle(len(e.batches), func(i, j int) { e.batches[i], e.batches[j] = e.batches[j], e.batches[i] })
	}
	return e
}

// batches are so many micro-batches of a task, from number first on: its examples pass by
// again and again, each time in an order of its own.
func (s *Source) batches(task, first, count int) (cut []batch) {
	perPass := ceil(s.tasks[task].Train.Len(), s.batchSize)
	var order []int
	for i := first; i < first+count; i++ {
		if order == nil || i%perPass == 0 {
			order = s.order(task, i/perPass, s.shuffle)
		}
		from := i % perPass * s.batchSize
		cut = append(cut, batch{task, order[from:min(from+s.batchSize, len(order))]})
	}
	return cut
}

// order is that of a task's examples when they pass by for the given time, from 0.
func (s *Source) order(task, pass int, shuffle bool) []int {
	seed := s.seed
	if task > 0 {
		seed = mixed(seed + uint64(task))
	}
	return s.tasks[task].Train.Order(seed, pass, shuffle)
}

// quotas are the micro-batches that an epoch has of each task: as many in all as all
// examples make, and at least one of each.
func (m Mixture) quotas(examples []int, batchSize int) []int {
	quotas, total := make([]int, len(examples)), 0
	for i, n := range examples {
		quotas[i] = ceil(n, batchSize)
		total += quotas[i]
	}
	temperature := m.Temperature
	if m.RoundRobin {
		temperature = math.Inf(1)
	}
	if len(examples) == 1 || temperature == 0 || temperature == 1 {
		return quotas
	}
	weights, sum := make([]float64, len(examples)), 0.0
	for i, n := range examples {
		weights[i] = math.Pow(float64(n), 1/temperature)
		sum += weights[i]
	}
	left := total
	rest := make([]float64, len(examples)) // of the exact part, above the quota
	for i, w := range weights {
		exact := float64(total) * w / sum
		quotas[i] = max(1, int(exact))
		rest[i] = exact - float64(quotas[i])
		left -= quotas[i]
	}
	for ; left > 0; left-- {
		most := 0
		for i := range rest {
			if rest[i] > rest[most] {
				most = i
			}
		}
		quotas[most]++
		rest[most]--
	}
	for ; left < 0; left++ { // tasks so small that one batch is more than their part
		most := 0
		for i := range quotas {
			if quotas[i] > quotas[most] {
				most = i
			}
		}
		quotas[most]--
	}
	return quotas
}
