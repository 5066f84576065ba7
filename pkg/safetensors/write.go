package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"unicode/utf8"

	"github.com/google/renameio/v2"
)

// Tensor is one tensor to be written; Data holds its row-major, little-endian
// bytes.
type Tensor struct {
	Name  string
	DType DType
	Shape []int64
	Data  []byte
}

// Write stores the tensors at path, replacing what is there only when every
// byte is on disk; on failure nothing is left behind. The same input gives the
// same bytes: tensors are laid out as by the reference writer (dtypes with the
// largest elements first, then by name), the header padded to eight bytes.
func Write(path string, tensors []Tensor, metadata map[string]string) error {
	if err := check(tensors, metadata); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	err := replace(path, func(w io.Writer) error { return writeTo(w, tensors, metadata) })
	// The operating system names the temporary file, which is gone by now.
	if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) {
		return &fs.PathError{Op: "write", Path: path, Err: pathErr.Err}
	}
	return err
}

func replace(path string, write func(io.Writer) error) error {
	f, err := renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)), renameio.WithPermissions(0o644))
	if err != nil {
		return err
	}
	defer f.Cleanup()
	if err := write(f); err != nil {
		return err
	}
	return f.CloseAtomicallyReplace()
}

func writeTo(w io.Writer, tensors []Tensor, metadata map[string]string) error {
	tensors = slices.SortedFunc(slices.Values(tensors), func(a, b Tensor) int {
		return cmp.Or(cmp.Compare(dtypes[b.DType].rank, dtypes[a.DType].rank), cmp.Compare(a.Name, b.Name))
	})
	header, err := encodeHeader(tensors, metadata)
	if err != nil {
		return err
	}
	if _, err := w.Write(header); err != nil {
		return err
	}
	for _, t := range tensors {
		if _, err := w.Write(t.Data); err != nil {
			return err
		}
	}
	return nil
}

func check(tensors []Tensor, metadata map[string]string) error {
	for key, value := range metadata {
		if !utf8.ValidString(key) || !utf8.ValidString(value) {
			return fmt.Errorf("metadata %q: not UTF-8", key)
		}
	}
	seen := make(map[string]bool, len(tensors))
	for _, t := range tensors {
		size, ok := byteSize(t.DType, t.Shape)
		switch {
		case t.Name == metadataKey:
			return fmt.Errorf("tensor %q: the name is reserved", t.Name)
		case !utf8.ValidString(t.Name):
			return fmt.Errorf("tensor %q: the name is not UTF-8", t.Name)
		case seen[t.Name]:
			return fmt.Errorf("tensor %q twice", t.Name)
		case t.DType.Size() == 0:
			return fmt.Errorf("tensor %q: unknown dtype %q", t.Name, t.DType)
		case len(t.Shape) > maxRank:
			return fmt.Errorf("tensor %q: %d dimensions, the limit is %d", t.Name, len(t.Shape), maxRank)
		case !ok || size != int64(len(t.Data)):
			return fmt.Errorf("tensor %q: %s does not fit its %d bytes", t.Name, shapeText(t.DType, t.Shape), len(t.Data))
		}
		seen[t.Name] = true
	}
	return nil
}

// encodeHeader returns what precedes the tensors' bytes: length, JSON, padding.
func encodeHeader(tensors []Tensor, metadata map[string]string) ([]byte, error) {
	var b bytes.Buffer
	b.Write(make([]byte, 8))
	// An Encoder, unlike Marshal, can leave <, > and & as they are. The line
	// feed it ends with is cut off.
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	separator := byte('{')
	member := func(key string, value any) error {
		b.WriteByte(separator)
		separator = ','
		if err := enc.Encode(key); err != nil {
			return err
		}
		b.Bytes()[b.Len()-1] = ':'
		err := enc.Encode(value)
		b.Truncate(b.Len() - 1)
		return err
	}
	if len(metadata) > 0 {
		if err := member(metadataKey, metadata); err != nil {
			return nil, err
		}
	}
	var offset int64
	for _, t := range tensors {
		end := offset + int64(len(t.Data))
		err := member(t.Name, struct {
			DType   DType    `json:"dtype"`
			Shape   []int64  `json:"shape"`
			Offsets [2]int64 `json:"data_offsets"`
		}{t.DType, append([]int64{}, t.Shape...), [2]int64{offset, end}}) // a nil shape would be null
		if err != nil {
			return nil, err
		}
		offset = end
	}
	if separator == '{' {
		b.WriteByte('{')
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	length := b.Len() - 8
	if length > maxHeader {
		return nil, fmt.Errorf("header of %d bytes, the limit is %d", length, maxHeader)
	}
	binary.LittleEndian.PutUint64(b.Bytes(), uint64(length))
	return b.Bytes(), nil
}
