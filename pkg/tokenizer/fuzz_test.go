package tokenizer

import (
	"fmt"
	"maps"
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
			allocbound.Check(t, len(data), func() { _, err = tokenizerOf([]byte(data)) })
			t.Logf("%.90v", err)
		})
	}
	for name, data := range map[string]string{
		"words": many(n, "%05x\n", "", ""), "line ends": strings.Repeat("\n", 1<<22), "letters": strings.Repeat("a\n", 1<<21),
	} {
		t.Run(name, func(t *testing.T) {
			data = strings.ReplaceAll(data, ",", "")
			var err error
			dir := t.TempDir()
			write(t, dir, map[string]string{"vocab.txt": data})
			allocbound.Check(t, len(data), func() { _, err = Load(dir) })
			t.Logf("%.90v", err)
			model := &bpe{vocabulary: vocabulary{"a": 0}}
			allocbound.Check(t, len(data), func() { _, err = model.learnLines(strings.Clone(data)) })
			t.Logf("%.90v", err)
		})
	}
}

const (
	fuzzConfig = `{"do_lower_case":false,"mask_token":{"__type":"AddedToken","content":"[MASK]","lstrip":true},"extra_special_tokens":["a"],` +
		`"truncation_side":"left","split_special_tokens":true,"model_input_names":["input_ids"],"x_token":"b"}`
	fuzzSpecial = `{"mask_token":{"content":"a","lstrip":true},"additional_special_tokens":["b"],"extra_special_tokens":{"c":"d"}}`
	fuzzAdded   = `{"a":5,"new":7}`
	fuzzDecoder = `{"tokenizer_class":"PreTrainedTokenizerFast","added_tokens_decoder":{"4":{"content":"cat","normalized":true}}}`
)

// A tokenizer.json of any content, and any settings beside it, are an error, or a tokenizer that encodes.
func FuzzTokenizerJSON(f *testing.F) {
	f.Add(string(variant(f, "wordpiece", nil)), fuzzConfig, fuzzSpecial, fuzzAdded, "The cat [MASK] é一")
	f.Add(string(variant(f, "bytelevel", nil)), fuzzDecoder, "", "", "the cat's  <mask> 2000")
	f.Add(`{"model":{"type":"BPE","vocab":{"a":0,"aa":1},"merges":["a a"]},"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":true}}`,
		`{"tokenizer_class":"RobertaTokenizer"}`, "", `{"<s>":3}`, "aaa")
	f.Fuzz(func(t *testing.T, data, config, special, added, text string) {
		checkFolder(t, map[string]string{"tokenizer.json": data, configFile: config, legacyFile: special, addedFile: added}, text)
	})
}

// The same for the files that older models have in its place.
func FuzzVocabularyFiles(f *testing.F) {
	const bert, roberta = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n", `{"<s>":0,"<pad>":1,"</s>":2,"<unk>":3,"<mask>":4,"a":5,"aa":6}`
	f.Add(bert+"cat\r\n##s", roberta, "#version: 0.2\na a\n", fuzzConfig, fuzzSpecial, fuzzAdded, "cats a")
	f.Add(bert, roberta, "a a\n", `{"added_tokens_decoder":{"4":{"content":"cat","normalized":true}}}`, "", "", "cats a")
	f.Add(bert, roberta, "", "", "", "", "cats a")
	f.Add("", `"<s>{"0`, "", "", "", "", "")
	f.Fuzz(func(t *testing.T, vocabTxt, vocabJSON, merges, config, special, added, text string) {
		settings := map[string]string{configFile: config, legacyFile: special, addedFile: added}
		vocabulary := maps.Clone(settings)
		vocabulary["vocab.txt"] = vocabTxt
		checkFolder(t, vocabulary, text)
		settings["vocab.json"], settings["merges.txt"] = vocabJSON, merges
		checkFolder(t, settings, text)
	})
}

// checkFolder loads files, of which those without content are missing.
func checkFolder(t *testing.T, contents map[string]string, text string) {
	dir, size := t.TempDir(), 0
	for name, content := range contents {
		if content == "" {
			delete(contents, name)
		}
		size += len(content)
	}
	write(t, dir, contents)
	loadClasses() // a megabyte, once
	var tokenizer *Tokenizer
	var err error
	allocbound.Check(t, size, func() { tokenizer, err = Load(dir) })
	if err != nil {
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("error of several lines: %q", err)
		}
		return
	}
	for _, note := range tokenizer.Notes() {
		if strings.Contains(note, "\n") {
			t.Errorf("note of several lines: %q", note)
		}
	}
	checkEncode(t, tokenizer, Input{Text: text, Pair: text, HasPair: true}, 40)
	checkEncode(t, tokenizer, Input{Text: text}, 40)
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
