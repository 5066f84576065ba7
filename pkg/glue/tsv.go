package glue

import (
	"strings"
	"unicode/utf8"
)

// table walks over the rows of a TSV file as GLUE writes them: no quoting, rows
// end at \n alone, one \r before it is dropped, fields end at tabs.
type table struct {
	rest string
	line int    // of the row that next has read, from 1
	row  string // that row
}

// newTable starts before the first row of content, past a byte-order mark.
func newTable(content string) *table {
	return &table{rest: strings.TrimPrefix(content, "\ufeff")}
}

// next reads a row. A \n at the very end starts no further one.
func (t *table) next() bool {
	if t.rest == "" {
		return false
	}
	row, rest, _ := strings.Cut(t.rest, "\n")
	t.row, t.rest = strings.TrimSuffix(row, "\r"), rest
	t.line++
	return true
}

// columns counts the fields of the row.
func (t *table) columns() int { return strings.Count(t.row, "\t") + 1 }

// split cuts the row into its fields, which must be as many as fields.
func (t *table) split(fields []string) {
	rest := t.row
	for i := range fields {
		fields[i], rest, _ = strings.Cut(rest, "\t")
	}
}

// rowsLeft counts the rows that next has yet to read.
func (t *table) rowsLeft() int {
	n := strings.Count(t.rest, "\n")
	if t.rest != "" && !strings.HasSuffix(t.rest, "\n") {
		n++
	}
	return n
}

// decode reads UTF-8 and puts one U+FFFD in the place of each maximal part of
// an ill-formed sequence, as Python's decode("utf-8", "replace") does (The
// Unicode Standard, section 3.9, U+FFFD substitution of maximal subparts).
func decode(content []byte) string {
	if utf8.Valid(content) {
		return string(content)
	}
	var text strings.Builder
	text.Grow(len(content))
	for len(content) > 0 {
		_, size := utf8.DecodeRune(content)
		if size > 1 || content[0] < utf8.RuneSelf {
			text.Write(content[:size])
		} else {
			text.WriteRune(utf8.RuneError)
			size = maximalSubpart(content)
		}
		content = content[size:]
	}
	return text.String()
}

// maximalSubpart is the length of the longest start of content that could begin
// a well-formed sequence, at least 1. Content begins with an ill-formed one.
func maximalSubpart(content []byte) int {
	length, low, high := 1, byte(0x80), byte(0xBF) // the sequence's length and the bounds of its second byte
	switch first := content[0]; {
	case first >= 0xE0 && first <= 0xEF:
		length = 3
		switch first {
		case 0xE0:
			low = 0xA0 // below: overlong
		case 0xED:
			high = 0x9F // above: surrogates
		}
	case first >= 0xF0 && first <= 0xF4:
		length = 4
		switch first {
		case 0xF0:
			low = 0x90 // below: overlong
		case 0xF4:
			high = 0x8F // above: beyond U+10FFFF
		}
	}
	n := 1
	for n < length && n < len(content) && content[n] >= low && content[n] <= high {
		n++
		low, high = 0x80, 0xBF
	}
	return n
}
