package glue

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/google/renameio/v2"
)

// The sample task asks whether two sentences tell the same event: "the baker
// helped the pilot ." and "the pilot was helped by the baker ." do. Every pair of
// sentences has a twin in its split with the same words in both sentences and the
// other label, so that only the order of the words tells; and the two people of a
// dev example never meet in train.
const (
	SampleName  = "sample"
	sampleTrain = 2400
	sampleDev   = 600
	sampleSeed  = 2506 // another one makes another data set of the same kind
)

// sampleLabels is the order in which sampleExamples counts them.
var sampleLabels = []string{"different", "same"}

// generateSample returns the sample task's train or dev examples, the same at
// every call, half of them of each label.
func generateSample(s Split) []Example {
	train, dev := meetings(rand.New(rand.NewPCG(sampleSeed, 0)))
	if s == Dev {
		return sampleExamples(rand.New(rand.NewPCG(sampleSeed, 2)), dev, sampleDev)
	}
	return sampleExamples(rand.New(rand.NewPCG(sampleSeed, 1)), train, sampleTrain)
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

// sampleExamples writes n different examples about people who meet, n even.
func sampleExamples(random *rand.Rand, meetings [][2]string, n int) []Example {
	seen := map[string]bool{}
	examples := make([]Example, 0, n)
	for len(examples) < n {
		phrasings := relations[random.IntN(len(relations))]
		pair := meetings[random.IntN(len(meetings))]
		turn := random.IntN(2)
		x, y := pair[turn], pair[1-turn]
		first := random.IntN(2)

		text := phrase(phrasings[first], x, y)
		same := phrase(phrasings[1-first], x, y)
		if seen[text+same] {
			continue
		}
		seen[text+same] = true
		examples = append(examples,
			Example{Text: text, Pair: phrase(phrasings[1-first], y, x), Label: 0},
			Example{Text: text, Pair: same, Label: 1})
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

// WriteSample writes the sample task's files as sample/train.tsv and
// sample/dev.tsv below dir, in the form of GLUE's own.
func WriteSample(dir string) error {
	task, err := Lookup(SampleName)
	if err != nil {
		return err
	}
	folder := filepath.Join(dir, task.Folder)
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return fmt.Errorf("write the sample task: %w", err)
	}
	for _, f := range task.files {
		var tsv strings.Builder
		fmt.Fprintf(&tsv, "%s\t%s\t%s\t%s\n", task.columns.id, task.columns.text, task.columns.pair, task.columns.label)
		for _, e := range generateSample(f.split) {
			fmt.Fprintf(&tsv, "%s\t%s\t%s\t%s\n", e.ID, e.Text, e.Pair, task.Labels[e.Label])
		}
		if err := renameio.WriteFile(filepath.Join(folder, f.name), []byte(tsv.String()), 0o666); err != nil {
			return fmt.Errorf("write the sample task: %w", err)
		}
	}
	return nil
}
