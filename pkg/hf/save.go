package hf

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"

	"github.com/google/renameio/v2"

	"github.com/metatt/metatt/pkg/safetensors"
)

// Save writes config.json and model.safetensors into dir, which is made where
// it is not there. Each file is replaced at once, the weights first: a failure
// leaves what was there.
func Save(dir string, config *Config, tensors []safetensors.Tensor) error {
	text, err := config.encode()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := safetensors.Write(filepath.Join(dir, formats[0].file), tensors, map[string]string{"format": "pt"}); err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(dir, configFile), text, 0o644)
}

// encode is config.json: every field under its key, and the keys of the file it
// was read from that this package knows nothing of.
func (c *Config) encode() ([]byte, error) {
	keys := map[string]any{}
	for key, value := range c.others {
		keys[key] = value
	}
	delete(keys, "torch_dtype")
	delete(keys, "num_labels") // id2label says it
	id2label, label2id := map[string]string{}, map[string]int{}
	for i, label := range c.ID2Label {
		id2label[strconv.Itoa(i)], label2id[label] = label, i
	}
	optional := func(value string) any {
		if value == "" {
			return nil
		}
		return value
	}
	var padding any
	if c.PadTokenID != NoPadToken {
		padding = c.PadTokenID
	}
	maps.Copy(keys, map[string]any{
		"model_type":                   c.ModelType,
		"architectures":                c.Architectures,
		"vocab_size":                   c.VocabSize,
		"hidden_size":                  c.HiddenSize,
		"num_hidden_layers":            c.NumHiddenLayers,
		"num_attention_heads":          c.NumAttentionHeads,
		"intermediate_size":            c.IntermediateSize,
		"max_position_embeddings":      c.MaxPositionEmbeddings,
		"type_vocab_size":              c.TypeVocabSize,
		"pad_token_id":                 padding,
		"hidden_act":                   c.HiddenAct,
		"layer_norm_eps":               c.LayerNormEps,
		"initializer_range":            c.InitializerRange,
		"hidden_dropout_prob":          c.HiddenDropoutProb,
		"attention_probs_dropout_prob": c.AttentionProbsDropoutProb,
		"classifier_dropout":           c.ClassifierDropout,
		"id2label":                     id2label,
		"label2id":                     label2id,
		"problem_type":                 optional(c.ProblemType),
		"tie_word_embeddings":          c.TieWordEmbeddings,
		"dtype":                        optional(c.DType),
	})
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(keys) // sorts the keys
	return text.Bytes(), err
}

// CopyTokenizer copies what of a tokenizer's files stands in the model folder
// from into the folder to.
func CopyTokenizer(to, from string) error {
	for _, name := range tokenizerFiles {
		content, err := os.ReadFile(filepath.Join(from, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := renameio.WriteFile(filepath.Join(to, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
