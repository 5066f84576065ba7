package predict

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"

	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/task/own"
	"github.com/metatt/metatt/pkg/train"
)

// Input is rows of texts to predict on.
type Input struct {
	Reader   io.Reader
	Name     string // for errors: the file's
	Format   own.Format
	Columns  []string // of the one or two texts; nil: as in the files that the adapter learned from
	NoHeader bool     // of TSV and CSV: the rows are the texts and nothing else
}

// Examples walks over an input, in memory a row at a time; nothing is read before.
// The first error is the last thing it yields.
func (p *Predictor) Examples(in Input) (iter.Seq2[task.Example, error], error) {
	want := p.model.Task.Columns.Texts()
	columns := in.Columns
	if columns == nil {
		columns = want
	}
	if len(columns) != len(want) {
		return nil, fmt.Errorf("%s has %d texts an example, %d columns are named", p.model.Task.Name, len(want), len(columns))
	}
	return func(yield func(task.Example, error) bool) {
		rows, err := in.open(columns)
		for n := 0; ; n++ {
			var row own.Row
			if err == nil {
				row, err = rows.Next()
			}
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(task.Example{}, err)
				return
			}
			e := task.Example{ID: strconv.Itoa(n), Text: row.Cells[0], Label: task.Unlabelled}
			if p.model.Task.HasPair {
				e.Pair = row.Cells[1]
			}
			if !yield(e, nil) {
				return
			}
		}
	}, nil
}

func (in Input) open(columns []string) (*own.Rows, error) {
	if in.NoHeader && in.Format != own.JSONL && in.Format != own.Parquet {
		return own.ReadBareRows(in.Reader, in.Name, in.Format, len(columns)), nil
	}
	return own.ReadRows(in.Reader, in.Name, in.Format, columns)
}

// Examples are predicted in portions of the same rows whatever the reader's
// pace, so that equal input gives equal output; both bounds keep memory flat.
const (
	portionRows  = 1024
	portionBytes = 8 << 20
)

// Stream predicts examples as they come and hands each prediction over in order,
// until one of them fails. When ctx ends, the error is [train.ErrInterrupted]; an
// example that is then being waited for is waited for in the background.
func (p *Predictor) Stream(ctx context.Context, examples iter.Seq2[task.Example, error], take func(Prediction) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	portions := make(chan portion)
	short, seen := 0, 0
	defer func() { p.noteCut(short, seen) }()
	go cut(ctx, examples, portions)
	for {
		select {
		case <-ctx.Done():
			return train.ErrInterrupted
		case next, more := <-portions:
			if !more {
				return nil
			}
			predictions, n, err := p.predict(ctx, next.examples)
			if err != nil {
				return err
			}
			short, seen = short+n, seen+len(next.examples)
			for _, prediction := range predictions {
				if err := take(prediction); err != nil {
					return err
				}
			}
			if next.err != nil {
				return next.err
			}
		}
	}
}

// portion is examples to compute together; err is what came after them.
type portion struct {
	examples []task.Example
	err      error
}

// cut cuts examples into portions until they or ctx end.
func cut(ctx context.Context, examples iter.Seq2[task.Example, error], portions chan<- portion) {
	defer close(portions)
	var next portion
	bytes := 0
	send := func() bool {
		select {
		case portions <- next:
			next, bytes = portion{}, 0
			return true
		case <-ctx.Done():
			return false
		}
	}
	for e, err := range examples {
		if err != nil {
			next.err = err
			break
		}
		next.examples = append(next.examples, e)
		bytes += len(e.Text) + len(e.Pair)
		if (len(next.examples) == portionRows || bytes >= portionBytes) && !send() {
			return
		}
	}
	if len(next.examples) > 0 || next.err != nil {
		send()
	}
}
