package tokenizer

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	sugarme "github.com/sugarme/tokenizer"

	"github.com/metatt/metatt/pkg/internal/rawjson"
)

// token is one as the settings write it: text alone, or with properties.
type token struct {
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	Lstrip     bool   `json:"lstrip"`
	Rstrip     bool   `json:"rstrip"`
	Normalized *bool  `json:"normalized"` // null: those that are not special
	Special    bool   `json:"special"`
	Type       string `json:"__type"`
	plain      bool   // text alone
}

func plainToken(content string) token { return token{Content: content, plain: true} }

// config is the token with the properties that it gets when it is added; plain ones are special.
func (t token) config() sugarme.TokenConfig {
	special := t.Special || t.plain
	normalized := !special
	if t.Normalized != nil {
		normalized = *t.Normalized
	}
	return sugarme.TokenConfig{
		Id: noID, Content: t.Content, SingleWord: t.SingleWord, Lstrip: t.Lstrip, Rstrip: t.Rstrip, Normalized: normalized, Special: special,
	}
}

// noID is of a token that takes what id it gets.
const noID = -1

// storedToken is a token of tokenizer.json's added_tokens.
func storedToken(t sugarme.TokenConfig) token {
	return token{Content: t.Content, SingleWord: t.SingleWord, Lstrip: t.Lstrip, Rstrip: t.Rstrip, Normalized: &t.Normalized, Special: t.Special}
}

// identity is what transformers compares: a plain token equals no other, whatever properties that has.
type identity struct {
	plain  bool
	config sugarme.TokenConfig
}

func (t token) identity() identity { return identity{t.plain, t.config()} }

// token decodes one. Those with properties are special in special_tokens_map.json, whatever they say.
func (s *settings) token(o *object, name string, raw jsontext.Value) (t token) {
	switch rawjson.Kind(raw) {
	case "string":
		t.plain = true
		o.decode(name, raw, &t.Content)
	case "object":
		o.decode(name, raw, &t)
		if t.Content == "" {
			o.fail(name, "a token without content")
		}
	default:
		o.fail(name, "%s where a token belongs", excerpt(raw))
	}
	t.Special = t.Special || o == s.legacy && !t.plain
	return t
}

// maxAddedTokens bounds what the settings may add to a vocabulary.
const maxAddedTokens = 1 << 16

// tokenList reads a list of tokens.
func (s *settings) tokenList(o *object, name string, raw jsontext.Value) (tokens []token) {
	if raw == nil {
		return nil
	}
	err := rawjson.Elements(raw, func(i int, raw []byte) error {
		if i == maxAddedTokens {
			return o.fail(name, "more than %d tokens", maxAddedTokens)
		}
		tokens = append(tokens, s.token(o, element(name, i), raw))
		return o.err
	})
	o.failWith(name, err)
	return tokens
}

// namedToken is a token under the name by which transformers knows it.
type namedToken struct {
	name string
	token
}

// tokenMap reads an object of tokens by their names.
func (s *settings) tokenMap(o *object, name string, raw jsontext.Value) (tokens []namedToken) {
	err := rawjson.Members(raw, func(key string, raw []byte) error {
		if len(tokens) == maxFields {
			return o.fail(name, "more than %d tokens", maxFields)
		}
		tokens = append(tokens, namedToken{key, s.token(o, name+"."+key, raw)})
		return o.err
	})
	o.failWith(name, err)
	return tokens
}

// failWith is fail with the error of a walk over a field, which may be one of the object's own.
func (o *object) failWith(field string, err error) {
	if wrongKind := (*rawjson.KindError)(nil); errors.As(err, &wrongKind) {
		o.fail(field, "%s where an %s belongs", wrongKind.Got, wrongKind.Want)
	} else if err != nil {
		o.fail(field, "%w", err)
	}
}

// isTokenName says whether transformers takes a field for a special token of the model's own.
func isTokenName(name string) bool { return strings.HasSuffix(name, "_token") }

// oneLine is a name from a file, without its control characters.
func oneLine(name string) string {
	quoted := fmt.Sprintf("%.80q", name)
	return quoted[1 : len(quoted)-1]
}
