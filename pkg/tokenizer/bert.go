package tokenizer

import (
	"iter"
	"strings"
	"unicode/utf8"

	sugarme "github.com/sugarme/tokenizer"
)

// bertRules are the options of BERT's normalizer.
type bertRules struct {
	cleanText       bool // remove control characters
	spaceIdeographs bool // make each Chinese character a word
	stripAccents    bool
	lowercase       bool
}

// bertEncoder is BERT's normalizer and word splitter in front of a model.
type bertEncoder struct {
	bertRules
	model    sugarme.Model
	boundary [utf8.RuneSelf]boundary // of ASCII characters
}

// boundary says how an ASCII character ends a chunk, a stretch of text that normalizes and splits by itself.
type boundary uint8

const (
	inside   boundary = iota
	dropped           // white space
	isolated          // punctuation: a chunk of its own
)

func newBERTEncoder(model sugarme.Model, rules bertRules) *bertEncoder {
	loadClasses()
	b := &bertEncoder{bertRules: rules, model: model}
	for c := range b.boundary {
		b.boundary[c] = b.boundaryOf(rune(c))
	}
	return b
}

// appendText takes the ids of chunks, most of which are words seen before, from the worker's cache. Its keys are chunks as
// they are written, so that only new ones are normalized.
func (b *bertEncoder) appendText(ids []int32, text string, w *worker) ([]int32, error) {
	for chunk := range b.chunks(text) {
		if known, ok := w.lookup(chunk); ok {
			ids = append(ids, known...)
			continue
		}
		before := len(ids)
		var err error
		if ids, err = b.appendNormalized(ids, b.normalize(chunk), w); err != nil {
			return nil, err
		}
		w.remember(chunk, ids[before:])
	}
	return ids, nil
}

// chunks cuts text where no word and no normalization reaches across.
func (b *bertEncoder) chunks(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		start := 0
		for i := 0; i < len(text); {
			end := i + 1
			how := inside
			if c := text[i]; c < utf8.RuneSelf {
				how = b.boundary[c]
			} else {
				r, n := utf8.DecodeRuneInString(text[i:])
				end = i + n
				how = b.boundaryOf(r)
			}
			if how != inside {
				if start < i && !yield(text[start:i]) || how == isolated && !yield(text[i:end]) {
					return
				}
				start = end
			}
			i = end
		}
		if start < len(text) {
			yield(text[start:])
		}
	}
}

func (b *bertEncoder) boundaryOf(r rune) boundary {
	switch c := classes[r]; {
	// Form feeds and the like are white space, but clean_text removes them as control characters first, which joins
	// their neighbours.
	case c&classSpace != 0 && !(b.cleanText && c&classControl != 0):
		return dropped
	case r < utf8.RuneSelf && c&classPunctuation != 0, b.spaceIdeographs && c&classIdeograph != 0:
		return isolated
	}
	return inside
}

// normalize applies BERT's normalizer: clean the text, space out ideographs, decompose and drop accents, lowercase.
func (b *bertEncoder) normalize(text string) string {
	runes := b.expand(text)
	if b.stripAccents {
		orderMarks(runes)
	}
	var out strings.Builder
	out.Grow(len(text))
	for _, r := range runes {
		switch {
		case b.stripAccents && classes[r]&classMark != 0:
		case b.lowercase:
			out.WriteRune(lower(r))
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}

// expand does the part of normalize that turns one character into none or several.
func (b *bertEncoder) expand(text string) []rune {
	runes := make([]rune, 0, len(text))
	for _, r := range text {
		c := classes[r]
		isolate := b.spaceIdeographs && c&classIdeograph != 0
		if isolate {
			runes = append(runes, ' ')
		}
		switch {
		case b.cleanText && c&classControl != 0:
		case b.cleanText && c&classSpace != 0:
			runes = append(runes, ' ')
		case b.stripAccents:
			runes = appendDecomposed(runes, r)
		case b.lowercase && r == 'İ':
			runes = append(runes, 'i', '\u0307') // the only lower case of two characters
		default:
			runes = append(runes, r)
		}
		if isolate {
			runes = append(runes, ' ')
		}
	}
	return runes
}

func (b *bertEncoder) appendNormalized(ids []int32, text string, _ *worker) ([]int32, error) {
	for word := range bertWords(text) {
		tokens, err := b.model.Tokenize(word)
		if err != nil {
			return nil, err
		}
		for _, token := range tokens {
			ids = append(ids, int32(token.Id))
		}
	}
	return ids, nil
}

// bertWords splits normalized text at white space and around punctuation.
func bertWords(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		start := 0
		for i, r := range text {
			c := classes[r]
			if c&(classSpace|classPunctuation) == 0 {
				continue
			}
			if start < i && !yield(text[start:i]) {
				return
			}
			start = i + utf8.RuneLen(r)
			if c&classPunctuation != 0 && !yield(text[i:start]) {
				return
			}
		}
		if start < len(text) {
			yield(text[start:])
		}
	}
}
