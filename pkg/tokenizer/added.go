package tokenizer

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	sugarme "github.com/sugarme/tokenizer"
)

// addedVocabulary holds the tokens that are found in the text itself, before any model sees it: special tokens, and
// tokens that were added to a finished vocabulary. Some are matched in the text as it stands, the others in its
// normalized form.
type addedVocabulary struct {
	ids             map[string]int
	byID            map[int]sugarme.TokenConfig
	raw, normalized matcher
}

// newAddedVocabulary gives each token the id that Hugging Face gives it: the model's, or the next free one. An id in the
// file that differs is an error. Of several tokens with one text, the last has its properties.
func newAddedVocabulary(tokens []sugarme.TokenConfig, model sugarme.Model, normalize func(string) string) (addedVocabulary, error) {
	a := addedVocabulary{ids: make(map[string]int, len(tokens)), byID: make(map[int]sugarme.TokenConfig, len(tokens))}
	next := model.GetVocabSize()
	for i, token := range tokens {
		if token.Content == "" {
			continue
		}
		id, ok := a.ids[token.Content]
		if !ok {
			id, ok = model.TokenToId(token.Content)
		}
		if !ok {
			id = next
		}
		next = max(next, id+1)
		if token.Id != noID && token.Id != int64(id) {
			return a, &idError{i, token, id}
		}
		a.ids[token.Content] = id
		a.byID[id] = token
	}
	raw, normalized := make(map[string]addedToken), make(map[string]addedToken)
	for _, id := range slices.Sorted(maps.Keys(a.byID)) {
		token := a.byID[id]
		patterns, pattern := raw, token.Content
		if token.Normalized {
			patterns, pattern = normalized, normalize(token.Content)
		}
		if pattern == "" {
			return a, fmt.Errorf("added_tokens: nothing is left of %q after normalization", token.Content)
		}
		if other, taken := patterns[pattern]; taken {
			return a, fmt.Errorf("added_tokens: %q and %q match the same text", other.Content, token.Content)
		}
		patterns[pattern] = addedToken{TokenConfig: token, id: int32(id), pattern: pattern}
	}
	a.raw, a.normalized = newMatcher(raw), newMatcher(normalized)
	return a, nil
}

// idError is about the i-th token, to which a file gives another id than its place does.
type idError struct {
	i     int
	token sugarme.TokenConfig
	place int
}

func (e *idError) Error() string { return fmt.Sprintf("added_tokens[%d].id: %s", e.i, e.reason()) }

func (e *idError) reason() string {
	return fmt.Sprintf("token %q has id %d, its place in the vocabulary gives %d", e.token.Content, e.token.Id, e.place)
}

type addedToken struct {
	sugarme.TokenConfig
	id      int32
	pattern string // what it looks like in text
	skip    bool   // found, and left to the model: of special tokens with split_special_tokens
}

// matcher finds tokens in text: at the leftmost place where one matches, the longest.
type matcher struct {
	byFirst [256][]addedToken // by the first byte of the pattern, the longest first
	count   int
}

func newMatcher(patterns map[string]addedToken) matcher {
	m := matcher{count: len(patterns)}
	for pattern, token := range patterns {
		m.byFirst[pattern[0]] = append(m.byFirst[pattern[0]], token)
	}
	for _, tokens := range m.byFirst {
		slices.SortFunc(tokens, func(a, b addedToken) int { return len(b.pattern) - len(a.pattern) })
	}
	return m
}

// skipSpecial leaves special tokens in the text to the model.
func (m *matcher) skipSpecial() {
	for _, tokens := range m.byFirst {
		for i := range tokens {
			tokens[i].skip = tokens[i].Special
		}
	}
}

// find returns where the first match at or after from starts, and its token; nil when there is none.
func (m *matcher) find(text string, from int) (start int, token *addedToken) {
	for start = from; start < len(text); start++ {
		tokens := m.byFirst[text[start]]
		for i := range tokens {
			if strings.HasPrefix(text[start:], tokens[i].pattern) {
				return start, &tokens[i]
			}
		}
	}
	return start, nil
}

// split appends the ids of the tokens in text and, between them, what gap appends for the text there.
func (m *matcher) split(ids []int32, text string, gap func([]int32, string) ([]int32, error)) ([]int32, error) {
	if text == "" {
		return ids, nil
	}
	if m.count == 0 {
		return gap(ids, text)
	}
	done := 0 // everything before is encoded
	for at := 0; ; {
		start, token := m.find(text, at)
		if token == nil {
			break
		}
		end := start + len(token.pattern)
		at = end
		if token.skip || token.SingleWord && (endsWithWord(text[:start]) || startsWithWord(text[end:])) {
			continue
		}
		if token.Lstrip {
			start -= trailingSpace(text[:start])
		}
		if token.Rstrip {
			end += leadingSpace(text[end:])
		}
		// Not so where the token before took the white space that this one takes.
		if done < start {
			var err error
			if ids, err = gap(ids, text[done:start]); err != nil {
				return nil, err
			}
		}
		ids = append(ids, token.id)
		done = end
	}
	if done == len(text) {
		return ids, nil
	}
	return gap(ids, text[done:])
}

func startsWithWord(s string) bool {
	r, n := utf8.DecodeRuneInString(s)
	return n > 0 && isWord(r)
}

func endsWithWord(s string) bool {
	r, n := utf8.DecodeLastRuneInString(s)
	return n > 0 && isWord(r)
}

// leadingSpace returns the length of the white space that s begins with.
func leadingSpace(s string) int {
	for i, r := range s {
		if classes[r]&classSpace == 0 {
			return i
		}
	}
	return len(s)
}

// trailingSpace returns the length of the white space that s ends with.
func trailingSpace(s string) int {
	i := len(s)
	for i > 0 {
		r, n := utf8.DecodeLastRuneInString(s[:i])
		if classes[r]&classSpace == 0 {
			break
		}
		i -= n
	}
	return len(s) - i
}
