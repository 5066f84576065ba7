package safetensors

import (
	"fmt"
	"os"
	"strings"
	"unicode"

	"github.com/metatt/metatt/pkg/fileformat"
)

// Tensors are those of one open file. They stay on disk until they are read.
// The methods may be called from several goroutines at once.
type Tensors struct {
	f     *os.File
	infos []Info
	index map[string]int
}

// NewTensors takes over a file of another format whose tensors lie in it as
// safetensors lays them out: each little-endian, row-major, in one piece. Every
// info must lie within the file. Two tensors of one name are a [*fileformat.Error].
func NewTensors(f *os.File, infos []Info) (*Tensors, error) {
	index := make(map[string]int, len(infos))
	for i, info := range infos {
		if _, twice := index[info.Name]; twice {
			return nil, &fileformat.Error{Path: f.Name(), Problem: fmt.Sprintf("tensor %.200q twice", info.Name)}
		}
		index[info.Name] = i
	}
	return &Tensors{f, infos, index}, nil
}

// Names lists the tensors in the order of the file: of their bytes in
// safetensors, of its own table in another format.
func (t *Tensors) Names() []string {
	names := make([]string, len(t.infos))
	for i, info := range t.infos {
		names[i] = info.Name
	}
	return names
}

// Info describes the tensor of that name.
func (t *Tensors) Info(name string) (Info, bool) {
	i, ok := t.index[name]
	if !ok {
		return Info{}, false
	}
	return t.infos[i], true
}

// CheckNames refuses names with control characters, for those who show names: they
// would break every message. The format allows them.
func (t *Tensors) CheckNames() error {
	for _, name := range t.Names() {
		if strings.ContainsFunc(name, unicode.IsControl) {
			return &fileformat.UnsupportedError{Path: t.Path(), Problem: fmt.Sprintf("tensor %.200q: a control character in its name", name)}
		}
	}
	return nil
}

// Path is the path the file was opened by.
func (t *Tensors) Path() string { return t.f.Name() }

// ReadInto fills dst, which must have exactly the tensor's Size, with its
// little-endian, row-major bytes. A file that has become shorter since it was
// opened is a [*fileformat.Error].
func (t *Tensors) ReadInto(name string, dst []byte) error {
	info, ok := t.Info(name)
	if !ok {
		return fmt.Errorf("%s: no tensor %q", t.Path(), name)
	}
	if int64(len(dst)) != info.Size {
		return fmt.Errorf("%s: tensor %q has %d bytes, the destination %d", t.Path(), name, info.Size, len(dst))
	}
	if _, err := t.f.ReadAt(dst, info.Offset); err != nil {
		return readError(t.Path(), err)
	}
	return nil
}

// Close releases the file; the infos stay readable.
func (t *Tensors) Close() error { return t.f.Close() }
