package own

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/metatt/metatt/pkg/fileformat"
	"github.com/metatt/metatt/pkg/parquet"
)

// seekable is what a Parquet file can be read from.
type seekable interface {
	io.ReaderAt
	io.Seeker
}

func readParquet(r io.Reader, file string, columns []string) (*Rows, error) {
	opened, err := openParquet(r, file)
	if err != nil {
		return nil, err
	}
	walk, err := opened.Rows(columns...)
	if err != nil {
		return nil, &fileformat.Error{Path: file, Problem: err.Error()}
	}
	return &Rows{file, Parquet, func() (int, []string, error) {
		cells, err := walk.Next()
		if outside := (*parquet.ReadError)(nil); errors.As(err, &outside) {
			err = &readError{outside.Err}
		}
		for _, cell := range cells {
			if len(cell) > maxRow {
				err = errLongRow
			}
		}
		return walk.Row(), cells, err
	}}, nil
}

func openParquet(r io.Reader, file string) (*parquet.File, error) {
	whole, ok := r.(seekable)
	if !ok {
		return nil, fmt.Errorf("%s: a Parquet file cannot be read as a stream: its index is at the end; name the file", file)
	}
	size, err := whole.Seek(0, io.SeekEnd)
	if err != nil { // of a pipe
		return nil, fmt.Errorf("%s: a Parquet file cannot be read as a stream: its index is at the end; name the file", file)
	}
	opened, err := parquet.Open(whole, size)
	if outside := (*parquet.ReadError)(nil); errors.As(err, &outside) {
		return nil, fmt.Errorf("%s: %w", file, outside.Err)
	}
	if err != nil {
		return nil, &fileformat.Error{Path: file, Problem: err.Error()}
	}
	if rows := opened.NumRows(); rows > maxShortRows+mostParquetRows*size {
		return nil, &fileformat.Error{Path: file, Problem: fmt.Sprintf("%d rows in a file of %d bytes: too short to hold text", rows, size)}
	}
	return opened, nil
}

// A Parquet file is compressed, but a row that takes less than a bit of it is no text,
// and texts are not hundreds of times as long as the file.
const (
	mostParquetRows = 8        // a byte
	longestParquet  = 256      // bytes of text a byte
	shortParquet    = 64 << 20 // bytes of text that any file may hold
)

func parquetBounds(file *os.File) (most bounds, err error) {
	opened, err := openParquet(file, file.Name())
	if err != nil {
		return most, err
	}
	info, err := file.Stat()
	if err != nil {
		return most, err
	}
	return bounds{int(opened.NumRows()), int(shortParquet + longestParquet*info.Size())}, nil
}
