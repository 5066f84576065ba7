// Package hf reads what Hugging Face publishes: a model's config.json, its
// checkpoint in one file or in shards, the local cache, the hub. It is pure Go
// and hands tensors over as bytes.
package hf

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/metatt/metatt/pkg/fileformat"
)

// Config is a BERT or RoBERTa config.json with the defaults of transformers'
// BertConfig and RobertaConfig where a key is absent.
type Config struct {
	ModelType     string // "bert" or "roberta"
	Architectures []string

	VocabSize             int
	HiddenSize            int
	NumHiddenLayers       int
	NumAttentionHeads     int // divides HiddenSize
	IntermediateSize      int
	MaxPositionEmbeddings int // rows of the table; RoBERTa loses PadTokenID+1 of them
	TypeVocabSize         int
	PadTokenID            int // NoPadToken where the file says null (BERT only)

	HiddenAct                 string // "gelu", "gelu_new" or "relu"
	LayerNormEps              float64
	InitializerRange          float64 // standard deviation of a new weight
	HiddenDropoutProb         float64
	AttentionProbsDropoutProb float64
	ClassifierDropout         *float64 // nil: as HiddenDropoutProb

	ID2Label          []string // label of each class; its length is num_labels
	ProblemType       string   // as transformers has them, "" where the file leaves it open
	TieWordEmbeddings bool
	DType             string // "float32", "bfloat16", …; "" where the file is silent

	others map[string]json.RawMessage // keys of the file that this package does not read
	notes  []string
}

// Notes tell what of the file contradicts itself without touching what the model
// computes, and what stands for it here. They matter to whoever uses the labels.
func (c *Config) Notes() []string { return c.notes }

// NoPadToken is Config.PadTokenID when no token pads.
const NoPadToken = -1

// activations are the values of hidden_act that the models compute.
var activations = []string{"gelu", "gelu_new", "relu"}

// problemTypes are transformers' values of problem_type.
var problemTypes = []string{"regression", "single_label_classification", "multi_label_classification"}

const (
	configFile    = "config.json"
	maxConfigFile = 16 << 20
)

// configJSON is the file as it stands: nil means absent or null.
type configJSON struct {
	ModelType                 *string         `json:"model_type"`
	Architectures             json.RawMessage `json:"architectures"`
	VocabSize                 *int            `json:"vocab_size"`
	HiddenSize                *int            `json:"hidden_size"`
	NumHiddenLayers           *int            `json:"num_hidden_layers"`
	NumAttentionHeads         *int            `json:"num_attention_heads"`
	IntermediateSize          *int            `json:"intermediate_size"`
	MaxPositionEmbeddings     *int            `json:"max_position_embeddings"`
	TypeVocabSize             *int            `json:"type_vocab_size"`
	PadTokenID                json.RawMessage `json:"pad_token_id"` // null differs from absent
	HiddenAct                 *string         `json:"hidden_act"`
	LayerNormEps              *float64        `json:"layer_norm_eps"`
	InitializerRange          *float64        `json:"initializer_range"`
	HiddenDropoutProb         *float64        `json:"hidden_dropout_prob"`
	AttentionProbsDropoutProb *float64        `json:"attention_probs_dropout_prob"`
	ClassifierDropout         *float64        `json:"classifier_dropout"`
	ID2Label                  json.RawMessage `json:"id2label"`
	NumLabels                 json.RawMessage `json:"num_labels"`
	ProblemType               json.RawMessage `json:"problem_type"`
	TieWordEmbeddings         *bool           `json:"tie_word_embeddings"`
	DType                     json.RawMessage `json:"dtype"`
	TorchDType                json.RawMessage `json:"torch_dtype"` // dtype's name before transformers 5

	// Keys that change the maths.
	PositionEmbeddingType *string         `json:"position_embedding_type"`
	IsDecoder             *bool           `json:"is_decoder"`
	IsEncoderDecoder      *bool           `json:"is_encoder_decoder"`
	AddCrossAttention     *bool           `json:"add_cross_attention"`
	PrunedHeads           map[string]any  `json:"pruned_heads"`
	QuantizationConfig    json.RawMessage `json:"quantization_config"`
}

// ReadConfig reads and validates dir/config.json. What contradicts itself is a
// [*fileformat.Error]; a model that would be computed wrongly, an
// [*fileformat.UnsupportedError]: other architectures, relative positions, decoders, cross
// attention, pruned heads, quantised weights.
func ReadConfig(dir string) (*Config, error) {
	path := filepath.Join(dir, configFile)
	text, err := readSmall(path, maxConfigFile)
	if err != nil {
		return nil, err
	}
	return parseConfig(path, text)
}

// readSmall reads a file whole, refusing one larger than limit before it is
// allocated for.
func readSmall(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	stat, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !stat.Mode().IsRegular() {
		return nil, &fileformat.Error{Path: path, Problem: "not a regular file"}
	}
	if stat.Size() > limit {
		return nil, &fileformat.Error{Path: path, Problem: fmt.Sprintf("%d bytes, the limit is %d", stat.Size(), limit)}
	}
	text := make([]byte, stat.Size())
	if _, err := io.ReadFull(f, text); err != nil {
		return nil, &fileformat.Error{Path: path, Problem: "truncated while it was being read"}
	}
	return text, nil
}

// decodeJSON puts the place and, where there is one, the key into the error.
func decodeJSON(path string, text []byte, into any) error {
	err := json.Unmarshal(text, into)
	if wrongType := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrongType) {
		return &fileformat.Error{Path: path, Key: wrongType.Field, Problem: fmt.Sprintf("is %s, want %s", wrongType.Value, wrongType.Type)}
	}
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		line := 1 + strings.Count(string(text[:min(int(syntax.Offset), len(text))]), "\n")
		return &fileformat.Error{Path: path, Problem: fmt.Sprintf("line %d: %v", line, syntax)}
	}
	if err != nil {
		return &fileformat.Error{Path: path, Problem: err.Error()}
	}
	return nil
}

func parseConfig(path string, text []byte) (*Config, error) {
	var file configJSON
	if err := decodeJSON(path, text, &file); err != nil {
		return nil, err
	}
	if err := file.supported(path); err != nil {
		return nil, err
	}
	c := &Config{
		ModelType:                 *file.ModelType,
		Architectures:             lenient[[]string](file.Architectures),
		VocabSize:                 or(file.VocabSize, 30522),
		HiddenSize:                or(file.HiddenSize, 768),
		NumHiddenLayers:           or(file.NumHiddenLayers, 12),
		NumAttentionHeads:         or(file.NumAttentionHeads, 12),
		IntermediateSize:          or(file.IntermediateSize, 3072),
		MaxPositionEmbeddings:     or(file.MaxPositionEmbeddings, 512),
		TypeVocabSize:             or(file.TypeVocabSize, 2),
		PadTokenID:                0,
		HiddenAct:                 or(file.HiddenAct, "gelu"),
		LayerNormEps:              or(file.LayerNormEps, 1e-12),
		InitializerRange:          or(file.InitializerRange, 0.02),
		HiddenDropoutProb:         or(file.HiddenDropoutProb, 0.1),
		AttentionProbsDropoutProb: or(file.AttentionProbsDropoutProb, 0.1),
		ClassifierDropout:         file.ClassifierDropout,
		TieWordEmbeddings:         or(file.TieWordEmbeddings, true),
		DType:                     cmp.Or(lenient[string](file.DType), lenient[string](file.TorchDType)),
	}
	if c.ModelType == "roberta" {
		c.VocabSize = or(file.VocabSize, 50265)
		c.PadTokenID = 1
	}
	if string(file.PadTokenID) == "null" {
		c.PadTokenID = NoPadToken
	} else if file.PadTokenID != nil {
		id, err := strconv.Atoi(string(file.PadTokenID))
		if err != nil || id < 0 {
			return nil, &fileformat.Error{Path: path, Key: "pad_token_id", Problem: fmt.Sprintf("is %.40s, want a token id or null", file.PadTokenID)}
		}
		c.PadTokenID = id
	}
	file.classes(c)
	if err := decodeJSON(path, text, &c.others); err != nil {
		return nil, err
	}
	if err := c.validate(path); err != nil {
		return nil, err
	}
	return c, nil
}

// prunes says whether a head has been removed; an empty list is none.
func (file *configJSON) prunes() bool {
	for _, heads := range file.PrunedHeads {
		if list, ok := heads.([]any); !ok || len(list) > 0 {
			return true
		}
	}
	return false
}

// lenient is what a key holds that no computation depends on; nothing where it
// is of another type.
func lenient[T any](text json.RawMessage) (value T) {
	var read T
	if text != nil && json.Unmarshal(text, &read) == nil {
		value = read
	}
	return value
}

func or[T any](value *T, otherwise T) T {
	if value == nil {
		return otherwise
	}
	return *value
}

func (file *configJSON) supported(path string) error {
	unsupported := func(key, format string, args ...any) error {
		return &fileformat.UnsupportedError{Path: path, Key: key, Problem: fmt.Sprintf(format, args...)}
	}
	switch {
	case file.ModelType == nil:
		return &fileformat.Error{Path: path, Key: "model_type", Problem: `missing, want "bert" or "roberta"`}
	case *file.ModelType != "bert" && *file.ModelType != "roberta":
		return unsupported("model_type", `%q, only "bert" and "roberta" are`, *file.ModelType)
	case or(file.PositionEmbeddingType, "absolute") != "absolute":
		return unsupported("position_embedding_type", `%q, only "absolute" is`, *file.PositionEmbeddingType)
	case or(file.IsDecoder, false):
		return unsupported("is_decoder", "only encoders are")
	case or(file.IsEncoderDecoder, false):
		return unsupported("is_encoder_decoder", "only encoders are")
	case or(file.AddCrossAttention, false):
		return unsupported("add_cross_attention", "cross attention")
	case file.prunes():
		return unsupported("pruned_heads", "attention heads have been removed")
	case file.QuantizationConfig != nil && string(file.QuantizationConfig) != "null":
		return unsupported("quantization_config", "quantised weights")
	case !slices.Contains(activations, or(file.HiddenAct, "gelu")):
		return unsupported("hidden_act", "%q, only %s are", *file.HiddenAct, strings.Join(activations, ", "))
	}
	return nil
}

func (c *Config) validate(path string) error {
	corrupt := func(key, format string, args ...any) error {
		return &fileformat.Error{Path: path, Key: key, Problem: fmt.Sprintf(format, args...)}
	}
	// The bounds are far above any real model and keep every product of two
	// sizes, in bytes, within 63 bits.
	for _, size := range []struct {
		key        string
		value, max int
	}{
		{"vocab_size", c.VocabSize, 1 << 24},
		{"hidden_size", c.HiddenSize, 1 << 20},
		{"num_hidden_layers", c.NumHiddenLayers, 1 << 12},
		{"num_attention_heads", c.NumAttentionHeads, 1 << 12},
		{"intermediate_size", c.IntermediateSize, 1 << 22},
		{"max_position_embeddings", c.MaxPositionEmbeddings, 1 << 22},
		{"type_vocab_size", c.TypeVocabSize, 1 << 12},
	} {
		if size.value < 1 || size.value > size.max {
			return corrupt(size.key, "is %d, want 1 to %d", size.value, size.max)
		}
	}
	if c.HiddenSize%c.NumAttentionHeads != 0 {
		return corrupt("num_attention_heads", "is %d, which does not divide hidden_size %d", c.NumAttentionHeads, c.HiddenSize)
	}
	if c.PadTokenID >= c.VocabSize {
		return corrupt("pad_token_id", "is %d, vocab_size is %d", c.PadTokenID, c.VocabSize)
	}
	if c.ModelType == "roberta" {
		// Its positions are counted from PadTokenID+1.
		if c.PadTokenID == NoPadToken {
			return corrupt("pad_token_id", "is null, RoBERTa's positions start after it")
		}
		if c.PadTokenID+1 >= c.MaxPositionEmbeddings {
			return corrupt("max_position_embeddings", "is %d, which leaves none after pad_token_id %d", c.MaxPositionEmbeddings, c.PadTokenID)
		}
	}
	if !(c.LayerNormEps > 0 && c.LayerNormEps < 1) {
		return corrupt("layer_norm_eps", "is %g, want above 0 and below 1", c.LayerNormEps)
	}
	if !(c.InitializerRange >= 0 && c.InitializerRange <= math.MaxFloat32) {
		return corrupt("initializer_range", "is %g, want 0 or more", c.InitializerRange)
	}
	for _, dropout := range []struct {
		key string
		p   float64
	}{
		{"hidden_dropout_prob", c.HiddenDropoutProb},
		{"attention_probs_dropout_prob", c.AttentionProbsDropoutProb},
		{"classifier_dropout", or(c.ClassifierDropout, 0)},
	} {
		if !(dropout.p >= 0 && dropout.p < 1) {
			return corrupt(dropout.key, "is %g, want 0 or more and below 1", dropout.p)
		}
	}
	return nil
}
