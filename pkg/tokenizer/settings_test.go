package tokenizer

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// settingsCase is a line of testdata/settings.json: the texts, a kind of folder, or a setting in the folder last named and
// what transformers makes of it.
type settingsCase struct {
	Texts   []string                   `json:"texts"`
	Lengths []int                      `json:"lengths"`
	Folder  string                     `json:"folder"`
	Files   map[string]json.RawMessage `json:"files"`
	Setting [][3]json.RawMessage       `json:"setting"` // file, key (null: the whole file), value
	Rows    [][2][]int32               `json:"rows"`
}

// refusedHere are settings that transformers takes and this package does not: ids that no place in the vocabulary gives,
// classes of other models, and no first token.
var refusedHere = []string{"its place in the vocabulary gives", "is not supported, only BertTokenizer", "needs it", "model.type: not that of", "cls_token: there has to be one"}

// Each setting by itself gives transformers' ids.
func TestSettings(t *testing.T) {
	var lines []settingsCase
	readJSON(t, "settings.json", &lines)
	texts, lengths := lines[0].Texts, lines[0].Lengths
	var folder settingsCase
	refused, equal := 0, 0
	for _, c := range lines[1:] {
		if c.Files != nil {
			folder = c
			continue
		}
		contents := make(map[string]string)
		for name, raw := range folder.Files {
			contents[name] = string(raw)
			if raw[0] == '"' {
				var text string
				if err := json.Unmarshal(raw, &text); err != nil {
					t.Fatal(err)
				}
				contents[name] = text
			}
		}
		for _, s := range c.Setting {
			set(t, contents, s)
		}
		dir := t.TempDir()
		write(t, dir, contents)
		tokenizer, err := Load(dir)
		if err != nil {
			if !slices.ContainsFunc(refusedHere, func(reason string) bool { return strings.Contains(err.Error(), reason) }) {
				t.Errorf("%s with %s: %v", folder.Folder, c.Setting, err)
			}
			refused++
			continue
		}
		for i, want := range c.Rows {
			in := Input{Text: texts[0], Pair: texts[1], HasPair: i%2 == 1}
			got, err := tokenizer.Encode(in, lengths[i/2])
			if err != nil || !slices.Equal(got.IDs, want[0]) || !slices.Equal(got.TypeIDs, want[1]) {
				t.Errorf("%s with %s, row %d:\n got %v %v %v\nwant %v", folder.Folder, c.Setting, i, got.IDs, got.TypeIDs, err, want)
			}
			equal++
		}
	}
	if equal < 1000 || refused > 60 {
		t.Errorf("%d rows equal, %d settings refused", equal, refused)
	}
}

func set(t *testing.T, contents map[string]string, setting [3]json.RawMessage) {
	t.Helper()
	var file string
	var key *string
	if err := cmp.Or(json.Unmarshal(setting[0], &file), json.Unmarshal(setting[1], &key)); err != nil {
		t.Fatal(err)
	}
	if key == nil {
		contents[file] = string(setting[2])
		return
	}
	fields := make(map[string]json.RawMessage)
	if content, ok := contents[file]; ok {
		if err := json.Unmarshal([]byte(content), &fields); err != nil {
			t.Fatal(err)
		}
	}
	fields = maps.Clone(fields)
	fields[*key] = setting[2]
	data, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	contents[file] = string(data)
}

// A default that decides ids, what a class puts in the place of what tokenizer.json stores, and what nothing reads are noted.
func TestNotes(t *testing.T) {
	const vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"
	cased := string(variant(t, "wordpiece", map[string]json.RawMessage{"normalizer/lowercase": json.RawMessage("false")}))
	for _, c := range []struct {
		files map[string]string
		want  []string
	}{
		{map[string]string{"vocab.txt": vocab}, []string{"tokenizer_config.json has no do_lower_case: text is lower-cased, as BertTokenizer does by default"}},
		{map[string]string{"vocab.txt": vocab, configFile: `{"do_lower_case":true,"model_max_length":5,"never_split":null,"new":[],"do_basic_tokenize":true,"padding_side":"left"}`}, nil},
		{
			map[string]string{"vocab.txt": vocab, configFile: `{"do_lower_case":false,"new_option":true,"do_basic_tokenize":false}`},
			[]string{
				"tokenizer_config.json: new_option true is not used: transformers' BertTokenizer has no such option",
				"tokenizer_config.json: do_basic_tokenize false is not used: transformers' BertTokenizer has no such option",
			},
		},
		{
			map[string]string{"vocab.txt": vocab, configFile: `{"do_lower_case":false,"mask_token":"[M]"}`},
			[]string{`"[M]" is not in the vocabulary of vocab.txt: it is added with the id 5`},
		},
		{
			map[string]string{"tokenizer.json": cased, "config.json": `{"model_type":"bert"}`},
			[]string{
				"tokenizer.json: normalizer.lowercase is false, but BertTokenizer takes true (its options are in tokenizer_config.json)",
				"tokenizer.json: normalizer.strip_accents is false, but BertTokenizer takes true (its options are in tokenizer_config.json)",
			},
		},
		{map[string]string{"tokenizer.json": cased, "config.json": `{"model_type":"bert"}`, configFile: `{"do_lower_case":false}`}, nil},
	} {
		dir := t.TempDir()
		write(t, dir, c.files)
		tokenizer, err := Load(dir)
		if err != nil {
			t.Errorf("%v: %v", c.files, err)
		} else if got := tokenizer.Notes(); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %s\nwant %s", fmt.Sprintf("%.200v", c.files), strings.Join(got, "\n     "), strings.Join(c.want, "\n     "))
		}
	}
}

// The digest covers every file that is read, and the class.
func TestSumCoversSettings(t *testing.T) {
	sums := make(map[string]string)
	for name, content := range map[string]string{
		"": "", configFile: `{"do_lower_case":true}`, legacyFile: `{"mask_token":"[MASK]"}`, addedFile: `{"[MASK]":4}`, "config.json": `{"tokenizer_class":"DistilBertTokenizer"}`,
	} {
		dir := t.TempDir()
		write(t, dir, map[string]string{"vocab.txt": "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"})
		if name != "" {
			write(t, dir, map[string]string{name: content})
		}
		tokenizer, err := Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		if other, taken := sums[tokenizer.Sum()]; taken {
			t.Errorf("%q and %q have one sum", name, other)
		}
		sums[tokenizer.Sum()] = name
	}
}
