package sample

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/task"
)

func lookup(t *testing.T) task.Task {
	t.Helper()
	sample, err := task.Lookup(task.Sample)
	if err != nil {
		t.Fatal(err)
	}
	return sample
}

func readSample(t *testing.T, s task.Split) []task.Example {
	t.Helper()
	examples, err := Source{}.Read(lookup(t), s, nil)
	if err != nil {
		t.Fatal(err)
	}
	return examples
}

// TestSampleStays holds the sample task to the same examples on every machine and
// in every version: figures that were published on it depend on them.
func TestSampleStays(t *testing.T) {
	for split, want := range map[task.Split]string{
		task.Train: "ae9363176f30ef19ec76e917b329bf313aa1ef164a9f9ce650bff88b845eed4c",
		task.Dev:   "74ae2b390012704f597cca1f1f3eec5e319735885e8d5b69ccdfae1f36a7e990",
	} {
		digest := sha256.New()
		for _, e := range readSample(t, split) {
			fmt.Fprintf(digest, "%s\t%s\t%s\t%d\n", e.ID, e.Text, e.Pair, e.Label)
		}
		if got := hex.EncodeToString(digest.Sum(nil)); got != want {
			t.Errorf("%s: digest %s, want %s", split, got, want)
		}
	}
}

func TestSampleSizes(t *testing.T) {
	for split, want := range map[task.Split]int{task.Train: 2400, task.Dev: 600} {
		examples := readSample(t, split)
		same := 0
		for i, e := range examples {
			same += e.Label
			if e.ID != fmt.Sprint(i) {
				t.Errorf("%s: example %d has the ID %s", split, i, e.ID)
			}
			if n := len(strings.Fields(e.Text + " " + e.Pair)); n > 24 {
				t.Errorf("%s: example %d has %d words", split, i, n)
			}
		}
		if len(examples) != want || same != want/2 {
			t.Errorf("%s: %d examples, %d the same; want %d and half of them", split, len(examples), same, want)
		}
	}
	if _, err := (Source{}).Read(lookup(t), task.Test, nil); err == nil || err.Error() != `task sample has no split "test"; it has train, dev` {
		t.Errorf("test: %v", err)
	}
}

// words is a sentence without its order.
func words(sentence string) string {
	all := strings.Fields(sentence)
	slices.Sort(all)
	return strings.Join(all, " ")
}

// TestSampleNeedsWordOrder proves that nothing that ignores the order of the
// words within a sentence is right more often than chance: whatever the words of
// two sentences are, as many examples with them say the same as do not.
func TestSampleNeedsWordOrder(t *testing.T) {
	for _, split := range []task.Split{task.Train, task.Dev} {
		balance := map[string]int{}
		for _, e := range readSample(t, split) {
			balance[words(e.Text)+"|"+words(e.Pair)] += 2*e.Label - 1
		}
		for bag, b := range balance {
			if b != 0 {
				t.Errorf("%s: %d more of one label with the words %s", split, b, bag)
			}
		}
	}
}

// TestSampleSplitsShareNothing looks for two people who meet in train and in dev
// and for examples that occur twice.
func TestSampleSplitsShareNothing(t *testing.T) {
	met := map[task.Split]map[string]bool{task.Train: {}, task.Dev: {}}
	seen := map[string]bool{}
	for split, pairs := range met {
		for _, e := range readSample(t, split) {
			if seen[e.Text+e.Pair] {
				t.Errorf("%s: %s %s occurs twice", split, e.Text, e.Pair)
			}
			seen[e.Text+e.Pair] = true
			var two []string
			for _, word := range strings.Fields(e.Text) {
				if slices.Contains(people, word) {
					two = append(two, word)
				}
			}
			slices.Sort(two)
			if len(two) != 2 || two[0] == two[1] {
				t.Fatalf("%s: %s has the people %v", split, e.Text, two)
			}
			pairs[two[0]+" "+two[1]] = true
		}
	}
	for pair := range met[task.Dev] {
		if met[task.Train][pair] {
			t.Errorf("%s meet in both splits", pair)
		}
	}
}

// TestRelations holds the two phrasings of a relation to their order of X and Y.
func TestRelations(t *testing.T) {
	for _, phrasings := range relations {
		for i, order := range []string{"XY", "YX"} {
			got := strings.Map(func(r rune) rune {
				if strings.ContainsRune("XY", r) {
					return r
				}
				return -1
			}, phrasings[i])
			if got != order {
				t.Errorf("%q has the order %s, want %s", phrasings[i], got, order)
			}
		}
	}
}

// A classifier may have its classes in the other order: the labels count.
func TestLabelsInAnotherOrder(t *testing.T) {
	straight := readSample(t, task.Dev)
	turned, err := lookup(t).WithLabels([]string{"same", "different"})
	if err != nil {
		t.Fatal(err)
	}
	reverse, err := Source{}.Read(turned, task.Dev, nil)
	if err != nil || len(reverse) != len(straight) {
		t.Fatal(err)
	}
	for i := range reverse {
		if reverse[i].Label != 1-straight[i].Label {
			t.Fatalf("example %d has label %d in both orders", i, reverse[i].Label)
		}
	}
}

func TestReadsNoOtherTask(t *testing.T) {
	rte, err := task.Lookup("rte")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (Source{}).Read(rte, task.Dev, nil); err == nil || err.Error() != "task RTE is not the built-in one" {
		t.Errorf("%v", err)
	}
}
