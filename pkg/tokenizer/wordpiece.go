package tokenizer

import (
	"errors"
	"fmt"
	"unicode/utf8"

	sugarme "github.com/sugarme/tokenizer"
)

// wordPiece splits a word greedily into the longest pieces of its vocabulary (Wu et al. 2016, arXiv:1609.08144, as
// BERT does it). A word with a part that no piece matches, or with too many characters, is one unknown token.
type wordPiece struct {
	vocabulary
	unk      sugarme.Token
	prefix   string // of every piece but a word's first: "##"
	maxChars int    // of a word
	longest  int    // bytes of the longest piece
}

var _ sugarme.Model = (*wordPiece)(nil)

func newWordPiece(v vocabulary, unk, prefix string, maxChars int) (*wordPiece, error) {
	id, ok := v[unk]
	if !ok {
		return nil, fmt.Errorf("unk_token: %q is not in the vocabulary", unk)
	}
	m := &wordPiece{vocabulary: v, unk: sugarme.Token{Id: id, Value: unk}, prefix: prefix, maxChars: maxChars}
	for token := range v {
		m.longest = max(m.longest, len(token))
	}
	return m, nil
}

// Tokenize returns the pieces of one word. Offsets are bytes of the word.
func (m *wordPiece) Tokenize(word string) ([]sugarme.Token, error) {
	unknown := func() []sugarme.Token {
		unk := m.unk
		unk.Offsets = []int{0, len(word)}
		return []sugarme.Token{unk}
	}
	if utf8.RuneCountInString(word) > m.maxChars {
		return unknown(), nil
	}
	var tokens []sugarme.Token
	var buf []byte
	for start := 0; start < len(word); {
		buf = buf[:0]
		if start > 0 {
			buf = append(buf, m.prefix...)
		}
		prefix := len(buf)
		buf = append(buf, word[start:min(len(word), start+max(0, m.longest-prefix))]...)
		found := false
		for end := len(buf); end > prefix && !found; end-- {
			if stop := start + end - prefix; stop < len(word) && !utf8.RuneStart(word[stop]) {
				continue
			}
			id, ok := m.vocabulary[string(buf[:end])]
			if !ok {
				continue
			}
			stop := start + end - prefix
			tokens = append(tokens, sugarme.Token{Id: id, Value: string(buf[:end]), Offsets: []int{start, stop}})
			start, found = stop, true
		}
		if !found {
			return unknown(), nil
		}
	}
	return tokens, nil
}

// vocabulary maps tokens to ids: what the Model interface asks of WordPiece and BPE alike.
type vocabulary map[string]int

// TokenToId returns the id of a token.
func (v vocabulary) TokenToId(token string) (id int, ok bool) {
	id, ok = v[token]
	return id, ok
}

// IdToToken returns the token of an id. It looks at every token.
func (v vocabulary) IdToToken(id int) (token string, ok bool) {
	for token, its := range v {
		if its == id {
			return token, true
		}
	}
	return "", false
}

// GetVocab returns the ids by token. It must not be changed.
func (v vocabulary) GetVocab() map[string]int { return v }

// GetVocabSize returns the number of tokens.
func (v vocabulary) GetVocabSize() int { return len(v) }

// Save is not supported: a model folder's tokenizer files are copied as they are.
func (v vocabulary) Save(string, ...string) error { return errors.ErrUnsupported }
