// Package textenc decodes text as Python does, which is what the published scores were computed from.
package textenc

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// DecodeUTF8 is Python's bytes.decode("utf-8", "replace"): each maximal part of an ill-formed sequence becomes one
// U+FFFD (The Unicode Standard, section 3.9, "U+FFFD Substitution of Maximal Subparts"). Go's own conversions put one
// in the place of each byte.
func DecodeUTF8(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var text strings.Builder
	text.Grow(len(b) + extra(b))
	w := transform.NewWriter(&text, unicode.UTF8.NewDecoder())
	// Neither the decoder nor the builder has an error to give.
	w.Write(b)
	w.Close()
	return text.String()
}

// extra bounds by how much b grows: at most every ill-formed byte becomes the three of U+FFFD. Growing step by step
// would cost several times the text.
func extra(b []byte) int {
	n := 0
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if r == utf8.RuneError && size == 1 {
			n += 2
		}
		b = b[size:]
	}
	return n
}
