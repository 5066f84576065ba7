package safetensors

import (
	"errors"
	"io"
	"os"

	"github.com/metatt/metatt/pkg/fileformat"
)

// File is an open safetensors file.
type File struct {
	*Tensors
	metadata map[string]string
}

// Open reads and validates the header of a file. The error is a
// [*fileformat.Error], an [*fileformat.UnsupportedError] or the operating system's.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	stat, err := f.Stat()
	if err == nil && !stat.Mode().IsRegular() {
		err = &fileformat.Error{Path: path, Problem: "not a regular file"}
	}
	var h *header
	if err == nil {
		h, err = readHeader(path, f, stat.Size())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &File{&Tensors{f, h.tensors, h.index}, h.metadata}, nil
}

// Metadata is the free text of the header, nil where there is none.
func (f *File) Metadata() map[string]string { return f.metadata }

// readError turns an end of file, which the sizes checked before exclude, into
// what it means.
func readError(path string, err error) error {
	if errors.Is(err, io.EOF) {
		return &fileformat.Error{Path: path, Problem: "truncated while it was being read"}
	}
	return err
}
