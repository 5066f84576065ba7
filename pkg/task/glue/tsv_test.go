package glue

import (
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
