package tokenizer

import (
	"cmp"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	sugarme "github.com/sugarme/tokenizer"

	"github.com/metatt/metatt/pkg/internal/rawjson"
)

// tokenizerFile is what a tokenizer.json holds.
type tokenizerFile struct {
	model     sugarme.Model
	encoder   textEncoder
	added     []sugarme.TokenConfig
	post      postProcessor
	padToken  string
	direction string // of truncation: left or right
}

// parseTokenizerJSON reads a tokenizer.json. How long sequences are is the caller's to decide at [Tokenizer.Encode], and the
// decoder touches no ids; everything else is either honoured or an error.
func parseTokenizerJSON(data []byte) (*tokenizerFile, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("the file is not UTF-8")
	}
	o, err := parseObject("", data)
	if err != nil {
		return nil, err
	}
	o.only("version", `"1.0"`)
	o.ignore("decoder")
	var padding struct {
		Token string `json:"pad_token"`
	}
	o.read("padding", &padding)
	truncation := struct {
		Direction string `json:"direction"`
	}{"Right"}
	if o.read("truncation", &truncation); truncation.Direction != "Right" && truncation.Direction != "Left" {
		o.fail("truncation.direction", "%.40q is neither Right nor Left", truncation.Direction)
	}
	file := &tokenizerFile{padToken: padding.Token, direction: strings.ToLower(truncation.Direction)}
	if file.model, file.encoder, err = o.pipeline(); err != nil {
		return nil, err
	}
	file.added = o.addedTokens()
	file.post, err = o.postProcessor()
	if err = cmp.Or(err, o.done()); err != nil {
		return nil, err
	}
	return file, nil
}

// pipeline reads the model, the normalizer and the pre-tokenizer, which go together.
func (o *object) pipeline() (sugarme.Model, textEncoder, error) {
	switch m, kind := o.child("model"); {
	case o.err != nil:
		return nil, nil, o.err
	case kind == "WordPiece":
		model, err := m.wordPiece()
		if err != nil {
			return nil, nil, err
		}
		encoder, err := o.bertEncoder(model)
		return model, encoder, err
	case kind == "BPE":
		model, err := m.bpe()
		if err != nil {
			return nil, nil, err
		}
		encoder, err := o.byteLevelEncoder(model)
		return model, encoder, err
	default:
		return nil, nil, o.fail("model.type", "%q is not supported, only WordPiece and BPE", kind)
	}
}

func (o *object) wordPiece() (*wordPiece, error) {
	var unk, prefix string
	var maxChars uint32
	o.need("unk_token", &unk)
	o.need("continuing_subword_prefix", &prefix)
	o.need("max_input_chars_per_word", &maxChars)
	v := o.vocabulary("vocab")
	if err := o.done(); err != nil {
		return nil, err
	}
	model, err := newWordPiece(v, unk, prefix, int(maxChars))
	if err != nil {
		return nil, o.fail("", "%w", err)
	}
	return model, nil
}

func (o *object) bertEncoder(model sugarme.Model) (textEncoder, error) {
	switch pre, kind := o.child("pre_tokenizer"); {
	case o.err != nil:
		return nil, o.err
	case kind != "BertPreTokenizer":
		return nil, o.fail("pre_tokenizer.type", "%q is not supported with WordPiece, only BertPreTokenizer", kind)
	default:
		if err := pre.done(); err != nil {
			return nil, err
		}
	}
	var rules bertRules
	switch n, kind := o.child("normalizer"); {
	case o.err != nil:
		return nil, o.err
	case n == nil:
	case kind != "BertNormalizer":
		return nil, o.fail("normalizer.type", "%q is not supported with WordPiece, only BertNormalizer", kind)
	default:
		n.need("clean_text", &rules.cleanText)
		n.need("handle_chinese_chars", &rules.spaceIdeographs)
		n.need("lowercase", &rules.lowercase)
		rules.stripAccents = rules.lowercase // what null means
		n.read("strip_accents", &rules.stripAccents)
		if err := n.done(); err != nil {
			return nil, err
		}
	}
	return newBERTEncoder(model, rules), nil
}

func (o *object) bpe() (*bpe, error) {
	var unk string
	var fuseUnk, ignoreMerges bool
	o.read("unk_token", &unk)
	o.read("fuse_unk", &fuseUnk)
	o.read("ignore_merges", &ignoreMerges)
	o.only("dropout", "0", "0.0")
	o.only("byte_fallback", "false")
	o.only("continuing_subword_prefix", `""`)
	o.only("end_of_word_suffix", `""`)
	v := o.vocabulary("vocab")
	if o.err != nil {
		return nil, o.err
	}
	model, err := newBPE(v, rawjson.Len(o.fields["merges"]), unk, fuseUnk, ignoreMerges)
	if err != nil {
		return nil, o.fail("", "%w", err)
	}
	o.merges(model)
	return model, o.done()
}

// merges reads the merges into the model, as pairs or as the older lines "left right".
func (o *object) merges(model *bpe) {
	if o.fields["merges"] == nil {
		o.fail("merges", "the field is missing")
	}
	rank := 0
	var pair []string
	o.elements("merges", func(i int, raw jsontext.Value) {
		var left, right string
		var ok bool
		if raw.Kind() == '"' {
			line, err := jsontext.AppendUnquote(nil, raw)
			if err != nil {
				o.fail(element("merges", i), "%w", err)
				return
			}
			if isVersion(string(line)) {
				return
			}
			left, right, ok = twoTokens(string(line))
		} else {
			if err := json.Unmarshal(raw, &pair); err != nil {
				o.fail(element("merges", i), "%w", jsonError(err))
				return
			}
			if ok = len(pair) == 2; ok {
				left, right = pair[0], pair[1]
			}
		}
		if !ok {
			o.fail(element("merges", i), "%s is not two tokens", excerpt(raw))
			return
		}
		if err := model.learn(rank, left, right); err != nil {
			o.fail(element("merges", i), "%w", err)
		}
		rank++
	})
}

func (o *object) byteLevelEncoder(model sugarme.Model) (textEncoder, error) {
	if n, kind := o.child("normalizer"); n != nil {
		return nil, o.fail("normalizer.type", "%q is not supported with BPE", kind)
	}
	pre, kind := o.child("pre_tokenizer")
	if o.err != nil {
		return nil, o.err
	}
	if kind != "ByteLevel" {
		return nil, o.fail("pre_tokenizer.type", "%q is not supported with BPE, only ByteLevel", kind)
	}
	var addPrefixSpace bool
	pre.need("add_prefix_space", &addPrefixSpace)
	pre.only("use_regex", "true")
	pre.ignore("trim_offsets")
	if err := pre.done(); err != nil {
		return nil, err
	}
	return newByteLevelEncoder(model, addPrefixSpace), nil
}

// minAddedToken is the length of an entry that has all its fields.
const minAddedToken = 100

func (o *object) addedTokens() []sugarme.TokenConfig {
	tokens := make([]sugarme.TokenConfig, 0, len(o.fields["added_tokens"])/minAddedToken)
	entry := &object{fields: make(map[string]jsontext.Value)} // one for all of them
	o.elements("added_tokens", func(i int, raw jsontext.Value) {
		err := entry.parse(element("added_tokens", i)+".", raw)
		if err == nil {
			var t sugarme.TokenConfig
			entry.need("id", &t.Id)
			entry.need("content", &t.Content)
			entry.need("single_word", &t.SingleWord)
			entry.need("lstrip", &t.Lstrip)
			entry.need("rstrip", &t.Rstrip)
			entry.need("normalized", &t.Normalized)
			entry.need("special", &t.Special)
			err = entry.done()
			tokens = append(tokens, t)
		}
		o.err = cmp.Or(o.err, err)
	})
	return tokens
}
