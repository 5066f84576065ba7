// Package glue is the GLUE benchmark as it is published: the folder that its files
// are in, how they are read, fetched and checked, and the form of a submission.
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

	"github.com/metatt/metatt/pkg/fileformat"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/textenc"
)

// Folder is a GLUE folder: the source of GLUE's tasks.
type Folder string

// Of is the folder of one task.
func (d Folder) Of(t task.Task) string { return filepath.Join(string(d), layouts[t.Name].folder) }

// File is the file of one split, which may not be there.
func (d Folder) File(t task.Task, s task.Split) (string, error) {
	f, err := fileOf(t, s)
	return d.path(t, f), err
}

func (d Folder) path(t task.Task, f file) string { return filepath.Join(d.Of(t), f.name) }

// Read returns the examples of one split in the order of its file. Bytes that are
// not UTF-8 are replaced by U+FFFD. A file that is not in the task's form is a
// [*fileformat.Error], one that is missing an error that wraps [fs.ErrNotExist].
func (d Folder) Read(t task.Task, s task.Split, note func(string)) ([]task.Example, error) {
	f, err := fileOf(t, s)
	if err != nil {
		return nil, err
	}
	path := d.path(t, f)
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missing(t, path, s)
	}
	if err != nil {
		return nil, fmt.Errorf("%s of %s: %w", s, t.Name, err)
	}
	return parse(t, path, f, content, note)
}

// missing says that a split's file is not there, and what could be read instead.
func missing(t task.Task, path string, s task.Split) error {
	subset, err := fileOf(t, task.TrainSubset)
	if s == task.Train && err == nil {
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
func parse(t task.Task, path string, f file, content []byte, note func(string)) ([]task.Example, error) {
	table := newTable(textenc.DecodeUTF8(content))
	header := colaHeader
	if !f.noHeader {
		if !table.next() {
			return nil, &fileformat.Error{Path: path, Problem: "the file is empty"}
		}
		if table.columns() > maxColumns {
			return nil, &fileformat.Error{Path: path, Line: 1, Problem: fmt.Sprintf("the header has %d columns, want at most %d", table.columns(), maxColumns)}
		}
		header = make([]string, table.columns())
		table.split(header)
	}
	at, err := findColumns(t, header, f)
	if err != nil {
		return nil, &fileformat.Error{Path: path, Line: 1, Problem: err.Error()}
	}

	if len(header) > 1 {
		table.dropEmptyEnd()
	}
	rows := table.rowsLeft()
	if rows > maxShortRows && rows > len(content)/minRow {
		return nil, &fileformat.Error{Path: path, Problem: fmt.Sprintf("%d rows in %d bytes are too short to hold text", rows, len(content))}
	}
	examples := make([]task.Example, 0, rows)
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
			return nil, &fileformat.Error{Path: path, Line: table.line, Problem: fmt.Sprintf("%d columns, want %d", n, len(header))}
		}
		table.split(fields)
		example, err := readExample(t, fields, at, len(examples))
		if err != nil {
			return nil, &fileformat.Error{Path: path, Line: table.line, Problem: err.Error()}
		}
		examples = append(examples, example)
	}
	if len(examples) == 0 {
		return nil, &fileformat.Error{Path: path, Problem: "the file has no examples"}
	}
	if broken > 0 && note != nil {
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

// findColumns finds the columns that an example needs by their names.
func findColumns(t task.Task, header []string, f file) (positions, error) {
	at := positions{id: slices.Index(header, layouts[t.Name].id), pair: -1, label: -1}
	for _, column := range []struct {
		name   string
		wanted bool
		place  *int
	}{
		{t.Columns.Text, true, &at.text},
		{t.Columns.Pair, t.HasPair, &at.pair},
		{t.Columns.Label, !f.hidden, &at.label},
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

// readExample reads one row, the row-th of its file.
func readExample(t task.Task, fields []string, at positions, row int) (task.Example, error) {
	example := task.Example{Text: fields[at.text], Label: task.Unlabelled}
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
			return task.Example{}, fmt.Errorf("score %s is not a number from 0 to 5", quote(fields[at.label]))
		}
		example.Score = score
	case at.label >= 0:
		example.Label = slices.Index(t.Labels, fields[at.label])
		if example.Label < 0 {
			return task.Example{}, fmt.Errorf("label %s is none of %s", quote(fields[at.label]), strings.Join(t.Labels, ", "))
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
