package data_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/metatt/metatt/pkg/data"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/tokenizer"
)

const tinyBERT = "../run/testdata/tiny-bert"

// setting is more than the least text that is cached.
func setting(t testing.TB) (*tokenizer.Tokenizer, task.Task, []task.Example) {
	t.Helper()
	tokens, err := tokenizer.Load(tinyBERT)
	if err != nil {
		t.Fatal(err)
	}
	named, err := task.Lookup("mrpc")
	if err != nil {
		t.Fatal(err)
	}
	examples := make([]task.Example, 4000)
	for i := range examples {
		examples[i] = task.Example{Text: strings.Repeat("the old king sees a ship ", 1+i%9), Pair: fmt.Sprint("never ", strings.Repeat("river ", i%23), strings.Repeat("x", 100))}
	}
	return tokens, named, examples
}

func encode(t testing.TB, c data.Cache, tokens *tokenizer.Tokenizer, task task.Task, examples []task.Example, maxLength int) data.Batch {
	t.Helper()
	set, err := c.Encode(t.Context(), tokens, task, examples, maxLength)
	if err != nil {
		t.Fatal(err)
	}
	return set.Batch(set.Order(0, 0, false))
}

func same(a, b data.Batch) bool {
	return slices.Equal(a.IDs, b.IDs) && slices.Equal(a.TypeIDs, b.TypeIDs) && slices.Equal(a.Offsets, b.Offsets)
}

func entries(t testing.TB, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestCacheGivesWhatEncodingGives(t *testing.T) {
	tokens, task, examples := setting(t)
	c := data.Cache{Dir: filepath.Join(t.TempDir(), "cache"), Limit: 1 << 30}
	want := encode(t, data.Cache{}, tokens, task, examples, 40)
	for range 2 { // made, read
		if !same(encode(t, c, tokens, task, examples, 40), want) {
			t.Fatal("through the cache: other ids")
		}
	}
	if n := len(entries(t, c.Dir)); n != 1 {
		t.Fatalf("%d entries of one set", n)
	}
	// Whatever decides the ids decides the entry.
	encode(t, c, tokens, task, examples, 39)
	changed := slices.Clone(examples)
	changed[7].Text, changed[7].Pair = changed[7].Pair, changed[7].Text
	if same(encode(t, c, tokens, task, changed, 40), want) {
		t.Error("other texts got the ids of these")
	}
	if n := len(entries(t, c.Dir)); n != 3 {
		t.Errorf("%d entries of three sets", n)
	}
}

// What is cut is counted, with the cache and without, and what just fits is not.
func TestCutExamplesAreCounted(t *testing.T) {
	tokens, task, examples := setting(t)
	c := data.Cache{Dir: filepath.Join(t.TempDir(), "cache"), Limit: 1 << 30}
	whole, err := data.Encode(t.Context(), tokens, task, examples, 512)
	if err != nil || whole.Cut() != 0 {
		t.Fatalf("%d are cut at 512 (%v)", whole.Cut(), err)
	}
	all := whole.Batch(whole.Order(0, 0, false))
	for _, length := range []int{whole.Longest(), 100, 40} {
		want := 0
		for i := range examples {
			if int(all.Offsets[i+1]-all.Offsets[i]) > length {
				want++
			}
		}
		for _, cache := range []data.Cache{{}, c, c} {
			set, err := cache.Encode(t.Context(), tokens, task, examples, length)
			if err != nil || set.Cut() != want {
				t.Errorf("at %d: %d are cut (%v), want %d", length, set.Cut(), err, want)
			}
		}
	}
}

func TestDamagedEntriesAreMadeAgain(t *testing.T) {
	tokens, task, examples := setting(t)
	c := data.Cache{Dir: t.TempDir(), Limit: 1 << 30}
	want := encode(t, c, tokens, task, examples, 40)
	path := entries(t, c.Dir)[0]
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func([]byte) []byte{
		"truncated": func(b []byte) []byte { return b[:len(b)/2] },
		"empty":     func([]byte) []byte { return nil },
		"longer":    func(b []byte) []byte { return append(b, 0) },
		"one bit":   func(b []byte) []byte { b[len(b)/3] ^= 4; return b },
	} {
		if err := os.WriteFile(path, damage(slices.Clone(sound)), 0o644); err != nil {
			t.Fatal(err)
		}
		if !same(encode(t, c, tokens, task, examples, 40), want) {
			t.Errorf("%s: other ids", name)
		}
		if again, err := os.ReadFile(path); err != nil || !slices.Equal(again, sound) {
			t.Errorf("%s: the entry was not made again (%v)", name, err)
		}
	}
}

func TestCacheStaysWithinItsLimit(t *testing.T) {
	tokens, task, examples := setting(t)
	c := data.Cache{Dir: t.TempDir(), Limit: 1 << 30}
	encode(t, c, tokens, task, examples, 40)
	oldest := entries(t, c.Dir)[0]
	info, err := os.Stat(oldest)
	if err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(oldest, past, past); err != nil {
		t.Fatal(err)
	}
	c.Limit = info.Size() + info.Size()/2
	encode(t, c, tokens, task, examples, 38)
	if left := entries(t, c.Dir); len(left) != 1 || left[0] == oldest {
		t.Errorf("left: %v; the newer entry alone fits", left)
	}
	// A folder that cannot be written costs nothing.
	c.Dir = filepath.Join(oldest, "no folder")
	encode(t, c, tokens, task, examples, 40)
}

func TestSmallSetsAreNotCached(t *testing.T) {
	tokens, task, examples := setting(t)
	c := data.Cache{Dir: t.TempDir(), Limit: 1 << 30}
	encode(t, c, tokens, task, examples[:50], 40)
	if n := len(entries(t, c.Dir)); n != 0 {
		t.Errorf("%d entries of a set that is encoded in a moment", n)
	}
}
