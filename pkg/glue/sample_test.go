package glue

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func readSample(t *testing.T, s Split) []Example {
	t.Helper()
	task, err := Lookup(SampleName)
	if err != nil {
		t.Fatal(err)
	}
	examples, err := task.Read("", s)
	if err != nil {
		t.Fatal(err)
	}
	return examples
}

// TestSampleStays holds the sample task to the same examples on every machine and
// in every version: figures that were published on it depend on them.
func TestSampleStays(t *testing.T) {
	for split, want := range map[Split]string{
		Train: "ae9363176f30ef19ec76e917b329bf313aa1ef164a9f9ce650bff88b845eed4c",
		Dev:   "74ae2b390012704f597cca1f1f3eec5e319735885e8d5b69ccdfae1f36a7e990",
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
	for split, want := range map[Split]int{Train: 2400, Dev: 600} {
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
	task, err := Lookup(SampleName)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := task.Read("", Test); err == nil || err.Error() != `task sample has no split "test"; it has train, dev` {
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
	for _, split := range []Split{Train, Dev} {
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
	met := map[Split]map[string]bool{Train: {}, Dev: {}}
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
	for pair := range met[Dev] {
		if met[Train][pair] {
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

func TestWriteSample(t *testing.T) {
	dir := t.TempDir()
	if err := WriteSample(dir); err != nil {
		t.Fatal(err)
	}
	task, err := Lookup(SampleName)
	if err != nil {
		t.Fatal(err)
	}
	for _, split := range task.Splits() {
		got, err := task.Read(dir, split)
		if err != nil || !slices.Equal(got, readSample(t, split)) {
			t.Errorf("%s: what is read is not what was written (%v)", split, err)
		}
	}
	if _, err := Find(dir, "", ""); err != nil {
		t.Errorf("Find: %v", err)
	}

	occupied := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(occupied, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	err = WriteSample(occupied)
	if want := "write the sample task: mkdir " + occupied + ": not a directory"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
