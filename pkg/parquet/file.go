// Package parquet reads columns of texts, numbers and booleans from Parquet files, as
// the Hugging Face hub has data sets, row by row: a page of each column at a time.
// Metadata and the less simple encodings are decoded by github.com/parquet-go/parquet-go;
// what it would be told to allocate is looked at before, so that a file that lies is an
// error and no more.
package parquet

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

const magic = "PAR1"

// largestFooter bounds the metadata in bytes; each column of each row group takes some
// hundred.
const largestFooter = 64 << 20

// smallestGroup is a row group in bytes: an empty list and two numbers.
const smallestGroup = 7

// File is an open Parquet file.
type File struct {
	reader  io.ReaderAt
	data    int64 // bytes before the footer
	columns []column
	groups  [][]byte // row groups, not decoded
	rows    int64
	names   map[string][]string // of a ClassLabel's classes, by column
}

// Open reads the metadata of a file of that size.
func Open(r io.ReaderAt, size int64) (file *File, err error) {
	defer recovered(&err)
	footer, err := readFooter(r, size)
	if err != nil {
		return nil, err
	}
	file = &File{reader: r, data: size - int64(len(footer)) - 8}
	if err := file.parse(footer); err != nil {
		return nil, fmt.Errorf("the metadata at the end of the file cannot be read: %w", err)
	}
	return file, nil
}

func readFooter(r io.ReaderAt, size int64) ([]byte, error) {
	var head, tail [8]byte
	if size < 12 {
		return nil, errors.New("too short for a Parquet file")
	}
	if _, err := r.ReadAt(head[:4], 0); err != nil {
		return nil, &ReadError{err}
	}
	if _, err := r.ReadAt(tail[:], size-8); err != nil && !errors.Is(err, io.EOF) {
		return nil, &ReadError{err}
	}
	switch length := int64(binary.LittleEndian.Uint32(tail[:4])); {
	case string(head[:4]) == "PARE" || string(tail[4:]) == "PARE":
		return nil, errors.New("the file is encrypted")
	case string(head[:4]) != magic:
		return nil, fmt.Errorf("not a Parquet file: it begins with %q, not with %s", head[:4], magic)
	case string(tail[4:]) != magic:
		return nil, fmt.Errorf("the file breaks off: it ends with %q, not with %s", tail[4:], magic)
	case length > size-12 || length > largestFooter:
		return nil, fmt.Errorf("metadata of %d bytes in a file of %d", length, size)
	default:
		footer := make([]byte, length)
		if _, err := r.ReadAt(footer, size-8-length); err != nil {
			return nil, &ReadError{err}
		}
		return footer, nil
	}
}

// ReadError is an error of the file system rather than of the content.
type ReadError struct{ Err error }

func (e *ReadError) Error() string { return e.Err.Error() }

// Unwrap is the cause.
func (e *ReadError) Unwrap() error { return e.Err }

// parse takes what is needed from FileMetaData.
func (f *File) parse(footer []byte) error {
	_, err := fields(footer, 0, func(m field) error {
		switch m.id {
		case 2: // schema
			return f.parseSchema(m)
		case 3: // num_rows
			rows, err := m.integer()
			f.rows = max(0, rows)
			return err
		case 4: // row_groups
			return m.structures(func(group []byte) error {
				if len(group) < smallestGroup {
					return errors.New("a row group without columns")
				}
				f.groups = append(f.groups, group)
				return nil
			})
		case 5: // key_value_metadata
			return m.structures(f.parsePair)
		}
		return nil
	})
	return err
}

// parsePair takes the classes of a data set from what the Hugging Face hub's library
// says of its columns. What it does not say, or not so, is not needed.
func (f *File) parsePair(pair []byte) error {
	var key, value string
	_, err := fields(pair, 0, func(m field) (err error) {
		switch m.id {
		case 1:
			key, err = m.text()
		case 2:
			value, err = m.text()
		}
		return err
	})
	if err != nil || key != "huggingface" {
		return err
	}
	var said struct {
		Info struct {
			Features map[string]json.RawMessage `json:"features"`
		} `json:"info"`
	}
	if json.Unmarshal([]byte(value), &said) != nil {
		return nil
	}
	f.names = map[string][]string{}
	for column, text := range said.Info.Features {
		var feature struct {
			Type  string   `json:"_type"`
			Names []string `json:"names"`
		}
		if json.Unmarshal(text, &feature) == nil && feature.Type == "ClassLabel" && len(feature.Names) > 0 {
			f.names[column] = feature.Names
		}
	}
	return nil
}

// NumRows is how many rows the file claims to have.
func (f *File) NumRows() int64 { return f.rows }

// recovered makes an error of a panic in the library.
func recovered(err *error) {
	if problem := recover(); problem != nil {
		*err = fmt.Errorf("cannot be decoded: %v", problem)
	}
}
