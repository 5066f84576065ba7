package tokenizer

import (
	"iter"
	"strings"
	"unicode/utf8"

	sugarme "github.com/sugarme/tokenizer"
)

// byteLevelEncoder is GPT-2's and RoBERTa's way to words: split by a fixed pattern, then spell the bytes of each word in
// printable characters, which is the alphabet of the BPE model behind it.
type byteLevelEncoder struct {
	model          sugarme.Model
	addPrefixSpace bool
}

func newByteLevelEncoder(model sugarme.Model, addPrefixSpace bool) *byteLevelEncoder {
	loadClasses()
	return &byteLevelEncoder{model: model, addPrefixSpace: addPrefixSpace}
}

func (b *byteLevelEncoder) appendText(ids []int32, text string, w *worker) ([]int32, error) {
	if b.addPrefixSpace && !strings.HasPrefix(text, " ") {
		text = " " + text
	}
	for word := range byteLevelWords(text) {
		if known, ok := w.lookup(word); ok {
			ids = append(ids, known...)
			continue
		}
		before := len(ids)
		tokens, err := b.model.Tokenize(spellBytes(word))
		if err != nil {
			return nil, err
		}
		for _, token := range tokens {
			ids = append(ids, int32(token.Id))
		}
		w.remember(word, ids[before:])
	}
	return ids, nil
}

// normalize changes nothing: byte-level models keep text as it is.
func (b *byteLevelEncoder) normalize(text string) string { return text }

func (b *byteLevelEncoder) appendNormalized(ids []int32, text string, w *worker) ([]int32, error) {
	return b.appendText(ids, text, w)
}

// byteLevelWords splits text where GPT-2's pattern does:
//
//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
func byteLevelWords(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for len(text) > 0 {
			n := byteLevelWordLen(text)
			if !yield(text[:n]) {
				return
			}
			text = text[n:]
		}
	}
}

// byteLevelWordLen returns the length of the pattern's match at the start of text.
func byteLevelWordLen(text string) int {
	if n := contractionLen(text); n > 0 {
		return n
	}
	const kinds = classLetter | classNumber | classSpace
	body := text
	if len(text) > 1 && text[0] == ' ' {
		body = text[1:]
	}
	if kind := classAt(body) & kinds; kind != classSpace {
		n := 0
		for n < len(body) && classAt(body[n:])&kinds == kind {
			n += sizeAt(body[n:])
		}
		return len(text) - len(body) + n
	}
	n, last := 0, 0
	for n < len(text) && classAt(text[n:])&kinds == classSpace {
		last = n
		n += sizeAt(text[n:])
	}
	// White space in front of a word leaves its last character to the word, if it has another.
	if n < len(text) && last > 0 {
		return last
	}
	return n
}

func contractionLen(text string) int {
	if text[0] != '\'' {
		return 0
	}
	for _, c := range [...]string{"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"} {
		if strings.HasPrefix(text, c) {
			return len(c)
		}
	}
	return 0
}

func classAt(text string) class {
	if text[0] < utf8.RuneSelf {
		return classes[text[0]]
	}
	r, _ := utf8.DecodeRuneInString(text)
	return classes[r]
}

func sizeAt(text string) int {
	if text[0] < utf8.RuneSelf {
		return 1
	}
	_, n := utf8.DecodeRuneInString(text)
	return n
}

// byteSpelling holds the printable character of each byte: itself where it is one in Latin-1, else one from U+0100 on.
var byteSpelling = func() (spelling [256]rune) {
	next := rune(0x100)
	for b := range spelling {
		switch {
		case '!' <= b && b <= '~', 0xA1 <= b && b <= 0xAC, 0xAE <= b:
			spelling[b] = rune(b)
		default:
			spelling[b] = next
			next++
		}
	}
	return spelling
}()

func spellBytes(word string) string {
	var s strings.Builder
	s.Grow(2 * len(word))
	for i := range len(word) {
		s.WriteRune(byteSpelling[word[i]])
	}
	return s.String()
}
