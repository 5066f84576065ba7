package parquet

import (
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go/format"
)

// Rows walks over a file.
type Rows struct {
	file    *File
	columns []column
	chunks  []*chunk // of the columns in the row group
	group   int      // that is next
	left    int64    // rows of the row group
	row     int64    // that was read last, from 1
}

// Rows walks over the named columns.
func (f *File) Rows(names ...string) (*Rows, error) {
	r := &Rows{file: f}
	for _, name := range names {
		c, err := f.find(name)
		if err != nil {
			return nil, err
		}
		r.columns = append(r.columns, c)
	}
	return r, nil
}

// Next is the cells of the next row as texts, or io.EOF: numbers and booleans as JSON
// has them, classes of a ClassLabel by their names. Of an error, Row says where it is.
func (r *Rows) Next() (cells []string, err error) {
	defer recovered(&err)
	r.row++
	for r.left == 0 {
		if r.group == len(r.file.groups) {
			if left := r.file.rows - r.row + 1; left != 0 {
				return nil, fmt.Errorf("the file ends here, with %d rows to come by its metadata", left)
			}
			return nil, io.EOF
		}
		if err := r.open(r.file.groups[r.group]); err != nil {
			return nil, fmt.Errorf("row group %d: %w", r.group+1, err)
		}
		r.group++
	}
	r.left--
	cells = make([]string, len(r.chunks))
	for i, c := range r.chunks {
		if cells[i], err = c.next(); err != nil {
			return nil, fmt.Errorf("%.40q: %w", c.name, err)
		}
	}
	return cells, nil
}

// Row is the number of the row that was read last, or was to be, from 1.
func (r *Rows) Row() int { return int(r.row) }

// open takes up a row group.
func (r *Rows) open(group []byte) error {
	var columns field
	r.left = -1 // it has to be said
	_, err := fields(group, 0, func(m field) (err error) {
		switch m.id {
		case 1:
			columns = m
		case 3:
			r.left, err = m.integer()
		}
		return err
	})
	if err != nil {
		return err
	}
	if r.left < 0 || r.left > r.file.rows-r.row+1 {
		return fmt.Errorf("it has %d rows; the file has %d, and comes to row %d here", r.left, r.file.rows, r.row)
	}
	if r.left == 0 {
		return nil // where its columns are means nothing
	}
	metadata := make([]*format.ColumnChunk, len(r.columns))
	place := 0
	err = columns.structures(func(element []byte) error {
		for i, c := range r.columns {
			if c.place == place {
				m, err := decode[format.ColumnChunk](element)
				if err != nil {
					return err
				}
				metadata[i] = &m
			}
		}
		place++
		return nil
	})
	if err != nil {
		return err
	}
	r.chunks = r.chunks[:0]
	for i, c := range r.columns {
		if metadata[i] == nil {
			return fmt.Errorf("the column %.40q is missing", c.name)
		}
		opened, err := r.file.chunk(c, metadata[i], r.left)
		if err != nil {
			return fmt.Errorf("%.40q: %w", c.name, err)
		}
		r.chunks = append(r.chunks, opened)
	}
	return nil
}
