package tokenizer

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/internal/allocbound"
)

// The densest of each kind of content, each at a count that makes maps just grow.
func TestTokenizerMemoryIsInProportionToTheFile(t *testing.T) {
	many := func(n int, format, start, end string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, ","+format, i)
		}
		return start + b.String()[1:] + end
	}
	folder := files{dir: t.TempDir(), digest: sha256.New()}
	const n = 115_000 // over 7/8 of a power of two
	token := `{"id":%[1]d,"content":"%[1]x","single_word":true,"lstrip":true,"rstrip":true,"normalized":true,"special":true}`
	for name, data := range map[string]string{
		"vocabulary":     many(n, `"%x":0`, `{"model":{"type":"BPE","merges":[],"vocab":{`, `}}}`),
		"escaped":        many(n, `"\n%x":0`, `{"model":{"type":"BPE","merges":[],"vocab":{`, `}}}`),
		"merges":         `{"model":{"type":"BPE","vocab":{"a":0,"aa":0},"merges":["a a"` + strings.Repeat(`,"a a"`, n) + `]}}`,
		"escaped merges": `{"model":{"type":"BPE","vocab":{"a":0,"aa":0},"merges":["a a"` + strings.Repeat(`,"\u0061 a"`, n) + `]}}`,
		"pairs":          `{"model":{"type":"BPE","vocab":{"a":0,"aa":0},"merges":[["a","a"]` + strings.Repeat(`,["a","a"]`, n) + `]}}`,
		"added": many(58_000, token, `{"added_tokens":[`, `],"model":{"type":"WordPiece","unk_token":"0","continuing_subword_prefix":"","max_input_chars_per_word":9,`+
			`"vocab":{"0":0}},"pre_tokenizer":{"type":"BertPreTokenizer"}}`),
		"template": `{"model":{"type":"BPE","vocab":{},"merges":[]},"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":true},"post_processor":{"type":"TemplateProcessing",` +
			many(n, `"%x":{"ids":[0]}`, `"special_tokens":{`, `}}}`),
		"pieces": `{"model":{"type":"BPE","vocab":{},"merges":[]},"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":true},"post_processor":{"type":"TemplateProcessing",` +
			`"special_tokens":{},"single":[{"Sequence":{"id":"A"}}` + strings.Repeat(`,{"Sequence":{"id":"A"}}`, n) + `]}}`,
		"fields": many(n, `"%x":0`, "{", "}"),
		"arrays": strings.Repeat("[", n),
		"depth":  strings.Repeat(`{"model":`, n),
	} {
		t.Run(name, func(t *testing.T) {
			var err error
			allocbound.Check(t, len(data), func() { _, err = folder.tokenizerJSON(strings.Clone(data)) })
			t.Logf("%.90v", err)
		})
	}
	for name, data := range map[string]string{
		"words": many(n, "%05x\n", "", ""), "line ends": strings.Repeat("\n", 1<<22), "letters": strings.Repeat("a\n", 1<<21),
	} {
		t.Run(name, func(t *testing.T) {
			data = strings.ReplaceAll(data, ",", "")
			var err error
			allocbound.Check(t, len(data), func() { _, err = folder.bert(strings.Clone(data)) })
			t.Logf("%.90v", err)
			model := &bpe{vocabulary: vocabulary{"a": 0}}
			allocbound.Check(t, len(data), func() { _, err = model.learnLines(strings.Clone(data)) })
			t.Logf("%.90v", err)
		})
	}
}

// A tokenizer.json of any content is an error, or a tokenizer that encodes.
func FuzzTokenizerJSON(f *testing.F) {
	f.Add(string(variant(f, "wordpiece", nil)), "The cat [MASK] é一")
	f.Add(string(variant(f, "bytelevel", nil)), "the cat's  <mask> 2000")
	f.Add(`{"model":{"type":"BPE","vocab":{"a":0,"aa":1},"merges":["a a"]},"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":true}}`, "aaa")
	f.Fuzz(func(t *testing.T, data, text string) {
		var tokenizer *Tokenizer
		var err error
		allocbound.Check(t, len(data), func() { tokenizer, err = files{}.tokenizerJSON(strings.Clone(data)) })
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

// The same for the files that older models have in its place.
func FuzzVocabularyFiles(f *testing.F) {
	const bert, roberta = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n", `{"<s>":0,"<pad>":1,"</s>":2,"<unk>":3,"<mask>":4,"a":5,"aa":6}`
	f.Add(bert+"cat\r\n##s", roberta, "#version: 0.2\na a\n", "cats a")
	f.Fuzz(func(t *testing.T, vocabTxt, vocabJSON, merges, text string) {
		dir := t.TempDir()
		write(t, dir, map[string]string{"merges.txt": merges})
		folder := files{dir: dir, digest: sha256.New()}
		for _, load := range []struct {
			size int
			from func() (*Tokenizer, error)
		}{
			{len(vocabTxt), func() (*Tokenizer, error) { return folder.bert(strings.Clone(vocabTxt)) }},
			{len(vocabJSON) + len(merges), func() (*Tokenizer, error) { return folder.roberta(strings.Clone(vocabJSON)) }},
		} {
			var tokenizer *Tokenizer
			var err error
			allocbound.Check(t, load.size, func() { tokenizer, err = load.from() })
			if err != nil {
				if strings.Contains(err.Error(), "\n") {
					t.Errorf("error of several lines: %q", err)
				}
				continue
			}
			checkEncode(t, tokenizer, Input{Text: text}, 40)
		}
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
