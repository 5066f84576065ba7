package tokenizer

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"
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
func (f files) bert(vocab string) (*Tokenizer, error) {
	v := make(vocabulary, linesAtMost(vocab))
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
func (f files) roberta(vocab string) (*Tokenizer, error) {
	// Wrapped, because the whole file is the map.
	o := &object{fields: map[string]jsontext.Value{"": []byte(vocab)}}
	v := o.vocabulary("")
	if o.err != nil {
		return nil, f.named("vocab.json", o.err)
	}
	merges, err := f.read("merges.txt")
	if err != nil {
		return nil, err
	}
	model, err := newBPE(v, linesAtMost(merges), "", false, false)
	if err != nil {
		return nil, f.named("vocab.json", err)
	}
	if at, err := model.learnLines(merges); err != nil {
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
	post := robertaProcessing(tokens.id("cls_token"), tokens.id("sep_token"))
	return f.assemble(model, newByteLevelEncoder(model, addPrefixSpace), config, tokens, post)
}

// lines splits a file at line feeds, without carriage returns in front of them.
func lines(text string) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		i := 0
		for line := range strings.Lines(text) {
			if text, ended := strings.CutSuffix(line, "\n"); ended {
				line = strings.TrimSuffix(text, "\r")
			}
			if !yield(i, line) {
				return
			}
			i++
		}
	}
}

// linesAtMost bounds how many different lines a file has. Of those shorter than three letters there are too few to
// matter, so that a file of line ends claims nothing.
func linesAtMost(text string) int { return min(strings.Count(text, "\n")+1, len(text)/4) }

// learnLines reads merges.txt: lines "left right", and a header "#version". With an error it returns the line's index.
func (m *bpe) learnLines(text string) (at int, err error) {
	rank := 0
	for i, line := range lines(text) {
		if isVersion(line) {
			continue
		}
		left, right, ok := twoTokens(line)
		if !ok {
			return i, fmt.Errorf("%.40q is not two tokens", line)
		}
		if err := m.learn(rank, left, right); err != nil {
			return i, err
		}
		rank++
	}
	return 0, nil
}

// isVersion says whether a line is the header of merges.txt, which old tokenizer.json files hold, too.
func isVersion(line string) bool { return strings.HasPrefix(line, "#version") }

func twoTokens(line string) (left, right string, ok bool) {
	left, right, ok = strings.Cut(line, " ")
	return left, right, ok && !strings.Contains(right, " ")
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
			data, err = "{}", nil
		}
		if err != nil {
			return nil, nil, err
		}
		if config, err = parseObject("", []byte(data)); err != nil {
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
