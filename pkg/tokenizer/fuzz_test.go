package tokenizer

import (
	"strings"
	"testing"
)

// A tokenizer.json of any content is an error, or a tokenizer that encodes.
func FuzzTokenizerJSON(f *testing.F) {
	f.Add(variant(f, "wordpiece", nil), "The cat [MASK] é一")
	f.Add(variant(f, "bytelevel", nil), "the cat's  <mask> 2000")
	f.Add([]byte(`{"model":{"type":"BPE","vocab":{"a":0,"aa":1},"merges":["a a"]},"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":true}}`), "aaa")
	f.Fuzz(func(t *testing.T, data []byte, text string) {
		tokenizer, err := parseTokenizerJSON(data)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error of several lines: %q", err)
			}
			return
		}
		checkEncode(t, tokenizer, Input{Text: text, Pair: text, HasPair: true}, 40)
		checkEncode(t, tokenizer, Input{Text: text}, 40)
	})
}

func FuzzEncode(f *testing.F) {
	wordPiece, byteLevel := mustParse(f, variant(f, "wordpiece", nil)), mustParse(f, variant(f, "bytelevel", nil))
	f.Add("The cat\r\n\x00[MASK]", "e\u0301 一 \xed\xa0\x80", 16)
	f.Add("it's  2000 <mask>", "", 4)
	f.Fuzz(func(t *testing.T, text, pair string, maxLength int) {
		in := Input{Text: text, Pair: pair, HasPair: pair != ""}
		checkEncode(t, wordPiece, in, maxLength)
		checkEncode(t, byteLevel, in, maxLength)
	})
}

func checkEncode(t *testing.T, tokenizer *Tokenizer, in Input, maxLength int) {
	t.Helper()
	got, err := tokenizer.Encode(in, maxLength)
	if err != nil {
		return
	}
	if len(got.IDs) > maxLength || len(got.IDs) != len(got.TypeIDs) {
		t.Errorf("%d ids and %d type ids of at most %d", len(got.IDs), len(got.TypeIDs), maxLength)
	}
	for _, id := range got.IDs {
		if id < 0 || int(id) >= tokenizer.VocabSize() {
			t.Errorf("id %d in a vocabulary of %d", id, tokenizer.VocabSize())
		}
	}
}
