package own

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
)

// records are the rows of a TSV or CSV file, all of one width.
type records struct {
	read  func() (line int, fields []string, err error)
	width int   // 0: the first row decides
	take  []int // the fields that are wanted; nil: all
}

func newRecords(r io.Reader, format Format) *records {
	buffer := bufio.NewReader(r)
	if mark, _ := buffer.Peek(3); string(mark) == "\ufeff" {
		buffer.Discard(3)
	}
	if format == CSV {
		return &records{read: readCSV(buffer)}
	}
	return &records{read: readTSV(buffer)}
}

func (r *records) next() (int, []string, error) {
	line, fields, err := r.read()
	if err != nil {
		return line, nil, err
	}
	if r.width == 0 {
		r.width = len(fields)
	}
	if len(fields) != r.width {
		if isEmpty(fields) {
			if end := r.emptyToTheEnd(); end != nil {
				return line, nil, end
			}
		}
		return line, nil, fmt.Errorf("%d columns, want %d", len(fields), r.width)
	}
	if r.take == nil {
		return line, fields, nil
	}
	cells := make([]string, len(r.take))
	for i, at := range r.take {
		// A copy: the field may share its memory with the whole row.
		cells[i] = strings.Clone(fields[at])
	}
	return line, cells, nil
}

func isEmpty(fields []string) bool { return len(fields) == 1 && fields[0] == "" }

// emptyToTheEnd is io.EOF, or an error of reading on, where no more than empty
// lines follow an empty one: an editor or a join of files left them.
func (r *records) emptyToTheEnd() error {
	for {
		_, fields, err := r.read()
		if err != nil {
			return err
		}
		if !isEmpty(fields) {
			return nil
		}
	}
}

// maxColumns bounds what a row of tabs can claim.
const maxColumns = 1 << 14

// readTSV ends rows at \n, drops one \r before it and knows no quotes.
func readTSV(buffer *bufio.Reader) func() (int, []string, error) {
	line := 0
	return func() (int, []string, error) {
		row, err := readLine(buffer)
		line++
		if err != nil {
			return line, nil, err
		}
		if n := strings.Count(row, "\t") + 1; n > maxColumns {
			return line, nil, fmt.Errorf("%d columns, want at most %d", n, maxColumns)
		}
		return line, strings.Split(row, "\t"), nil
	}
}

// readLine reads a line without its end. A last line may lack the end.
func readLine(buffer *bufio.Reader) (string, error) {
	line, err := buffer.ReadString('\n')
	if err != nil && (!errors.Is(err, io.EOF) || line == "") {
		return "", err
	}
	return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"), nil
}

// readCSV gives the empty lines between rows of one field as rows of an empty
// one, as they are in TSV; encoding/csv skips them, by which a prediction would
// stand on another line than its text. Between rows of several fields, where a
// line end too many leaves them, and at the end they are nothing.
func readCSV(buffer *bufio.Reader) func() (int, []string, error) {
	reader := csv.NewReader(buffer)
	reader.FieldsPerRecord = -1 // records counts them, in the same words for both formats
	reader.ReuseRecord = true
	line := 0         // of what was returned last, where it ends
	var held []string // a row behind empty lines
	return func() (int, []string, error) {
		fields := held
		if held == nil {
			var err error
			var wrong *csv.ParseError
			fields, err = reader.Read()
			if errors.As(err, &wrong) {
				return wrong.StartLine, nil, csvProblem(wrong)
			}
			if err != nil {
				return line + 1, nil, err
			}
		}
		start, _ := reader.FieldPos(0)
		if held = nil; line+1 < start && len(fields) == 1 {
			line++
			held = fields
			return line, []string{""}, nil
		}
		last, _ := reader.FieldPos(len(fields) - 1)
		line = last + strings.Count(fields[len(fields)-1], "\n")
		return start, fields, nil
	}
}

// csvProblem says what a broken quote is in the file's terms.
func csvProblem(wrong *csv.ParseError) error {
	switch {
	case errors.Is(wrong.Err, csv.ErrBareQuote):
		return errors.New(`a quote inside a field that does not begin with one; write the field as "… ""quoted"" …"`)
	case errors.Is(wrong.Err, csv.ErrQuote) && wrong.Line > wrong.StartLine:
		return fmt.Errorf("a quoted field begins here and does not end properly up to line %d; a quote inside is written twice", wrong.Line)
	case errors.Is(wrong.Err, csv.ErrQuote):
		return errors.New(`a quoted field does not end properly; a quote inside is written twice`)
	}
	return wrong.Err
}
