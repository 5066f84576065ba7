package tokenizer

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// goldenSet is one tokenizer of testdata/golden.json and what the reference answered with it. The first set has only the
// texts that the others refer to.
type goldenSet struct {
	Texts  []string                   `json:"texts"`
	Base   string                     `json:"base"`
	Fields map[string]json.RawMessage `json:"fields"` // by path, in place of the base's
	Cases  []struct {
		Texts     []int   `json:"texts"`
		MaxLength int     `json:"max_length"`
		IDs       []int32 `json:"ids"`
		TypeIDs   []int32 `json:"type_ids"`
	} `json:"cases"`
}

func readJSON(t testing.TB, name string, value any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, value); err != nil {
		t.Fatal(err)
	}
}

// variant returns a tokenizer.json of testdata with some fields replaced, or removed where a value is empty.
func variant(t testing.TB, base string, fields map[string]json.RawMessage) []byte {
	t.Helper()
	var file map[string]any
	readJSON(t, filepath.Join(base, "tokenizer.json"), &file)
	for path, value := range fields {
		at := file
		names := strings.Split(path, "/")
		for _, name := range names[:len(names)-1] {
			at = at[name].(map[string]any)
		}
		last := names[len(names)-1]
		if len(value) == 0 {
			delete(at, last)
		} else {
			at[last] = value
		}
	}
	data, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// tokenizerOf is a tokenizer.json as it stands, without settings beside it.
func tokenizerOf(data []byte) (*Tokenizer, error) {
	f, err := parseTokenizerJSON(data)
	if err != nil {
		return nil, err
	}
	added, err := newAddedVocabulary(f.added, f.model, f.encoder.normalize)
	if err != nil {
		return nil, err
	}
	t := newTokenizer(f.model, f.encoder, added, f.post)
	t.truncateLeft = f.direction == "left"
	return t, nil
}

func mustParse(t testing.TB, data []byte) *Tokenizer {
	t.Helper()
	tokenizer, err := tokenizerOf(data)
	if err != nil {
		t.Fatal(err)
	}
	return tokenizer
}

func TestGolden(t *testing.T) {
	var sets []goldenSet
	readJSON(t, "golden.json", &sets)
	texts := sets[0].Texts
	for _, set := range sets[1:] {
		name := fmt.Sprint(set.Base, slices.Sorted(maps.Keys(set.Fields)))
		t.Run(name, func(t *testing.T) {
			tokenizer := mustParse(t, variant(t, set.Base, set.Fields))
			var inputs []Input
			for _, c := range set.Cases {
				in := Input{Text: texts[c.Texts[0]], HasPair: len(c.Texts) == 2}
				if in.HasPair {
					in.Pair = texts[c.Texts[1]]
				}
				inputs = append(inputs, in)
				// Twice, because the second time the words come from the cache.
				for range 2 {
					got, err := tokenizer.Encode(in, c.MaxLength)
					if err != nil {
						t.Fatal(err)
					}
					if !slices.Equal(got.IDs, c.IDs) || !slices.Equal(got.TypeIDs, c.TypeIDs) {
						t.Errorf("%+v, maximum length %d:\n got %v %v\nwant %v %v", in, c.MaxLength, got.IDs, got.TypeIDs, c.IDs, c.TypeIDs)
					}
				}
			}
			all, err := tokenizer.EncodeAll(context.Background(), inputs, 1000)
			if err != nil {
				t.Fatal(err)
			}
			for i, c := range set.Cases {
				if c.MaxLength == 512 && !slices.Equal(all[i].IDs, c.IDs) {
					t.Errorf("EncodeAll: row %d: got %v, want %v", i, all[i].IDs, c.IDs)
				}
			}
		})
	}
}

// A text that is not UTF-8 is encoded as what it decodes to.
func TestEncodeInvalidUTF8(t *testing.T) {
	tokenizer := mustParse(t, variant(t, "bytelevel", nil))
	got, err := tokenizer.Encode(Input{Text: "a\xe2\x82b"}, 100)
	if err != nil {
		t.Fatal(err)
	}
	want, err := tokenizer.Encode(Input{Text: "a\ufffdb"}, 100)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.IDs, want.IDs) {
		t.Errorf("got %v, want %v", got.IDs, want.IDs)
	}
}

// A word of a megabyte takes time and memory in proportion to it. In the fixture's vocabulary, a power of two of letters a
// is made of fours.
func TestMegabyteOfOneLetter(t *testing.T) {
	const n = 1 << 20
	long := strings.Repeat("a", n)
	for base, want := range map[string]int{"wordpiece": 1, "bytelevel": n / 4} {
		tokenizer := mustParse(t, variant(t, base, nil))
		got, err := tokenizer.Encode(Input{Text: long}, 2*n)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.IDs) != want+2 {
			t.Errorf("%s: %d ids instead of %d", base, len(got.IDs), want+2)
		}
		if middle := got.IDs[1 : len(got.IDs)-1]; slices.Min(middle) != slices.Max(middle) {
			t.Errorf("%s: ids differ", base)
		}
	}
}
