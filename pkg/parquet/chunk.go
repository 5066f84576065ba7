package parquet

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/parquet-go/parquet-go/format"
)

// chunk is a column in a row group, read page by page.
type chunk struct {
	column
	file       *File
	codec      format.CompressionCodec
	at, end    int64    // of what has not been read, in the file
	rows       int64    // that no page has had yet
	dictionary []string // nil: there was none yet
	page
}

// page is the values of a data page that have not been taken.
type page struct {
	left   int                    // nulls among them
	levels []int32                // of these: 0 is a null; nil: there is none
	value  func() (string, error) // the next that is none
}

var errNull = errors.New("null is not a text, number, true or false")

// chunk opens a column of a row group with so many rows.
func (f *File) chunk(c column, described *format.ColumnChunk, rows int64) (*chunk, error) {
	m := &described.MetaData
	from := m.DataPageOffset
	if d := m.DictionaryPageOffset; d > 0 && d < from {
		from = d
	}
	switch {
	case described.FilePath != "":
		return nil, fmt.Errorf("its values are in another file, %.40q", described.FilePath)
	case m.Type != c.kind:
		return nil, fmt.Errorf("it has values of type %v, the schema says %v", m.Type, c.kind)
	case from < int64(len(magic)) || m.TotalCompressedSize < 0 || m.TotalCompressedSize > f.data-from:
		return nil, fmt.Errorf("it has %d bytes at %d, the file has values up to %d", m.TotalCompressedSize, from, f.data)
	case m.NumValues != rows:
		return nil, fmt.Errorf("it has %d values for %d rows", m.NumValues, rows)
	}
	return &chunk{column: c, file: f, codec: m.Codec, at: from, end: from + m.TotalCompressedSize, rows: rows}, checkCodec(m.Codec)
}

// next is the next value as a text.
func (c *chunk) next() (string, error) {
	for c.left == 0 {
		if err := c.turn(); err != nil {
			return "", err
		}
	}
	c.left--
	if c.levels != nil {
		level := c.levels[0]
		if c.levels = c.levels[1:]; level == 0 {
			return "", errNull
		}
	}
	value, err := c.value()
	if err != nil {
		return "", err
	}
	if names := c.file.names[c.name]; names != nil && (c.kind == format.Int32 || c.kind == format.Int64) {
		return class(names, value)
	}
	return value, nil
}

// class is the name of a ClassLabel's class.
func class(names []string, number string) (string, error) {
	i, err := strconv.Atoi(number)
	if err != nil || i < 0 || i >= len(names) {
		return "", fmt.Errorf("class %s is none of the %d that the data set names", number, len(names))
	}
	return names[i], nil
}

// turn reads the next page.
func (c *chunk) turn() error {
	if c.at >= c.end {
		return fmt.Errorf("its pages end before %d of its values", c.rows)
	}
	header, err := c.header()
	if err != nil {
		return err
	}
	body, err := c.body(header)
	if err != nil {
		return err
	}
	switch header.Type {
	case format.DictionaryPage:
		return c.readDictionary(header, body)
	case format.DataPage:
		return c.readPage(header, body)
	case format.DataPageV2:
		return c.readPageV2(header, body)
	case format.IndexPage:
		return nil
	}
	return fmt.Errorf("it has a page of type %d, which does not exist", header.Type)
}

// Headers of pages hold the smallest and the largest value of the page: most have some
// dozen bytes.
const (
	firstHeader   = 4 << 10
	largestHeader = 16 << 20
)

// header reads the header of the next page.
func (c *chunk) header() (format.PageHeader, error) {
	for size := int64(firstHeader); ; size *= 16 {
		buffer, err := c.file.bytes(c.at, min(size, c.end-c.at))
		if err != nil {
			return format.PageHeader{}, err
		}
		n, err := fields(buffer, 0, nil)
		if errors.Is(err, errShort) && size < c.end-c.at && size < largestHeader {
			continue
		}
		if err != nil {
			return format.PageHeader{}, fmt.Errorf("the header of a page cannot be read: %w", err)
		}
		header, err := decode[format.PageHeader](buffer[:n])
		c.at += int64(n)
		return header, err
	}
}

// bytes reads a part of the values.
func (f *File) bytes(at, size int64) ([]byte, error) {
	b := make([]byte, size)
	if _, err := f.reader.ReadAt(b, at); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errShort // the file has become shorter
		}
		return nil, &ReadError{err}
	}
	return b, nil
}
