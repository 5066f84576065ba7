package tokenizer

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	sugarme "github.com/sugarme/tokenizer"
)

// namedTokens are special tokens by their names in tokenizer_config.json.
type namedTokens map[string]sugarme.TokenConfig

func bertTokens() namedTokens {
	return namedTokens{
		"unk_token": {Content: "[UNK]"}, "sep_token": {Content: "[SEP]"}, "pad_token": {Content: "[PAD]"},
		"cls_token": {Content: "[CLS]"}, "mask_token": {Content: "[MASK]"},
	}
}

func robertaTokens() namedTokens {
	return namedTokens{
		"unk_token": {Content: "<unk>"}, "sep_token": {Content: "</s>"}, "pad_token": {Content: "<pad>"},
		"cls_token": {Content: "<s>"}, "bos_token": {Content: "<s>"}, "eos_token": {Content: "</s>"},
		"mask_token": {Content: "<mask>", Lstrip: true}, // as in RoBERTa's tokenizer.json
	}
}

func (t namedTokens) id(name string) int32 { return int32(t[name].Id) }

// bert builds the tokenizer that transformers' BertTokenizer makes of vocab.txt, a token a line.
func (f files) bert(vocab []byte) (*Tokenizer, error) {
	v := make(vocabulary)
	for i, line := range lines(vocab) {
		v[strings.TrimRightFunc(line, unicode.IsSpace)] = i
	}
	config, tokens, err := f.tokenizerConfig(bertTokens(), v)
	if err != nil {
		return nil, err
	}
	rules := bertRules{cleanText: true, spaceIdeographs: true, lowercase: true}
	config.read("do_lower_case", &rules.lowercase)
	config.read("tokenize_chinese_chars", &rules.spaceIdeographs)
	rules.stripAccents = rules.lowercase
	config.read("strip_accents", &rules.stripAccents)
	config.only("do_basic_tokenize", "true")
	if config.err != nil {
		return nil, f.named("tokenizer_config.json", config.err)
	}
	model, err := newWordPiece(v, tokens["unk_token"].Content, "##", 100)
	if err != nil {
		return nil, f.named("vocab.txt", err)
	}
	post := bertProcessing(tokens.id("cls_token"), tokens.id("sep_token"))
	return f.assemble(model, newBERTEncoder(model, rules), config, tokens, post)
}

// roberta builds the tokenizer that transformers' RobertaTokenizer makes of vocab.json and merges.txt.
func (f files) roberta(vocab []byte) (*Tokenizer, error) {
	// Wrapped, because the whole file is the map.
	o := &object{fields: map[string]json.RawMessage{"": vocab}}
	v := o.vocabulary("")
	if o.err != nil {
		return nil, f.named("vocab.json", o.err)
	}
	data, err := f.read("merges.txt")
	if err != nil {
		return nil, err
	}
	merges, at, err := parseMerges(lines(data))
	if err != nil {
		return nil, f.named(fmt.Sprintf("merges.txt:%d", at+1), err)
	}
	config, tokens, err := f.tokenizerConfig(robertaTokens(), v)
	if err != nil {
		return nil, err
	}
	var addPrefixSpace bool
	config.read("add_prefix_space", &addPrefixSpace)
	if config.err != nil {
		return nil, f.named("tokenizer_config.json", config.err)
	}
	model, err := newBPE(v, merges, "", false, false)
	if err != nil {
		return nil, f.named("merges.txt", err)
	}
	post := robertaProcessing(tokens.id("cls_token"), tokens.id("sep_token"))
	return f.assemble(model, newByteLevelEncoder(model, addPrefixSpace), config, tokens, post)
}

// lines splits a file at line feeds, without carriage returns in front of them and an empty last line.
func lines(data []byte) []string {
	all := strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n")
	if all[len(all)-1] == "" {
		all = all[:len(all)-1]
	}
	return all
}

// parseMerges reads lines "left right", without a header "#version". With an error it returns the line's index.
func parseMerges(lines []string) (merges [][2]string, at int, err error) {
	for i, line := range lines {
		if strings.HasPrefix(line, "#version") {
			continue
		}
		tokens := strings.Split(line, " ")
		if len(tokens) != 2 {
			return nil, i, fmt.Errorf("%.40q is not two tokens", line)
		}
		merges = append(merges, [2]string(tokens))
	}
	return merges, 0, nil
}

// tokenizerConfig reads tokenizer_config.json and special_tokens_map.json, both optional, and the special tokens as they
// say.
func (f files) tokenizerConfig(tokens namedTokens, v vocabulary) (*object, namedTokens, error) {
	if _, err := f.read("added_tokens.json"); err == nil {
		return nil, nil, f.named("added_tokens.json", errors.New("added tokens are read from tokenizer.json only, which is not there"))
	}
	var config *object
	for _, name := range []string{"special_tokens_map.json", "tokenizer_config.json"} {
		data, err := f.read(name)
		if errors.Is(err, fs.ErrNotExist) {
			data, err = []byte("{}"), nil
		}
		if err != nil {
			return nil, nil, err
		}
		if config, err = parseObject("", data); err != nil {
			return nil, nil, f.named(name, err)
		}
		for name, token := range tokens {
			tokens[name] = config.token(name, token)
		}
		if config.err != nil {
			return nil, nil, f.named(name, config.err)
		}
	}
	for name, token := range tokens {
		id, ok := v[token.Content]
		if !ok {
			return nil, nil, fmt.Errorf("%s: %s %q is not in the vocabulary", f.dir, name, token.Content)
		}
		token.Id = int64(id)
		tokens[name] = token
	}
	return config, tokens, nil
}

// token reads a special token, a string or an object with its properties.
func (o *object) token(name string, t sugarme.TokenConfig) sugarme.TokenConfig {
	raw := o.take(name)
	switch {
	case raw == nil:
	case raw[0] == '"':
		o.decode(name, raw, &t.Content)
	default:
		o.decode(name, raw, &t)
	}
	return t
}

// assemble adds the tokens of added_tokens_decoder, whose properties count where a special token is among them.
func (f files) assemble(model sugarme.Model, encoder textEncoder, config *object, specials namedTokens, post postProcessor) (*Tokenizer, error) {
	var tokens []sugarme.TokenConfig
	for _, name := range slices.Sorted(maps.Keys(specials)) {
		tokens = append(tokens, specials[name])
	}
	var decoder map[string]sugarme.TokenConfig
	config.read("added_tokens_decoder", &decoder)
	var added []sugarme.TokenConfig
	for key, token := range decoder {
		id, err := strconv.Atoi(key)
		if err != nil {
			config.fail("added_tokens_decoder", "%q is not an id", key)
		}
		token.Id = int64(id)
		added = append(added, token)
	}
	slices.SortFunc(added, func(a, b sugarme.TokenConfig) int { return cmp.Compare(a.Id, b.Id) })
	if config.err != nil {
		return nil, f.named("tokenizer_config.json", config.err)
	}
	all, err := newAddedVocabulary(append(tokens, added...), model, encoder.normalize)
	if err != nil {
		return nil, f.named("tokenizer_config.json", err)
	}
	return newTokenizer(model, encoder, all, post, specials["pad_token"].Content), nil
}
