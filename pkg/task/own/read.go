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

	"github.com/metatt/metatt/pkg/fileformat"
	"github.com/metatt/metatt/pkg/task"
)

// Labels are the different labels of a file: whole numbers by value, then the
// rest by the alphabet.
func Labels(path string, c task.Columns) ([]string, error) {
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
		return nil, &fileformat.Error{Path: path, Problem: fmt.Sprintf("every example has the label %.40q; two are needed to learn from", labels[0])}
	}
	return labels, nil
}

// Read reads the examples of a task made by [Task]. A score is a finite number.
func Read(path string, t task.Task) ([]task.Example, error) {
	class := map[string]int{}
	for i, label := range t.Labels {
		class[label] = i
	}
	if _, err := FormatOf(path); err != nil {
		return nil, err
	}
	paths, err := Files(path)
	if err != nil {
		return nil, err
	}
	most, err := boundsOf(paths)
	if err != nil {
		return nil, err
	}
	examples := make([]task.Example, 0, most.rows)
	err = each(path, append(t.Columns.Texts(), t.Columns.Label), func(row Row) error {
		e := task.Example{ID: strconv.Itoa(len(examples)), Text: row.Cells[0], Label: task.Unlabelled}
		if t.HasPair {
			e.Pair = row.Cells[1]
		}
		if len(examples) == most.rows {
			return fmt.Errorf("%d rows before this one are too short to hold text", most.rows)
		}
		if most.bytes -= len(e.Text) + len(e.Pair); most.bytes < 0 {
			return errors.New("the texts up to this row are hundreds of times as long as the file")
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

// bounds are what the examples of a file can be.
type bounds struct{ rows, bytes int }

// boundsOf bounds the rows of files.
func boundsOf(paths []string) (most bounds, err error) {
	for _, path := range paths {
		one, err := boundsOfFile(path)
		if err != nil {
			return most, err
		}
		most.rows, most.bytes = most.rows+one.rows, most.bytes+one.bytes
	}
	return most, nil
}

// boundsOfFile bounds the rows of a file by its lines and by its size.
func boundsOfFile(path string) (most bounds, err error) {
	file, err := os.Open(path)
	if err != nil {
		return most, err
	}
	defer file.Close()
	if format, _ := FormatOf(path); format == Parquet {
		return parquetBounds(file)
	}
	lines, size := 1, 0 // the last line may lack its end
	buffer := make([]byte, 64<<10)
	for {
		n, err := file.Read(buffer)
		lines += bytes.Count(buffer[:n], []byte{'\n'})
		size += n
		if errors.Is(err, io.EOF) {
			return bounds{min(lines, maxShortRows+size/minRow), size}, nil
		}
		if err != nil {
			return most, err
		}
	}
}

// each calls take with every row of the files that a path names. Each has one or more.
func each(path string, columns []string, take func(Row) error) error {
	paths, err := Files(path)
	if err != nil {
		return err
	}
	for _, path := range paths {
		if err := eachOf(path, columns, take); err != nil {
			return err
		}
	}
	return nil
}

func eachOf(path string, columns []string, take func(Row) error) error {
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
				return &fileformat.Error{Path: path, Problem: "the file has no examples"}
			}
			return nil
		}
		if err != nil {
			return err
		}
		if err := take(row); err != nil {
			return rows.wrong(row.Line, err)
		}
	}
}
