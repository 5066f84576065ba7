// Package sample is the built-in task, which needs no files: do two sentences tell
// the same event? "the baker helped the pilot ." and "the pilot was helped by the
// baker ." do. Every pair of sentences has a twin in its split with the same words
// in both sentences and the other label, so that only the order of the words tells;
// and the two people of a dev example never meet in train.
package sample

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/metatt/metatt/pkg/task"
)

const (
	trainExamples = 2400
	devExamples   = 600
	seed          = 2506 // another one makes another data set of the same kind
)

// Source writes the examples of the task [task.Sample], the same at every call,
// half of them of each label.
type Source struct{}

// Read is [task.Source].
func (Source) Read(t task.Task, s task.Split, _ func(string)) ([]task.Example, error) {
	if t.Name != task.Sample {
		return nil, fmt.Errorf("task %s is not the built-in one", t.Name)
	}
	if err := t.CheckSplit(s); err != nil {
		return nil, err
	}
	different, same := slices.Index(t.Labels, "different"), slices.Index(t.Labels, "same")
	train, dev := meetings(rand.New(rand.NewPCG(seed, 0)))
	if s == task.Dev {
		return write(rand.New(rand.NewPCG(seed, 2)), dev, devExamples, different, same), nil
	}
	return write(rand.New(rand.NewPCG(seed, 1)), train, trainExamples, different, same), nil
}

// meetings divides all pairs of different people between train and dev, 4 to 1.
func meetings(random *rand.Rand) (train, dev [][2]string) {
	var all [][2]string
	for i, x := range people {
		for _, y := range people[:i] {
			all = append(all, [2]string{x, y})
		}
	}
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[len(all)/5:], all[:len(all)/5]
}

// write makes n different examples about people who meet, n even, with the labels'
// indices.
func write(random *rand.Rand, meetings [][2]string, n, different, same int) []task.Example {
	seen := map[string]bool{}
	examples := make([]task.Example, 0, n)
	for len(examples) < n {
		phrasings := relations[random.IntN(len(relations))]
		pair := meetings[random.IntN(len(meetings))]
		turn := random.IntN(2)
		x, y := pair[turn], pair[1-turn]
		first := random.IntN(2)

		text := phrase(phrasings[first], x, y)
		again := phrase(phrasings[1-first], x, y)
		if seen[text+again] {
			continue
		}
		seen[text+again] = true
		examples = append(examples,
			task.Example{Text: text, Pair: phrase(phrasings[1-first], y, x), Label: different},
			task.Example{Text: text, Pair: again, Label: same})
	}
	random.Shuffle(n, func(i, j int) { examples[i], examples[j] = examples[j], examples[i] })
	for i := range examples {
		examples[i].ID = strconv.Itoa(i)
	}
	return examples
}

// phrase puts two people into a phrasing.
func phrase(phrasing, x, y string) string {
	return strings.NewReplacer("X", x, "Y", y).Replace(phrasing)
}
