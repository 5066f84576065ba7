package own

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/metatt/metatt/pkg/fileformat"
)

// Row is one row's cells in the order in which they were asked for.
type Row struct {
	Line  int // of the file, from 1: where the row begins; of Parquet the number of the row
	Cells []string
}

// Rows walks over a file row by row, holding one at a time.
type Rows struct {
	file   string
	format Format
	next   func() (line int, cells []string, err error)
}

// ReadRows walks over r, which errors call file, and takes the cells of the
// named columns from each row: of TSV and CSV by the header in the first row, of
// JSON lines by the objects' keys, of Parquet by the schema, which is at the end of
// the file: r has to be an [io.ReaderAt] and an [io.Seeker] then.
func ReadRows(r io.Reader, file string, format Format, columns []string) (*Rows, error) {
	if format == Parquet {
		return readParquet(r, file, columns)
	}
	bounded := &bounded{r: r}
	if format == JSONL {
		return &Rows{file, format, bounded.within(newObjects(bounded, columns).next)}, nil
	}
	records := newRecords(bounded, format)
	rows := &Rows{file, format, bounded.within(records.next)}
	header, err := rows.Next()
	if errors.Is(err, io.EOF) {
		return nil, &fileformat.Error{Path: file, Problem: "the file is empty"}
	}
	if err != nil {
		return nil, err
	}
	if records.take, err = positions(header.Cells, columns); err != nil {
		return nil, &fileformat.Error{Path: file, Line: header.Line, Problem: err.Error()}
	}
	return rows, nil
}

// ReadBareRows walks over TSV or CSV without a header: every row is cells cells.
func ReadBareRows(r io.Reader, file string, format Format, cells int) *Rows {
	bounded := &bounded{r: r}
	records := newRecords(bounded, format)
	records.width = cells
	for i := range cells {
		records.take = append(records.take, i)
	}
	return &Rows{file, format, bounded.within(records.next)}
}

// Next returns the next row, or io.EOF. What is wrong with the file is a
// [*fileformat.Error], after which no more can be read.
func (r *Rows) Next() (Row, error) {
	line, cells, err := r.next()
	if errors.Is(err, io.EOF) {
		return Row{}, io.EOF
	}
	for _, cell := range cells {
		if err == nil && !utf8.ValidString(cell) {
			err = errors.New("not UTF-8 text")
		}
	}
	var outside *readError
	switch {
	case errors.As(err, &outside):
		return Row{}, fmt.Errorf("%s: %w", r.file, outside.err)
	case err != nil:
		return Row{}, r.wrong(line, err)
	}
	return Row{line, cells}, nil
}

// wrong is the error of what is wrong with a row.
func (r *Rows) wrong(line int, err error) error {
	if r.format == Parquet {
		return &fileformat.Error{Path: r.file, Problem: fmt.Sprintf("row %d: %v", line, err)}
	}
	return &fileformat.Error{Path: r.file, Line: line, Problem: err.Error()}
}

// positions finds columns in a header, each there once.
func positions(header, columns []string) ([]int, error) {
	at := make([]int, len(columns))
	for i, column := range columns {
		at[i] = slices.Index(header, column)
		if at[i] < 0 {
			return nil, fmt.Errorf("no column %.40q in the header, which has %s", column, list(header))
		}
		if slices.Contains(header[at[i]+1:], column) {
			return nil, fmt.Errorf("two columns are named %.40q", column)
		}
	}
	return at, nil
}

// maxRow bounds a row in bytes, so that a file without line ends or with an
// unclosed quote cannot claim memory.
const maxRow = 16 << 20

var errLongRow = fmt.Errorf("a row of more than %d MiB: is a quote or a line end missing?", maxRow>>20)

// bounded fails where more than maxRow bytes are read for one row.
type bounded struct {
	r    io.Reader
	used int
	fail error
}

// readError is an error of the file system rather than of the content.
type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }

func (b *bounded) Read(p []byte) (int, error) {
	if b.used > maxRow {
		b.fail = errLongRow
		return 0, b.fail
	}
	n, err := b.r.Read(p)
	b.used += n
	if err != nil && !errors.Is(err, io.EOF) {
		b.fail = &readError{err}
		return n, b.fail
	}
	return n, err
}

// within starts a new count for each row, and puts the reader's own error in the
// place of what a parser made of it.
func (b *bounded) within(next func() (int, []string, error)) func() (int, []string, error) {
	return func() (int, []string, error) {
		b.used = 0
		line, cells, err := next()
		if err != nil && b.fail != nil {
			err = b.fail
		}
		return line, cells, err
	}
}

// list names the first few of many.
func list(words []string) string {
	const most = 8
	shown := make([]string, min(len(words), most))
	for i := range shown {
		shown[i] = fmt.Sprintf("%.40q", words[i])
	}
	text := strings.Join(shown, ", ")
	if more := len(words) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
