package glue

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/metatt/metatt/pkg/textenc"
)

// Unlabelled is the Label of an example whose file hides it, and of every
// example of a regression.
const Unlabelled = -1

// Example is one row of a task.
type Example struct {
	ID    string  // the index that a submission to GLUE names; the row's number from 0 where the file has none
	Text  string  // the sentence, or the first of two
	Pair  string  // the second text; empty where the task has one
	Label int     // an index into Task.Labels, or Unlabelled
	Score float64 // the gold score of a regression, NaN where it is hidden; 0 in other tasks
}

// FormatError is a GLUE file that is not in its task's form.
type FormatError struct {
	File    string
	Line    int // from 1; 0 where the file as a whole is meant
	Message string
}

func (e *FormatError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.Message)
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Message)
}

// Read returns the examples of one split in the order of its file below the
// GLUE folder dir. Bytes that are not UTF-8 are replaced by U+FFFD. A file that
// is not in the task's form is a *FormatError, one that is missing an error that
// wraps fs.ErrNotExist. The sample task is generated where dir is empty.
func (t Task) Read(dir string, s Split) ([]Example, error) {
	return t.ReadNoting(dir, s, func(string) {})
}

// ReadNoting is [Task.Read] that tells note which rows of the file it left out.
func (t Task) ReadNoting(dir string, s Split, note func(string)) ([]Example, error) {
	f, err := t.file(s)
	if err != nil {
		return nil, err
	}
	if t.Name == SampleName && dir == "" {
		return t.relabel(generateSample(s), sampleLabels), nil
	}
	path := filepath.Join(dir, t.Folder, f.name)
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, t.missing(path, s)
	}
	if err != nil {
		return nil, fmt.Errorf("%s of %s: %w", s, t.Name, err)
	}
	return t.parse(path, f, content, note)
}

// missing says that a split's file is not there, and what could be read instead.
func (t Task) missing(path string, s Split) error {
	subset, err := t.file(TrainSubset)
	if s == Train && err == nil {
		instead := filepath.Join(filepath.Dir(path), subset.name)
		if _, err := os.Stat(instead); err == nil {
			return fmt.Errorf("%s: %w; %s is not the official training file, set data.train_subset=true to train on it",
				path, fs.ErrNotExist, instead)
		}
	}
	return fmt.Errorf("%s: %w; the %s file of %s should be there", path, fs.ErrNotExist, s, t.Name)
}

// colaHeader names the columns of CoLA's files that have no header: source,
// label, the source's own judgement, sentence.
var colaHeader = []string{"source", "label", "judgement", "sentence"}

// positions are the places of an example's fields in a row; -1 is none.
type positions struct{ id, text, pair, label int }

// parse reads a whole file; path serves its errors.
func (t Task) parse(path string, f file, content []byte, note func(string)) ([]Example, error) {
	table := newTable(textenc.DecodeUTF8(content))
	header := colaHeader
	if !f.noHeader {
		if !table.next() {
			return nil, &FormatError{File: path, Message: "the file is empty"}
		}
		if table.columns() > maxColumns {
			return nil, &FormatError{File: path, Line: 1, Message: fmt.Sprintf("the header has %d columns, want at most %d", table.columns(), maxColumns)}
		}
		header = make([]string, table.columns())
		table.split(header)
	}
	at, err := t.positions(header, f)
	if err != nil {
		return nil, &FormatError{File: path, Line: 1, Message: err.Error()}
	}

	if len(header) > 1 {
		table.dropEmptyEnd()
	}
	rows := table.rowsLeft()
	if rows > maxShortRows && rows > len(content)/minRow {
		return nil, &FormatError{File: path, Message: fmt.Sprintf("%d rows in %d bytes are too short to hold text", rows, len(content))}
	}
	examples := make([]Example, 0, rows)
	fields := make([]string, len(header))
	broken, firstBroken := 0, 0
	for table.next() {
		if n := table.columns(); n != len(header) {
			if f.broken && broken < maxBroken {
				if broken++; broken == 1 {
					firstBroken = table.line
				}
				continue
			}
			return nil, &FormatError{File: path, Line: table.line, Message: fmt.Sprintf("%d columns, want %d", n, len(header))}
		}
		table.split(fields)
		example, err := t.example(fields, at, len(examples))
		if err != nil {
			return nil, &FormatError{File: path, Line: table.line, Message: err.Error()}
		}
		examples = append(examples, example)
	}
	if len(examples) == 0 {
		return nil, &FormatError{File: path, Message: "the file has no examples"}
	}
	if broken > 0 {
		note(fmt.Sprintf("%s: rows that do not have %d columns are left out: %d, the first in line %d", path, len(header), broken, firstBroken))
	}
	return examples, nil
}

// An example takes several times the memory of a short row. Many rows must have minRow bytes on average, line end
// included, so that a file of line ends claims nothing.
const (
	maxShortRows = 8192
	minRow       = 6
)

// maxColumns bounds a header; the widest of GLUE, MNLI's dev files, has 16.
const maxColumns = 64

// maxBroken bounds the rows of QQP's train file that may be left out: it holds
// about two dozen pieces of questions with line breaks, a damaged file more.
const maxBroken = 64

// positions finds the columns that an example needs by their names.
func (t Task) positions(header []string, f file) (positions, error) {
	at := positions{id: slices.Index(header, t.columns.id), pair: -1, label: -1}
	for _, column := range []struct {
		name   string
		wanted bool
		place  *int
	}{
		{t.columns.text, true, &at.text},
		{t.columns.pair, t.HasPair, &at.pair},
		{t.columns.label, !f.hidden, &at.label},
	} {
		if !column.wanted {
			continue
		}
		if *column.place = slices.Index(header, column.name); *column.place < 0 {
			return at, fmt.Errorf("no column %q in the header; %s of %s has it", column.name, f.name, t.Name)
		}
	}
	return at, nil
}

// example reads one row, the row-th of its file.
func (t Task) example(fields []string, at positions, row int) (Example, error) {
	example := Example{Text: fields[at.text], Label: Unlabelled}
	if at.id >= 0 {
		example.ID = fields[at.id]
	} else {
		example.ID = strconv.Itoa(row)
	}
	if at.pair >= 0 {
		example.Pair = fields[at.pair]
	}
	switch {
	case t.Regression && at.label < 0:
		example.Score = math.NaN()
	case t.Regression:
		score, err := strconv.ParseFloat(fields[at.label], 64)
		if err != nil || !(score >= 0 && score <= 5) {
			return Example{}, fmt.Errorf("score %s is not a number from 0 to 5", quote(fields[at.label]))
		}
		example.Score = score
	case at.label >= 0:
		example.Label = slices.Index(t.Labels, fields[at.label])
		if example.Label < 0 {
			return Example{}, fmt.Errorf("label %s is none of %s", quote(fields[at.label]), strings.Join(t.Labels, ", "))
		}
	}
	return example, nil
}

// quote quotes what a file holds for a message of one readable line.
func quote(s string) string {
	const most = 40
	if runes := []rune(s); len(runes) > most {
		s = string(runes[:most]) + "…"
	}
	return strconv.Quote(s)
}
