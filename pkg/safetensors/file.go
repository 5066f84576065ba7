package safetensors

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// File is an open safetensors file. Its methods may be called from several
// goroutines at once.
type File struct {
	path string
	f    *os.File
	*header
}

// Open reads and validates the header of a file. The error is a
// [*FormatError], an [*UnsupportedError] or the operating system's.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	stat, err := f.Stat()
	if err == nil && !stat.Mode().IsRegular() {
		err = &FormatError{path, "not a regular file"}
	}
	var h *header
	if err == nil {
		h, err = readHeader(path, f, stat.Size())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &File{path, f, h}, nil
}

// Names lists the tensors in the order in which their bytes lie in the file.
func (f *File) Names() []string {
	names := make([]string, len(f.tensors))
	for i, t := range f.tensors {
		names[i] = t.Name
	}
	return names
}

// Info describes the tensor of that name.
func (f *File) Info(name string) (Info, bool) {
	i, ok := f.index[name]
	if !ok {
		return Info{}, false
	}
	return f.tensors[i], true
}

// Metadata is the free text of the header, nil where there is none.
func (f *File) Metadata() map[string]string { return f.metadata }

// Path is the path the file was opened by.
func (f *File) Path() string { return f.path }

// ReadInto fills dst, which must have exactly the tensor's Size, with its
// little-endian, row-major bytes. A file that has become shorter since Open is
// a [*FormatError].
func (f *File) ReadInto(name string, dst []byte) error {
	t, ok := f.Info(name)
	if !ok {
		return fmt.Errorf("%s: no tensor %q", f.path, name)
	}
	if int64(len(dst)) != t.Size {
		return fmt.Errorf("%s: tensor %q has %d bytes, the destination %d", f.path, name, t.Size, len(dst))
	}
	if _, err := f.f.ReadAt(dst, t.Offset); err != nil {
		return readError(f.path, err)
	}
	return nil
}

// Close releases the file; the infos stay readable.
func (f *File) Close() error { return f.f.Close() }

// readError turns an end of file, which the sizes checked before exclude, into
// what it means.
func readError(path string, err error) error {
	if errors.Is(err, io.EOF) {
		return &FormatError{path, "truncated while it was being read"}
	}
	return err
}
