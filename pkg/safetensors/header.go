package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/metatt/metatt/pkg/fileformat"
)

const (
	metadataKey = "__metadata__"

	// maxHeader is the reference implementation's limit.
	maxHeader = 100_000_000

	// maxRank is what PyTorch and NumPy take; without a limit "[0,0,0,…" would
	// cost four bytes of memory for one of file.
	maxRank = 64
)

// header is a validated header: tensors in file order, offsets absolute.
type header struct {
	tensors  []Info
	index    map[string]int
	metadata map[string]string
}

// readHeader validates everything that a header claims against the file's
// size. Nothing is allocated before its size is known to be in proportion to
// the file.
func readHeader(path string, r io.ReaderAt, size int64) (*header, error) {
	corrupt := func(format string, args ...any) error {
		return &fileformat.Error{Path: path, Problem: fmt.Sprintf(format, args...)}
	}
	var prefix [8]byte
	if size < int64(len(prefix)) {
		return nil, corrupt("truncated: %d bytes, the header's length alone takes 8", size)
	}
	if _, err := r.ReadAt(prefix[:], 0); err != nil {
		return nil, readError(path, err)
	}
	if string(prefix[:]) == "version " {
		return nil, corrupt("a Git LFS pointer, not the weights themselves")
	}
	length := binary.LittleEndian.Uint64(prefix[:])
	if length > uint64(size)-8 {
		return nil, corrupt("truncated, or not safetensors: a header of %d bytes in a file of %d", length, size)
	}
	if length > maxHeader {
		return nil, corrupt("header of %d bytes, the limit is %d", length, maxHeader)
	}
	text := make([]byte, length)
	if _, err := r.ReadAt(text, 8); err != nil {
		return nil, readError(path, err)
	}
	if len(text) == 0 || text[0] != '{' {
		return nil, corrupt("not safetensors: the header does not start with '{'")
	}
	h := &header{}
	if err := h.parse(text); err != nil {
		if problem, ok := err.(unsupported); ok {
			return nil, &fileformat.UnsupportedError{Path: path, Problem: string(problem)}
		}
		return nil, corrupt("%v", err)
	}
	if err := h.layOut(8+int64(length), size); err != nil {
		return nil, corrupt("%v", err)
	}
	return h, nil
}

// unsupported is a problem that makes an [fileformat.UnsupportedError].
type unsupported string

func (u unsupported) Error() string { return string(u) }

func (h *header) parse(text []byte) error {
	// Grown step by step, a slice costs five times its final size in all.
	h.tensors = make([]Info, 0, bytes.Count(text, []byte(`"data_offsets"`)))
	s := &scanner{b: text}
	err := s.object(func(key string) error {
		if key == metadataKey {
			return h.parseMetadata(s)
		}
		return h.parseTensor(s, key)
	})
	if err != nil {
		return err
	}
	if s.space(); s.pos < len(text) {
		return s.errSyntax("nothing but padding")
	}
	return nil
}

func (h *header) parseMetadata(s *scanner) error {
	if h.metadata != nil {
		return fmt.Errorf("header: key %q twice", metadataKey)
	}
	// Grown step by step, a map costs twice its final size. No entry but a few is shorter than eight bytes.
	rest := s.b[s.pos:]
	h.metadata = make(map[string]string, min(bytes.Count(rest, []byte(`":"`)), len(rest)/8))
	return s.object(func(key string) error {
		value, err := s.string()
		if err != nil {
			return err
		}
		if _, twice := h.metadata[key]; twice {
			return fmt.Errorf("%s: key %.200q twice", metadataKey, key)
		}
		h.metadata[key] = value
		return nil
	})
}

func (h *header) parseTensor(s *scanner, name string) error {
	t := Info{Name: name}
	var shape [maxRank]int64
	var offsets [2]int64
	rank, bounds := -1, -1
	err := s.object(func(key string) (err error) {
		twice := false
		switch key {
		case "dtype":
			var text string
			twice = t.DType != ""
			text, err = s.string()
			t.DType = DType(text)
		case "shape":
			twice = rank >= 0
			rank, err = s.ints(shape[:])
		case "data_offsets":
			twice = bounds >= 0
			bounds, err = s.ints(offsets[:])
		default: // it may change what the bytes mean
			return unsupported(fmt.Sprintf("tensor %.200q: key %.200q", name, key))
		}
		if err == nil && twice {
			return fmt.Errorf("tensor %.200q: key %q twice", name, key)
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case t.DType == "" || rank < 0 || bounds != 2:
		return fmt.Errorf(`tensor %.200q: needs "dtype", "shape" and two "data_offsets"`, name)
	case rank > maxRank:
		return unsupported(fmt.Sprintf("tensor %.200q: %d dimensions, the limit is %d", name, rank, maxRank))
	case t.DType.Size() == 0:
		return unsupported(fmt.Sprintf("tensor %.200q: dtype %.40q", name, t.DType))
	case offsets[1] < offsets[0]:
		return fmt.Errorf("tensor %.200q: data_offsets %v run backwards", name, offsets)
	}
	t.Shape = slices.Clone(shape[:rank])
	t.Offset, t.Size = offsets[0], offsets[1]-offsets[0]
	if size, ok := byteSize(t.DType, t.Shape); !ok {
		return fmt.Errorf("tensor %.200q: %s overflows", name, shapeText(t.DType, t.Shape))
	} else if size != t.Size {
		return fmt.Errorf("tensor %.200q: %s takes %d bytes, data_offsets %v give %d",
			name, shapeText(t.DType, t.Shape), size, offsets, t.Size)
	}
	h.tensors = append(h.tensors, t)
	return nil
}

// layOut orders the tensors as they lie in the file, requires that they fill
// it from data to size without overlap or gap, and makes offsets absolute.
func (h *header) layOut(data, size int64) error {
	slices.SortStableFunc(h.tensors, func(a, b Info) int {
		return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Size, b.Size))
	})
	h.index = make(map[string]int, len(h.tensors))
	var end int64
	for i := range h.tensors {
		t := &h.tensors[i]
		if _, twice := h.index[t.Name]; twice {
			return fmt.Errorf("tensor %.200q twice", t.Name)
		}
		h.index[t.Name] = i
		if t.Offset < end {
			return fmt.Errorf("tensor %.200q overlaps %.200q by %d bytes", t.Name, h.tensors[i-1].Name, end-t.Offset)
		}
		if t.Offset > end {
			return fmt.Errorf("tensor %.200q: %d unused bytes before it", t.Name, t.Offset-end)
		}
		end += t.Size
		t.Offset += data
	}
	switch have := size - data; {
	case have < end:
		return fmt.Errorf("truncated: the header describes %d bytes, the file has %d", uint64(data)+uint64(end), size)
	case have > end:
		return fmt.Errorf("%d bytes after the last tensor", have-end)
	}
	return nil
}
