package tokenizer

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	sugarme "github.com/sugarme/tokenizer"
)

// The models keep the contract of the Model interface beyond the ids: values, and offsets in bytes of the word.
func TestModels(t *testing.T) {
	unk := map[string]json.RawMessage{"model/unk_token": json.RawMessage(`"<unk>"`), "model/fuse_unk": json.RawMessage("true")}
	for _, c := range []struct {
		base   string
		fields map[string]json.RawMessage
		word   string
		want   []string
		starts []int
	}{
		{"wordpiece", nil, "unaffable", []string{"un", "##aff", "##able"}, []int{0, 2, 5}},
		{"wordpiece", nil, "caféb", []string{"caf", "##é", "##b"}, []int{0, 3, 5}},
		{"wordpiece", nil, "caféé漢", []string{"[UNK]"}, []int{0}},
		{"wordpiece", nil, "", nil, nil},
		{"bytelevel", nil, "aaaaaaa", []string{"aaaa", "aa", "a"}, []int{0, 4, 6}},
		{"bytelevel", nil, "hhhh", []string{"hh", "hh"}, []int{0, 2}},
		{"bytelevel", nil, "Ġcat漢", []string{"Ġcat"}, []int{0}},
		{"bytelevel", unk, "漢字a漢", []string{"<unk>", "a", "<unk>"}, []int{0, 6, 7}},
		{"bytelevel", nil, "漢a字aa", []string{"aa", "a"}, []int{0, 2}},
		{"bytelevel", nil, "", nil, nil},
	} {
		model := mustParse(t, variant(t, c.base, c.fields)).model
		tokens, err := model.Tokenize(c.word)
		if err != nil {
			t.Fatal(err)
		}
		var values []string
		var starts []int
		for i, token := range tokens {
			values = append(values, token.Value)
			starts = append(starts, token.Offsets[0])
			if i+1 < len(tokens) && token.Offsets[1] != tokens[i+1].Offsets[0] {
				t.Errorf("%q: offsets %v then %v", c.word, token.Offsets, tokens[i+1].Offsets)
			}
			checkIDs(t, model, token)
		}
		if !slices.Equal(values, c.want) || !slices.Equal(starts, c.starts) {
			t.Errorf("%q: got %q at %v, want %q at %v", c.word, values, starts, c.want, c.starts)
		}
	}
}

// Time is in proportion to the word, also where most of it vanishes; were it to its square, this would not end.
func TestALongWordOfUnknownCharacters(t *testing.T) {
	model := mustParse(t, variant(t, "bytelevel", nil)).model
	tokens, err := model.Tokenize(strings.Repeat("漢", 1<<20) + "a")
	if err != nil || len(tokens) != 1 || tokens[0].Value != "a" {
		t.Errorf("%v, %v", tokens, err)
	}
}

func checkIDs(t *testing.T, model sugarme.Model, token sugarme.Token) {
	t.Helper()
	if id, ok := model.TokenToId(token.Value); !ok || id != token.Id {
		t.Errorf("%q has id %d, in the vocabulary %d", token.Value, token.Id, id)
	}
	if value, ok := model.IdToToken(token.Id); !ok || value != token.Value {
		t.Errorf("id %d is %q, not %q", token.Id, value, token.Value)
	}
}
