package tokenizer

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParseTokenizerJSONErrors(t *testing.T) {
	type fields = map[string]json.RawMessage
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	token := `{"id":%,"content":"$","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}`
	added := func(id, content string) json.RawMessage {
		return raw("[" + strings.NewReplacer("%", id, "$", content).Replace(token) + "]")
	}
	for _, c := range []struct {
		base   string
		fields fields
		want   string
	}{
		{"wordpiece", fields{"version": raw(`"2.0"`)}, `version: "2.0" is not supported, only "1.0"`},
		{"wordpiece", fields{"new_field": raw(`1`)}, "new_field: the field is not supported"},
		{"wordpiece", fields{"new\nfield": raw(`1`)}, `new\nfield: the field is not supported`},
		{"wordpiece", fields{"model": nil}, `model.type: "" is not supported, only WordPiece and BPE`},
		{"wordpiece", fields{"model/type": raw(`"Unigram"`)}, `model.type: "Unigram" is not supported, only WordPiece and BPE`},
		{"wordpiece", fields{"model/type": nil}, "model.type: the field is missing"},
		{"wordpiece", fields{"model": raw(`[]`)}, "model: array where an object belongs"},
		{"wordpiece", fields{"model/vocab": nil}, "model.vocab: the field is missing"},
		{"wordpiece", fields{"model/vocab": raw(`{"[UNK]":-1}`)}, `model.vocab: the id of "[UNK]", -1, is outside 0…2147483647`},
		{"wordpiece", fields{"model/vocab": raw(`{"[UNK]":2147483648}`)}, `model.vocab: the id of "[UNK]", 2147483648, is outside`},
		{"wordpiece", fields{"model/vocab": raw(`{"[UNK]":1.5}`)}, "model.vocab: number 1.5 where a value of type int belongs"},
		{"wordpiece", fields{"model/vocab": raw(`{"a":0}`)}, `model: unk_token: "[UNK]" is not in the vocabulary`},
		{"wordpiece", fields{"model/max_input_chars_per_word": raw(`-1`)}, "model.max_input_chars_per_word: number -1 where"},
		{"wordpiece", fields{"model/cased": raw(`true`)}, "model.cased: the field is not supported"},
		{"wordpiece", fields{"normalizer/type": raw(`"NFKC"`)}, `normalizer.type: "NFKC" is not supported with WordPiece`},
		{"wordpiece", fields{"normalizer/lowercase": nil}, "normalizer.lowercase: the field is missing"},
		{"wordpiece", fields{"normalizer/strip_accents": raw(`"yes"`)}, "normalizer.strip_accents: string where a value of type bool belongs"},
		{"wordpiece", fields{"pre_tokenizer": raw(`null`)}, `pre_tokenizer.type: "" is not supported with WordPiece`},
		{"wordpiece", fields{"pre_tokenizer/type": raw(`"Whitespace"`)}, `pre_tokenizer.type: "Whitespace" is not supported with WordPiece`},
		{"wordpiece", fields{"added_tokens": added("7", "[CLS]")}, `added_tokens[0].id: token "[CLS]" has id 7, its place in the vocabulary gives 2`},
		{"wordpiece", fields{"added_tokens": raw(`[{"id":0}]`)}, "added_tokens[0].content: the field is missing"},
		{"wordpiece", fields{"added_tokens": raw(`[null]`)}, "added_tokens[0]: null instead of an object"},
		{"wordpiece", fields{"added_tokens": raw(`{}`)}, "added_tokens: {} where an array belongs"},
		{"wordpiece", fields{"post_processor/type": raw(`"Sequence"`)}, `post_processor.type: "Sequence" is not supported`},
		{"wordpiece", fields{"post_processor/single": raw(`[]`)}, `post_processor.single: the sequences "" instead of "A", each once`},
		{"wordpiece", fields{"post_processor/single": raw(`[{}]`)}, "post_processor.single[0]: 0 pieces instead of one"},
		{"wordpiece", fields{"post_processor/pair": raw(`[{"Sequence":{"id":"AB","type_id":0}}]`)}, `post_processor.pair[0]: there is no sequence "AB"`},
		{
			"wordpiece", fields{"post_processor/pair": raw(`[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"A","type_id":0}}]`)},
			`post_processor.pair: the sequences "AA" instead of "AB", each once`,
		},
		{"wordpiece", fields{"post_processor/single": raw(`[{"Sequence":{"id":"A","type_id":-1}}]`)}, "post_processor.single[0]: type_id -1 is outside"},
		{"wordpiece", fields{"post_processor/single": raw(`[{"Other":{}}]`)}, `post_processor.single[0]: "Other" is neither`},
		{"wordpiece", fields{"post_processor/special_tokens": raw(`{}`)}, `post_processor.single[0]: "[CLS]" is not among special_tokens`},
		{"wordpiece", fields{"post_processor/special_tokens": raw(`{"[CLS]":{"ids":[-2]}}`)}, `post_processor.special_tokens: the id of "[CLS]", -2`},
		{"bytelevel", fields{"normalizer": raw(`{"type":"NFC"}`)}, `normalizer.type: "NFC" is not supported with BPE`},
		{"bytelevel", fields{"pre_tokenizer/use_regex": raw(`false`)}, "pre_tokenizer.use_regex: false is not supported, only true"},
		{"bytelevel", fields{"pre_tokenizer/add_prefix_space": nil}, "pre_tokenizer.add_prefix_space: the field is missing"},
		{"bytelevel", fields{"pre_tokenizer/type": raw(`"Metaspace"`)}, `pre_tokenizer.type: "Metaspace" is not supported with BPE`},
		{"bytelevel", fields{"model/dropout": raw(`0.1`)}, "model.dropout: 0.1 is not supported, only 0 or 0.0"},
		{"bytelevel", fields{"model/byte_fallback": raw(`true`)}, "model.byte_fallback: true is not supported"},
		{"bytelevel", fields{"model/end_of_word_suffix": raw(`"@"`)}, `model.end_of_word_suffix: "@" is not supported, only ""`},
		{"bytelevel", fields{"model/continuing_subword_prefix": raw(`"##"`)}, `model.continuing_subword_prefix: "##" is not supported`},
		{"bytelevel", fields{"model/unk_token": raw(`"?!"`)}, `model: unk_token: "?!" is not in the vocabulary`},
		{"bytelevel", fields{"model/merges": nil}, "model.merges: the field is missing"},
		{"bytelevel", fields{"model/merges": raw(`["a b c"]`)}, `model.merges[0]: "a b c" is not two tokens`},
		{"bytelevel", fields{"model/merges": raw(`[["a"]]`)}, `model.merges[0]: ["a"] is not two tokens`},
		{"bytelevel", fields{"model/merges": raw(`["a a","x y"]`)}, `model.merges[1]: "xy" is not in the vocabulary`},
		{"bytelevel", fields{"post_processor/cls": raw(`[]`)}, "post_processor.cls: 0 values instead of a token and its id"},
		{"bytelevel", fields{"post_processor/cls": raw(`{}`)}, "post_processor.cls: {} where an array belongs"},
		{"bytelevel", fields{"post_processor/cls": raw(`["<s>"]`)}, "post_processor.cls: 1 values instead of a token and its id"},
		{"bytelevel", fields{"post_processor/sep": raw(`["</s>",-1]`)}, `post_processor.sep: the id of "</s>", -1, is outside`},
		{"bytelevel", fields{"post_processor/sep": nil}, "post_processor.sep: the field is missing"},
	} {
		_, err := tokenizerOf(variant(t, c.base, c.fields))
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s with %s:\n got %v\nwant %s", c.base, c.fields, err, c.want)
		}
	}
	for data, want := range map[string]string{
		"":              "unexpected EOF",
		"null":          "null instead of an object",
		`{"a":1,"a":1}`: `the field "a" comes twice`,
		"{\"a\":\xff}":  "the file is not UTF-8",
	} {
		if _, err := parseTokenizerJSON([]byte(data)); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", data, err, want)
		}
	}
}

func TestLoad(t *testing.T) {
	tokenizer, err := Load("testdata/wordpiece")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Model struct{ Vocab map[string]int }
	}
	readJSON(t, "wordpiece/tokenizer.json", &file)
	if n := tokenizer.VocabSize(); n != len(file.Model.Vocab) {
		t.Errorf("VocabSize is %d, not %d", n, len(file.Model.Vocab))
	}
	other, err := Load("testdata/bytelevel")
	if err != nil {
		t.Fatal(err)
	}
	if tokenizer.Sum() == other.Sum() || len(tokenizer.Sum()) != 64 {
		t.Errorf("sums %s and %s", tokenizer.Sum(), other.Sum())
	}
}

func write(t *testing.T, dir string, contents map[string]string) {
	t.Helper()
	for name, content := range contents {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A folder without tokenizer.json gives the tokenizer that the same vocabulary gives with it.
func TestLoadVocabularyFiles(t *testing.T) {
	text := Input{Text: "The CAT sat [MASK] in  2000 hahaha CAFÉ <mask>.", Pair: "unaffable 一 word", HasPair: true}
	for _, base := range []string{"wordpiece", "bytelevel"} {
		var file struct {
			Model struct {
				Vocab  map[string]int
				Merges []string
			}
			AddedTokens []map[string]any `json:"added_tokens"`
		}
		readJSON(t, filepath.Join(base, "tokenizer.json"), &file)
		dir := t.TempDir()
		tokens := make([]string, len(file.Model.Vocab))
		for token, id := range file.Model.Vocab {
			tokens[id] = token
		}
		if base == "wordpiece" {
			write(t, dir, map[string]string{"vocab.txt": strings.Join(tokens, "\r\n") + "\r\n"})
		} else {
			vocab, err := json.Marshal(file.Model.Vocab)
			if err != nil {
				t.Fatal(err)
			}
			merges := "#version: 0.2\n" + strings.Join(file.Model.Merges, "\n") + "\n"
			write(t, dir, map[string]string{"vocab.json": string(vocab), "merges.txt": merges})
		}
		check := func(fields map[string]json.RawMessage) {
			t.Helper()
			got, err := Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			want := mustParse(t, variant(t, base, fields))
			a, _ := got.Encode(text, 300)
			b, _ := want.Encode(text, 300)
			if !slices.Equal(a.IDs, b.IDs) || !slices.Equal(a.TypeIDs, b.TypeIDs) || len(a.IDs) == 0 {
				t.Errorf("%s with %s:\n got %v\nwant %v", base, fields, a, b)
			}
		}
		// RoBERTa's tokenizer.json has a <mask> that takes the white space before it; of these files transformers 5 makes none.
		for _, token := range file.AddedTokens {
			token["lstrip"] = false
		}
		added, err := json.Marshal(file.AddedTokens)
		if err != nil {
			t.Fatal(err)
		}
		check(map[string]json.RawMessage{"added_tokens": added})
		if base == "wordpiece" {
			write(t, dir, map[string]string{"tokenizer_config.json": `{"do_lower_case":false,"cls_token":{"content":"[CLS]","lstrip":false},"model_max_length":5}`})
			check(map[string]json.RawMessage{"normalizer/lowercase": json.RawMessage("false")})
		} else {
			write(t, dir, map[string]string{"tokenizer_config.json": `{"add_prefix_space":true}`})
			check(map[string]json.RawMessage{"pre_tokenizer/add_prefix_space": json.RawMessage("true"), "added_tokens": added})
		}
	}
}

func TestLoadErrors(t *testing.T) {
	const vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"
	with := func(name, content string) map[string]string {
		return map[string]string{"vocab.txt": vocab, name: content}
	}
	for _, c := range []struct {
		files map[string]string
		want  string
	}{
		{nil, "tokenizer: DIR has none of tokenizer.json, vocab.txt and vocab.json"},
		{map[string]string{"tokenizer.json": "{"}, "tokenizer: DIR/tokenizer.json: byte 1: unexpected EOF"},
		{map[string]string{"vocab.txt": "a\nb\n"}, `tokenizer: DIR/vocab.txt: unk_token: "[UNK]" is not in the vocabulary`},
		{map[string]string{"vocab.txt": vocab, "tokenizer_config.json": "[]"}, "tokenizer: DIR/tokenizer_config.json: array where an object belongs"},
		{with(configFile, `{"added_tokens_decoder":{"9":{"content":"new"}}}`), `tokenizer: DIR/tokenizer_config.json: token "new" has id 9, its place in the vocabulary gives 5`},
		{with(configFile, `{"added_tokens_decoder":null}`), "tokenizer: DIR/tokenizer_config.json: added_tokens_decoder: null where an object belongs"},
		{with(configFile, `{"added_tokens_decoder":{"5":"new"}}`), "tokenizer: DIR/tokenizer_config.json: added_tokens_decoder.5: string where an object belongs"},
		{with(configFile, `{"added_tokens_decoder":{"x":{"content":"new"}}}`), `tokenizer: DIR/tokenizer_config.json: added_tokens_decoder: "x" is not an id`},
		{with(addedFile, `{"new":9}`), `tokenizer: DIR/added_tokens.json: token "new" has id 9, its place in the vocabulary gives 5`},
		{with(addedFile, `[]`), "tokenizer: DIR/added_tokens.json: array where an object belongs"},
		{with(legacyFile, `{"mask_token":5}`), "tokenizer: DIR/special_tokens_map.json: mask_token: 5 where a token belongs"},
		{with(configFile, `{"do_lower_case":"false"}`), "tokenizer: DIR/tokenizer_config.json: do_lower_case: string where a value of type bool belongs"},
		{with(configFile, `{"truncation_side":"Left"}`), `tokenizer: DIR/tokenizer_config.json: truncation_side: "Left" is neither left nor right`},
		{with(configFile, `{"cls_token":null}`), "tokenizer: DIR/tokenizer_config.json: cls_token: there has to be one for BertTokenizer"},
		{with(configFile, `{"additional_special_tokens":"a"}`), "tokenizer: DIR/tokenizer_config.json: additional_special_tokens: string where an array belongs"},
		{with(configFile, `{"extra_special_tokens":{"mask_token":"a"}}`), "tokenizer: DIR/tokenizer_config.json: extra_special_tokens: mask_token is a field of its own"},
		{with(configFile, `{"tokenizer_class":"XLMRobertaTokenizer"}`), `tokenizer: DIR/tokenizer_config.json: tokenizer_class: "XLMRobertaTokenizer" is not supported`},
		{with("config.json", `{"model_type":"bert","tokenizer_class":"T5Tokenizer"}`), `tokenizer: DIR/config.json: tokenizer_class: "T5Tokenizer" is not supported`},
		{with(configFile, `{"tokenizer_class":"PreTrainedTokenizerFast"}`), "tokenizer: DIR has no tokenizer.json, which tokenizer_class TokenizersBackend needs"},
		{with(configFile, `{"tokenizer_class":"RobertaTokenizer"}`), "tokenizer: open DIR/vocab.json: no such file or directory; RobertaTokenizer needs it"},
		{with(configFile, `{"vocab":{"a":1}}`), `tokenizer: DIR/tokenizer_config.json: vocab: {"a":1} is not supported`},
		{with(configFile, `{"fast_tokenizer_files":["tokenizer.4.0.0.json"]}`), `tokenizer: DIR/tokenizer_config.json: fast_tokenizer_files: ["tokenizer.4.0.0.json"] is not supported`},
		{map[string]string{"vocab.json": `{"a":"b"}`}, "tokenizer: DIR/vocab.json: string where a value of type int belongs"},
		{map[string]string{"vocab.json": `{"a":0}`}, "tokenizer: open DIR/merges.txt: no such file or directory"},
		{map[string]string{"vocab.json": `{"a":0}`, "merges.txt": "#version\na\n"}, `tokenizer: DIR/merges.txt:2: "a" is not two tokens`},
	} {
		dir := t.TempDir()
		write(t, dir, c.files)
		_, err := Load(dir)
		if want := strings.ReplaceAll(c.want, "DIR", dir); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v:\n got %v\nwant %s", c.files, err, want)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a folder that is not there loads")
	}
	dir := t.TempDir()
	write(t, dir, map[string]string{"vocab.json": `{"a":0}`})
	if _, err := Load(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file is not fs.ErrNotExist: %v", err)
	}
}

func TestMaxLength(t *testing.T) {
	tokenizer := mustParse(t, variant(t, "wordpiece", nil))
	pair := Input{Text: "the", Pair: "cat", HasPair: true}
	for _, maxLength := range []int{2, 0, -1, -1 << 63} {
		if _, err := tokenizer.Encode(pair, maxLength); err == nil {
			t.Errorf("a pair fits into %d", maxLength)
		}
	}
	if got, err := tokenizer.Encode(pair, 3); err != nil || len(got.IDs) != 3 {
		t.Errorf("maximum length 3: %v, %v", got, err)
	}
	if _, err := tokenizer.EncodeAll(context.Background(), []Input{{}, pair}, 2); err == nil || !strings.HasPrefix(err.Error(), "row 1: ") {
		t.Errorf("EncodeAll: %v", err)
	}
}

func TestTruncateLongestFirst(t *testing.T) {
	for _, c := range [][5]int{ // n1, n2, room, kept of each
		{3, 4, 7, 3, 4}, {3, 5, 7, 3, 4}, {5, 3, 7, 4, 3}, {9, 9, 7, 3, 4}, {10, 9, 7, 4, 3}, {9, 10, 7, 3, 4}, {9, 10, 8, 4, 4},
		{0, 9, 7, 0, 7}, {9, 0, 7, 7, 0}, {2, 9, 0, 0, 0}, {2, 9, 1, 0, 1}, {9, 2, 1, 1, 0}, {0, 0, 0, 0, 0},
	} {
		if a, b := truncateLongestFirst(c[0], c[1], c[2]); a != c[3] || b != c[4] {
			t.Errorf("%d and %d into %d: got %d and %d, want %d and %d", c[0], c[1], c[2], a, b, c[3], c[4])
		}
	}
}

func TestEncodeAllCancelled(t *testing.T) {
	tokenizer := mustParse(t, variant(t, "wordpiece", nil))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := tokenizer.EncodeAll(ctx, make([]Input, 1000), 8); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got, err := tokenizer.EncodeAll(context.Background(), nil, 8); err != nil || len(got) != 0 {
		t.Errorf("no rows: %v, %v", got, err)
	}
}

// More words than the cache holds, by several goroutines, give the ids that a new tokenizer gives.
func TestCacheOverflow(t *testing.T) {
	data := variant(t, "bytelevel", nil)
	tokenizer := mustParse(t, data)
	var texts []Input
	for i := range maxCachedWords + 1000 {
		texts = append(texts, Input{Text: strings.Repeat("a", i%7) + string(rune('一'+i%20000)) + string(rune('b'+i/20000))})
	}
	texts = append(texts, texts[:1000]...)
	got, err := tokenizer.EncodeAll(context.Background(), texts, 64)
	if err != nil {
		t.Fatal(err)
	}
	fresh := mustParse(t, data)
	for i := range 1000 {
		want, err := fresh.Encode(texts[i], 64)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range []int{i, len(texts) - 1000 + i} {
			if !slices.Equal(got[row].IDs, want.IDs) {
				t.Fatalf("row %d: got %v, want %v", row, got[row].IDs, want.IDs)
			}
		}
	}
}
