package hf

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/fileformat"
)

func TestReadConfigDefaults(t *testing.T) {
	bert := Config{
		ModelType: "bert", VocabSize: 30522, HiddenSize: 768, NumHiddenLayers: 12, NumAttentionHeads: 12,
		IntermediateSize: 3072, MaxPositionEmbeddings: 512, TypeVocabSize: 2, PadTokenID: 0,
		HiddenAct: "gelu", LayerNormEps: 1e-12, InitializerRange: 0.02,
		HiddenDropoutProb: 0.1, AttentionProbsDropoutProb: 0.1,
		ID2Label: []string{"LABEL_0", "LABEL_1"}, TieWordEmbeddings: true,
	}
	roberta := bert
	roberta.ModelType, roberta.VocabSize, roberta.PadTokenID = "roberta", 50265, 1
	for _, want := range []Config{bert, roberta} {
		got, err := parseConfig("config.json", []byte(`{"model_type":"`+want.ModelType+`"}`))
		if err != nil || !reflect.DeepEqual(understood(got), &want) {
			t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
		}
	}
}

// understood is the config without the file's text.
func understood(c *Config) *Config {
	fields := *c
	fields.others, fields.notes = nil, nil
	return &fields
}

func TestReadConfigHonoursEveryKey(t *testing.T) {
	dir := t.TempDir()
	const text = `{
		"model_type": "roberta", "architectures": ["RobertaForSequenceClassification"],
		"vocab_size": 11, "hidden_size": 15, "num_hidden_layers": 3, "num_attention_heads": 5,
		"intermediate_size": 7, "max_position_embeddings": 13, "type_vocab_size": 1, "pad_token_id": 4,
		"hidden_act": "gelu_new", "layer_norm_eps": 1e-05, "initializer_range": 0.5,
		"hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0.25, "classifier_dropout": 0.75,
		"id2label": {"0": "no", "2": "yes", "1": "maybe"}, "num_labels": 3, "problem_type": "multi_label_classification",
		"tie_word_embeddings": false, "torch_dtype": "bfloat16",
		"position_embedding_type": "absolute", "is_decoder": false, "add_cross_attention": null,
		"pruned_heads": {}, "quantization_config": null, "use_cache": true
	}`
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	classifierDropout := 0.75
	want := &Config{
		ModelType: "roberta", Architectures: []string{"RobertaForSequenceClassification"},
		VocabSize: 11, HiddenSize: 15, NumHiddenLayers: 3, NumAttentionHeads: 5,
		IntermediateSize: 7, MaxPositionEmbeddings: 13, TypeVocabSize: 1, PadTokenID: 4,
		HiddenAct: "gelu_new", LayerNormEps: 1e-5, InitializerRange: 0.5,
		HiddenDropoutProb: 0, AttentionProbsDropoutProb: 0.25, ClassifierDropout: &classifierDropout,
		ID2Label: []string{"no", "maybe", "yes"}, ProblemType: "multi_label_classification",
		TieWordEmbeddings: false, DType: "bfloat16",
	}
	if got, err := ReadConfig(dir); err != nil || !reflect.DeepEqual(understood(got), want) {
		t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
	}
	c, err := parseConfig("config.json", []byte(`{"model_type":"bert","pad_token_id":null,"num_labels":1,"dtype":"float16","torch_dtype":"float32"}`))
	if err != nil || c.PadTokenID != NoPadToken || len(c.ID2Label) != 1 || c.DType != "float16" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestReadConfigRefuses(t *testing.T) {
	for _, c := range []struct{ keys, want string }{
		{`"hidden_size":0`, "hidden_size: is 0, want 1 to 1048576"},
		{`"hidden_size":-768`, "hidden_size: is -768, want 1 to 1048576"},
		{`"hidden_size":1e999`, "hidden_size: is number 1e999, want int"},
		{`"hidden_size":768.5`, "hidden_size: is number 768.5, want int"},
		{`"hidden_size":"768"`, "hidden_size: is string, want int"},
		{`"vocab_size":9223372036854775807`, "vocab_size: is 9223372036854775807, want 1 to 16777216"},
		{`"num_hidden_layers":0`, "num_hidden_layers: is 0, want 1 to 4096"},
		{`"num_attention_heads":0`, "num_attention_heads: is 0, want 1 to 4096"},
		{`"num_attention_heads":7`, "num_attention_heads: is 7, which does not divide hidden_size 768"},
		{`"intermediate_size":0`, "intermediate_size: is 0, want 1 to 4194304"},
		{`"max_position_embeddings":0`, "max_position_embeddings: is 0, want 1 to 4194304"},
		{`"type_vocab_size":0`, "type_vocab_size: is 0, want 1 to 4096"},
		{`"pad_token_id":30522`, "pad_token_id: is 30522, vocab_size is 30522"},
		{`"pad_token_id":-1`, "pad_token_id: is -1, want a token id or null"},
		{`"pad_token_id":"[PAD]"`, `pad_token_id: is "[PAD]", want a token id or null`},
		{`"layer_norm_eps":0`, "layer_norm_eps: is 0, want above 0 and below 1"},
		{`"initializer_range":-1`, "initializer_range: is -1, want 0 or more"},
		{`"hidden_dropout_prob":1`, "hidden_dropout_prob: is 1, want 0 or more and below 1"},
		{`"attention_probs_dropout_prob":-0.1`, "attention_probs_dropout_prob: is -0.1, want 0 or more and below 1"},
		{`"classifier_dropout":2`, "classifier_dropout: is 2, want 0 or more and below 1"},

		{`"model_type":null`, `model_type: missing, want "bert" or "roberta"`},
		{`"model_type":"roberta","pad_token_id":null`, "pad_token_id: is null, RoBERTa's positions start after it"},
		{`"model_type":"roberta","max_position_embeddings":2`, "max_position_embeddings: is 2, which leaves none after pad_token_id 1"},
		{"\n\n\"hidden_size\":}", "line 3: invalid character '}' looking for beginning of value"},
	} {
		expectConfigError(t, c.keys, c.want, new(*fileformat.Error))
	}
	for _, c := range []struct{ keys, want string }{
		{`"model_type":"deberta"`, `model_type: unsupported: "deberta", only "bert" and "roberta" are`},
		{`"position_embedding_type":"relative_key"`, `position_embedding_type: unsupported: "relative_key", only "absolute" is`},
		{`"is_decoder":true`, "is_decoder: unsupported: only encoders are"},
		{`"is_encoder_decoder":true`, "is_encoder_decoder: unsupported: only encoders are"},
		{`"add_cross_attention":true`, "add_cross_attention: unsupported: cross attention"},
		{`"pruned_heads":{"0":[1]}`, "pruned_heads: unsupported: attention heads have been removed"},
		{`"quantization_config":{"bits":8}`, "quantization_config: unsupported: quantised weights"},
		{`"hidden_act":"swish"`, `hidden_act: unsupported: "swish", only gelu, gelu_new, relu are`},
	} {
		expectConfigError(t, c.keys, c.want, new(*fileformat.UnsupportedError))
	}
}

// What a run with a head of its own never uses refuses no model. The classes are
// those of transformers 5.23, but for names of ids beyond the number of labels,
// which it leaves apart, and for no label at all.
func TestReadConfigNotesWhatNoRunNeeds(t *testing.T) {
	unnamed := func(n int) (names []string) {
		for i := range n {
			names = append(names, newLabel(i))
		}
		return names
	}
	for _, c := range []struct {
		keys    string
		labels  []string
		problem string
		notes   string // parts of the notes, apart by |
	}{
		{`"id2label":{"0":0,"1":1}`, []string{"0", "1"}, "", "numbers for names"},
		{`"id2label":{"0":1.5,"1":true}`, []string{"1.5", "true"}, "", "numbers for names"},
		{`"id2label":{"00":"a","1":"b"}`, []string{"a", "b"}, "", ""},
		{`"id2label":{"0":"a","1":"b"},"num_labels":3`, unnamed(3), "", "num_labels: is 3, id2label has 2"},
		{`"id2label":{"0":"a","1":"b"},"num_labels":1`, unnamed(1), "", "num_labels: is 1, id2label has 2"},
		{`"id2label":{"0":"a","2":"b"}`, unnamed(2), "", "id2label: has 2 labels but no name for class 1"},
		{`"id2label":{"0":"a","00":"b"}`, unnamed(2), "", "no name for class 1"},
		{`"id2label":{"0":null,"1":"b"}`, unnamed(2), "", "no name for class 0"},
		{`"id2label":{"x":"a"}`, unnamed(2), "", "no name for class 0"},
		{`"id2label":["a","b","c"],"num_labels":3`, unnamed(3), "", "id2label: is no object"},
		{`"id2label":{}`, unnamed(2), "", "id2label: has 0 labels"},
		{`"num_labels":0`, unnamed(2), "", "num_labels: is 0, want 1 to 65536"},
		{`"num_labels":1000000000`, unnamed(2), "", "num_labels: is 1000000000"},
		{`"num_labels":"3"`, unnamed(2), "", `num_labels: is "3"`},
		{`"problem_type":"ranking"`, unnamed(2), "", `problem_type: is "ranking"`},
		{`"problem_type":5`, unnamed(2), "", `problem_type: is 5`},
		{`"problem_type":"single_label_classification","num_labels":1`, unnamed(1), "", "problem_type: is"},
		{`"problem_type":"regression","num_labels":1`, unnamed(1), "regression", ""},
		{`"architectures":"BertModel","dtype":{"":"float32"},"pruned_heads":{"0":[]}`, unnamed(2), "", ""},
	} {
		got, err := parseConfig("config.json", []byte(`{"model_type":"bert",`+c.keys+"}"))
		if err != nil || !reflect.DeepEqual(got.ID2Label, c.labels) || got.ProblemType != c.problem {
			t.Errorf("%s: %+v, %v", c.keys, got, err)
			continue
		}
		if notes := strings.Join(got.Notes(), "\n"); (c.notes == "") != (notes == "") || !strings.Contains(notes, c.notes) {
			t.Errorf("%s: notes %q, want %q", c.keys, notes, c.notes)
		}
	}
}

func expectConfigError(t *testing.T, keys, want string, kind any) {
	t.Helper()
	text := "{" + keys + "}"
	if !strings.Contains(keys, "model_type") {
		text = `{"model_type":"bert",` + keys + "}"
	}
	_, err := parseConfig("m/config.json", []byte(text))
	if err == nil || err.Error() != "m/config.json: "+want || !errors.As(err, kind) {
		t.Errorf("%s\n got %v (%T)\nwant %s", keys, err, err, want)
	}
}

func TestReadConfigNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadConfig(dir); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "config.json") {
		t.Errorf("missing: %v", err)
	}
	path := filepath.Join(dir, "config.json")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadConfig(dir); err == nil || err.Error() != path+": line 1: unexpected end of JSON input" {
		t.Errorf("empty: %v", err)
	}
	if err := os.Truncate(path, maxConfigFile+1); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadConfig(dir); err == nil || err.Error() != path+": 16777217 bytes, the limit is 16777216" {
		t.Errorf("large: %v", err)
	}
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"model_type":"bert","hidden_size":15,"num_attention_heads":5,"id2label":{"0":"a","1":"b"},"pad_token_id":null}`))
	f.Add([]byte(`{"model_type":"roberta","pad_token_id":1,"classifier_dropout":0.1,"num_labels":3,"torch_dtype":"float32"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseConfig("config.json", text)
		if err != nil {
			if !errors.As(err, new(*fileformat.Error)) && !errors.As(err, new(*fileformat.UnsupportedError)) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		if c.HiddenSize%c.NumAttentionHeads != 0 || c.PadTokenID >= c.VocabSize || len(c.ID2Label) == 0 {
			t.Fatalf("accepted %+v", c)
		}
	})
}
