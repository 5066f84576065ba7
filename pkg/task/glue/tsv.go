package glue

import "strings"

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

// dropEmptyEnd takes away the empty lines that end the file: an editor or a join
// of files left them. Where a row is one field, an empty line is a row.
func (t *table) dropEmptyEnd() {
	for {
		last := strings.LastIndexByte(strings.TrimSuffix(t.rest, "\n"), '\n') + 1
		if line := strings.TrimSuffix(t.rest[last:], "\n"); t.rest == "" || line != "" && line != "\r" {
			return
		}
		t.rest = t.rest[:last]
	}
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
