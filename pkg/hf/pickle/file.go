// Package pickle reads the tensors of pytorch_model.bin: a zip archive of a
// pickle program and of the storages that it refers to. The program is run by
// a machine that knows tensors and containers and nothing else; it cannot call
// anything, whatever the file names. Errors and infos are those of
// [safetensors], so that a caller need not know which format it reads.
package pickle

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"github.com/metatt/metatt/pkg/fileformat"
	"github.com/metatt/metatt/pkg/safetensors"
)

// maxProgram bounds the pickle itself, which names tensors and holds none.
const maxProgram = 64 << 20

// Open runs the program of a file and checks every tensor against its storage.
// The error is a [*fileformat.Error], a [*fileformat.UnsupportedError]
// (other objects than tensors among them) or the operating system's.
func Open(path string) (*safetensors.Tensors, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	stat, err := f.Stat()
	var infos []safetensors.Info
	if err == nil {
		infos, err = reader{path}.read(f, stat.Size())
	}
	var tensors *safetensors.Tensors
	if err == nil {
		tensors, err = safetensors.NewTensors(f, infos)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return tensors, nil
}

// reader puts a file's path in front of what is wrong with it.
type reader struct{ path string }

func (f reader) corrupt(format string, args ...any) error {
	return &fileformat.Error{Path: f.path, Problem: fmt.Sprintf(format, args...)}
}

func (f reader) unsupported(format string, args ...any) error {
	return &fileformat.UnsupportedError{Path: f.path, Problem: fmt.Sprintf(format, args...)}
}

// read returns the tensors in the order of the dict.
func (f reader) read(r io.ReaderAt, size int64) ([]safetensors.Info, error) {
	archive, err := zip.NewReader(r, size)
	if err != nil {
		var head [2]byte
		if _, err := r.ReadAt(head[:], 0); err == nil && head[0] == 0x80 {
			return nil, f.unsupported("in the form of PyTorch before 1.6; load it with PyTorch and save it again")
		}
		return nil, f.corrupt("%v", err)
	}
	members, root, err := f.members(archive, size)
	if err != nil {
		return nil, err
	}
	if order, ok := members[root+"byteorder"]; ok {
		text, err := f.content(r, order, 16)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(text, []byte("little")) {
			return nil, f.unsupported("byte order %q", text)
		}
	}
	program, err := f.content(r, members[root+"data.pkl"], maxProgram)
	if err != nil {
		return nil, err
	}
	value, err := newMachine(program, 8*size+512<<10).run()
	if other := unsupported(""); errors.As(err, &other) {
		return nil, f.unsupported("%s", string(other))
	}
	if err != nil {
		return nil, f.corrupt("%v", err)
	}
	state, ok := value.(*dict)
	if !ok {
		return nil, f.unsupported("holds %T, want a dict of tensors", value)
	}
	return f.collect(state, members, root)
}

// extent is where a member's bytes lie in the archive.
type extent struct{ offset, size int64 }

// members finds the archive's files and the folder of its one data.pkl.
// PyTorch stores them uncompressed, so nothing here can inflate.
func (f reader) members(archive *zip.Reader, size int64) (members map[string]extent, root string, err error) {
	members = make(map[string]extent, len(archive.File))
	programs := 0
	for _, member := range archive.File {
		offset, err := member.DataOffset()
		if err != nil {
			return nil, "", f.corrupt("%.200q: %v", member.Name, err)
		}
		stored := int64(member.UncompressedSize64)
		switch {
		case member.Method != zip.Store:
			return nil, "", f.unsupported("%.200q is compressed", member.Name)
		case member.CompressedSize64 != member.UncompressedSize64 || stored < 0 || stored > size-offset:
			return nil, "", f.corrupt("%.200q: truncated", member.Name)
		}
		if _, twice := members[member.Name]; twice {
			return nil, "", f.corrupt("%.200q twice", member.Name)
		}
		members[member.Name] = extent{offset, stored}
		if folder, isProgram := strings.CutSuffix(member.Name, "/data.pkl"); isProgram {
			root = folder + "/"
			programs++
		}
	}
	if programs != 1 {
		return nil, "", f.corrupt("%d data.pkl in the archive, want 1", programs)
	}
	return members, root, nil
}

func (f reader) content(r io.ReaderAt, e extent, limit int64) ([]byte, error) {
	if e.size > limit {
		return nil, f.unsupported("member of %d bytes, the limit is %d", e.size, limit)
	}
	b := make([]byte, e.size)
	if _, err := r.ReadAt(b, e.offset); err != nil {
		return nil, f.readError(err)
	}
	return b, nil
}

// collect takes the tensors of the dict; entries of other kinds, a training
// step for one, are none of a model's.
func (f reader) collect(state *dict, members map[string]extent, root string) ([]safetensors.Info, error) {
	var infos []safetensors.Info
	for i, key := range state.keys {
		t, isTensor := state.values[i].(*tensor)
		name, isText := key.(string)
		if !isTensor {
			continue
		}
		if !isText {
			return nil, f.unsupported("a tensor under a key that is no text: %v", key)
		}
		storage, ok := members[root+"data/"+t.storage]
		if !ok {
			return nil, f.corrupt("tensor %.200q: no storage %.100q", name, t.storage)
		}
		info, err := f.place(name, t, storage)
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	if len(infos) == 0 {
		return nil, f.unsupported("no tensors at the top level")
	}
	return infos, nil
}

// place checks that a tensor lies within its storage, one row after the other.
func (f reader) place(name string, t *tensor, storage extent) (safetensors.Info, error) {
	bytes, elements := int64(t.dtype.Size()), int64(1)
	for i := len(t.shape) - 1; i >= 0; i-- {
		if t.shape[i] > 1 && t.strides[i] != elements {
			return safetensors.Info{}, f.unsupported("tensor %.200q: shape %v with strides %v is not row-major", name, t.shape, t.strides)
		}
		if t.shape[i] > 0 && elements > math.MaxInt64/bytes/t.shape[i] {
			return safetensors.Info{}, f.corrupt("tensor %.200q: shape %v overflows", name, t.shape)
		}
		elements *= t.shape[i]
	}
	have := storage.size / bytes
	if have != t.storageElements {
		return safetensors.Info{}, f.corrupt("tensor %.200q: storage of %d elements, want %d", name, have, t.storageElements)
	}
	if t.offset > have || elements > have-t.offset {
		return safetensors.Info{}, f.corrupt("tensor %.200q: %d elements from %d of a storage of %d", name, elements, t.offset, have)
	}
	return safetensors.Info{
		Name: name, DType: t.dtype, Shape: t.shape,
		Offset: storage.offset + t.offset*bytes, Size: elements * bytes,
	}, nil
}

func (f reader) readError(err error) error {
	if errors.Is(err, io.EOF) {
		return f.corrupt("truncated while it was being read")
	}
	return err
}
