package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// DecodeUTF8 decodes bytes as Python's bytes.decode("utf-8", "replace") does: each maximal part of an ill-formed
// sequence becomes one U+FFFD (The Unicode Standard, section 3.9, "U+FFFD Substitution of Maximal Subparts"). Go's own
// conversions put one in the place of each byte.
func DecodeUTF8(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var s strings.Builder
	s.Grow(len(b))
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			n = illFormedLen(b)
		}
		s.WriteRune(r)
		b = b[n:]
	}
	return s.String()
}

// illFormedLen returns the length of the maximal subpart that an ill-formed sequence starts with: the bytes that begin
// a well-formed sequence (table 3-7 of the standard), at least one.
func illFormedLen(b []byte) int {
	low, high := byte(0x80), byte(0xBF) // what the second byte may be
	length := 0
	switch lead := b[0]; {
	case lead >= 0xC2 && lead <= 0xDF:
		length = 2
	case lead >= 0xE0 && lead <= 0xEF:
		length = 3
		switch lead {
		case 0xE0:
			low = 0xA0
		case 0xED:
			high = 0x9F
		}
	case lead >= 0xF0 && lead <= 0xF4:
		length = 4
		switch lead {
		case 0xF0:
			low = 0x90
		case 0xF4:
			high = 0x8F
		}
	}
	n := 1
	for n < min(length, len(b)) && b[n] >= low && b[n] <= high {
		low, high = 0x80, 0xBF
		n++
	}
	return n
}
