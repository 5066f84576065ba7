package tokenizer

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// backend is what a class of transformers makes of a folder. Those of BERT and RoBERTa take the vocabulary, also of a
// tokenizer.json, and build everything else from options; the generic one is tokenizer.json as it stands.
type backend int

const (
	genericBackend backend = iota
	bertBackend
	robertaBackend
)

// tokenizerClass is a class of transformers 5, by a name under which checkpoints know it.
type tokenizerClass struct {
	name string
	backend
	tokenTypes bool // of the second text are 1, unless model_input_names says otherwise; else all are 0
}

var (
	bertClass    = tokenizerClass{"BertTokenizer", bertBackend, true}
	robertaClass = tokenizerClass{"RobertaTokenizer", robertaBackend, false}
	genericClass = tokenizerClass{"TokenizersBackend", genericBackend, false}
)

// classes of transformers by their names, without the ending Fast. Most are another name of the same class.
var tokenizerClasses = map[string]tokenizerClass{
	"BertTokenizer": bertClass, "ElectraTokenizer": bertClass, "LayoutLMTokenizer": bertClass, "LxmertTokenizer": bertClass,
	"MobileBertTokenizer": bertClass, "SqueezeBertTokenizer": bertClass, "ConvBertTokenizer": bertClass,
	"DistilBertTokenizer": {"DistilBertTokenizer", bertBackend, false},
	"RobertaTokenizer":    robertaClass, "BartTokenizer": robertaClass, "LEDTokenizer": robertaClass, "LongformerTokenizer": robertaClass,
	"TokenizersBackend": genericClass, "PreTrainedTokenizer": genericClass, "PythonBackend": genericClass,
}

// classOfModel is the class of a model type of config.json.
var classOfModel = map[string]tokenizerClass{"bert": bertClass, "roberta": robertaClass}

// class finds the class that transformers' AutoTokenizer takes: tokenizer_config.json names it, or else config.json, or
// else config.json's model type has one. It is unknown where none of them says anything.
func (s *settings) class() (c tokenizerClass, known bool, err error) {
	modelType, configClass, err := s.modelConfig()
	if err != nil {
		return c, false, err
	}
	name, file := "", configFile
	given := s.read("tokenizer_class", &name)
	if err := s.err(); err != nil {
		return c, false, err
	}
	ofModel, known := classOfModel[modelType]
	if !known {
		ofModel = genericClass
	}
	if name == "" {
		name, file = configClass, "config.json"
		// To AutoTokenizer an empty name is one of no class that it knows, unless config.json's wins over the model type's.
		if given && (name == "" || strings.TrimSuffix(name, "Fast") == ofModel.name) {
			return genericClass, known, nil
		}
	}
	if name == "" {
		return ofModel, known, nil
	}
	c, known = tokenizerClasses[strings.TrimSuffix(name, "Fast")]
	if !known {
		err = s.named(file, fmt.Errorf("tokenizer_class: %q is not supported, only BertTokenizer, RobertaTokenizer and PreTrainedTokenizerFast", name))
	}
	return c, known, err
}

// modelConfig reads what config.json says about the tokenizer. The file decides nothing else here, so that it does not
// belong to the digest.
func (s *settings) modelConfig() (modelType, class string, err error) {
	data, err := s.open("config.json")
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", nil
	}
	if err != nil {
		return "", "", err
	}
	o, err := parseObject("", []byte(data))
	if err == nil {
		o.read("model_type", &modelType)
		o.read("tokenizer_class", &class)
		err = o.err
	}
	return modelType, class, s.named("config.json", err)
}
