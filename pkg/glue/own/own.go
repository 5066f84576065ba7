// Package own reads tasks of the user's own from TSV, CSV and JSON lines: a
// classification with the labels that its training file has, or a regression.
package own

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/metatt/metatt/pkg/glue"
)

// TaskName is the name of the user's own task.
const TaskName = "custom"

// Columns name what an example is made of: columns of a header or keys of JSON
// objects.
type Columns struct {
	Text  string
	Pair  string // empty: one text an example
	Label string
}

// Texts are the columns of the one or two texts.
func (c Columns) Texts() []string {
	if c.Pair == "" {
		return []string{c.Text}
	}
	return []string{c.Text, c.Pair}
}

// Check tells what keeps the columns from being three different ones.
func (c Columns) Check() error {
	all := append(c.Texts(), c.Label)
	for i, column := range all {
		if column == "" {
			return errors.New("a column without a name")
		}
		if slices.Contains(all[:i], column) {
			return fmt.Errorf("column %.40q is named twice; texts and label are different columns", column)
		}
	}
	return nil
}

// Task is a classification with these labels in class order, or without labels
// a regression. It has no splits of GLUE's: [Read] reads its files.
func Task(pair bool, labels []string) (glue.Task, error) {
	t := glue.Task{Name: TaskName, HasPair: pair}
	if len(labels) == 0 {
		t.Regression, t.Metrics, t.Best = true, []string{glue.Pearson, glue.Spearman}, glue.Spearman
		return t, nil
	}
	if err := checkLabels(labels); err != nil {
		return glue.Task{}, err
	}
	t.Labels = slices.Clone(labels)
	t.Metrics, t.Best = []string{glue.Accuracy, glue.MacroF1}, glue.Accuracy
	if len(labels) == 2 {
		// By name, so that another class order changes no metric.
		t.Metrics, t.Positive = []string{glue.Accuracy, glue.F1}, slices.MaxFunc(labels, compareLabels)
	}
	return t, nil
}

// maxLabels is far above any classification; a column of texts has more.
const maxLabels = 1 << 16

func checkLabels(labels []string) error {
	if len(labels) < 2 || len(labels) > maxLabels {
		return fmt.Errorf("%d labels, want 2 to %d", len(labels), maxLabels)
	}
	seen := map[string]bool{}
	for _, label := range labels {
		if err := checkLabel(label); err != nil {
			return err
		}
		if seen[label] {
			return fmt.Errorf("label %.40q is there twice", label)
		}
		seen[label] = true
	}
	return nil
}

// checkLabel holds labels to what every output can show on a line.
func checkLabel(label string) error {
	const longest = 1000
	switch {
	case strings.TrimSpace(label) == "":
		return errors.New("the label is empty")
	case len(label) > longest:
		return fmt.Errorf("label %.40q is longer than %d bytes", label, longest)
	case strings.ContainsFunc(label, unicode.IsControl):
		return fmt.Errorf("label %.40q holds a control character", label)
	}
	return nil
}

// compareLabels orders whole numbers by value and before all else, the rest as
// texts: the order does not depend on the file's.
func compareLabels(a, b string) int {
	x, errX := strconv.ParseInt(a, 10, 64)
	y, errY := strconv.ParseInt(b, 10, 64)
	switch {
	case errX == nil && errY == nil && x != y:
		if x < y {
			return -1
		}
		return 1
	case errX == nil && errY != nil:
		return -1
	case errX != nil && errY == nil:
		return 1
	}
	return strings.Compare(a, b)
}

// Labels are the different labels of a file: whole numbers by value, then the
// rest by the alphabet.
func Labels(path string, c Columns) ([]string, error) {
	seen := map[string]bool{}
	err := each(path, []string{c.Label}, func(row Row) error {
		label := row.Cells[0]
		if seen[label] {
			return nil
		}
		if err := checkLabel(label); err != nil {
			return err
		}
		if len(seen) == maxLabels {
			return fmt.Errorf("column %.40q has more than %d labels: is it the label's, or a regression's score?", c.Label, maxLabels)
		}
		seen[label] = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	labels := make([]string, 0, len(seen))
	for label := range seen {
		labels = append(labels, label)
	}
	slices.SortFunc(labels, compareLabels)
	if len(labels) == 1 {
		return nil, &glue.FormatError{File: path, Message: fmt.Sprintf("every example has the label %.40q; two are needed to learn from", labels[0])}
	}
	return labels, nil
}

// Read reads the examples of a task made by [Task]. A score is a finite number.
func Read(path string, t glue.Task, c Columns) ([]glue.Example, error) {
	class := map[string]int{}
	for i, label := range t.Labels {
		class[label] = i
	}
	if _, err := FormatOf(path); err != nil {
		return nil, err
	}
	most, err := rowsAtMost(path)
	if err != nil {
		return nil, err
	}
	examples := make([]glue.Example, 0, most)
	err = each(path, append(c.Texts(), c.Label), func(row Row) error {
		e := glue.Example{ID: strconv.Itoa(len(examples)), Text: row.Cells[0], Label: glue.Unlabelled}
		if t.HasPair {
			e.Pair = row.Cells[1]
		}
		if len(examples) == most {
			return fmt.Errorf("%d rows before this one are too short to hold text", most)
		}
		gold := row.Cells[len(row.Cells)-1]
		if t.Regression {
			score, err := strconv.ParseFloat(gold, 64)
			if err != nil || !(math.Abs(score) <= math.MaxFloat32) { // training computes in fp32
				return fmt.Errorf("score %.40q is not a finite number", gold)
			}
			e.Score = score
		} else {
			var known bool
			if e.Label, known = class[gold]; !known {
				return fmt.Errorf("label %.40q is none of %s", gold, list(t.Labels))
			}
		}
		examples = append(examples, e)
		return nil
	})
	return examples, err
}

// An example takes several times the memory of a short row. Many rows must have
// minRow bytes on average, line end included, so that a file of line ends claims
// nothing.
const (
	maxShortRows = 8192
	minRow       = 6
)

// rowsAtMost bounds the rows of a file by its lines and by its size.
func rowsAtMost(path string) (int, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	lines, size := 1, 0 // the last line may lack its end
	buffer := make([]byte, 64<<10)
	for {
		n, err := file.Read(buffer)
		lines += bytes.Count(buffer[:n], []byte{'\n'})
		size += n
		if errors.Is(err, io.EOF) {
			return min(lines, maxShortRows+size/minRow), nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// each calls take with every row of a file, which has one or more.
func each(path string, columns []string, take func(Row) error) error {
	format, err := FormatOf(path)
	if err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	rows, err := ReadRows(file, path, format, columns)
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			if n == 0 {
				return &glue.FormatError{File: path, Message: "the file has no examples"}
			}
			return nil
		}
		if err != nil {
			return err
		}
		if err := take(row); err != nil {
			return &glue.FormatError{File: path, Line: row.Line, Message: err.Error()}
		}
	}
}
