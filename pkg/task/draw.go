package task

import (
	"hash/fnv"
	"math/rand/v2"
	"slices"
)

// Draw is so many of the examples of a split, in their order, drawn by the seed and
// the split's name alone; all of them where there are no more, or limit is 0.
func Draw(examples []Example, limit int, seed uint64, split string) []Example {
	if limit == 0 || limit >= len(examples) {
		return examples
	}
	name := fnv.New64a()
	name.Write([]byte(split))
	chosen := rand.New(rand.NewPCG(seed, name.Sum64())).Perm(len(examples))[:limit]
	slices.Sort(chosen)
	drawn := make([]Example, limit)
	for i, k := range chosen {
		drawn[i] = examples[k]
	}
	return drawn
}
