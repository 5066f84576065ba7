package glue

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"testing"
)

func TestTable(t *testing.T) {
	for _, c := range []struct {
		content string
		want    [][]string
	}{
		{"", nil},
		{"\ufeff", nil},
		{"a", [][]string{{"a"}}},
		{"\n", [][]string{{""}}},
		{"a\tb\nc\td\n", [][]string{{"a", "b"}, {"c", "d"}}},
		{"a\tb\nc\td", [][]string{{"a", "b"}, {"c", "d"}}},
		{"a\r\nb\r", [][]string{{"a"}, {"b"}}},
		{"a\r\r\n\r", [][]string{{"a\r"}, {""}}},
		{"a\rb\u2028c\x0bd\x00\te\n", [][]string{{"a\rb\u2028c\x0bd\x00", "e"}}},
		{"\"a\tb\"\n'c\n", [][]string{{"\"a", "b\""}, {"'c"}}},
		{"\ufeffa\n\ufeffb", [][]string{{"a"}, {"\ufeffb"}}},
		{"\t\t\n\n", [][]string{{"", "", ""}, {""}}},
	} {
		table := newTable(c.content)
		left := table.rowsLeft()
		var rows [][]string
		for table.next() {
			fields := make([]string, table.columns())
			table.split(fields)
			rows = append(rows, fields)
			if table.line != len(rows) {
				t.Errorf("%q: row %d is on line %d", c.content, len(rows), table.line)
			}
		}
		if !slices.EqualFunc(rows, c.want, slices.Equal) {
			t.Errorf("%q: %q, want %q", c.content, rows, c.want)
		}
		if left != len(c.want) {
			t.Errorf("%q: %d rows counted, want %d", c.content, left, len(c.want))
		}
	}
}

// TestDecodeAsPython decodes every sequence of one to four of the bytes at which
// UTF-8's rules change; testdata/decode.py made the digest.
func TestDecodeAsPython(t *testing.T) {
	edges := []byte{
		0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2,
		0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF,
	}
	digest := sha256.New()
	var extend func(sequence []byte, missing int)
	extend = func(sequence []byte, missing int) {
		if missing == 0 {
			digest.Write([]byte(decode(sequence) + "\n"))
			return
		}
		for _, edge := range edges {
			extend(append(sequence, edge), missing-1)
		}
	}
	for length := 1; length <= 4; length++ {
		extend(make([]byte, 0, length), length)
	}
	const want = "d2c3961dfca20cba7777100010e8c0aa0a09c3dd9ca60c92c2a8c2e1a6359696"
	if got := hex.EncodeToString(digest.Sum(nil)); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}
