package parquet

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/parquet-go/parquet-go/encoding/thrift"
)

// Types of Thrift's compact protocol, in which Parquet writes its metadata.
const (
	typeTrue   = 1
	typeFalse  = 2
	typeByte   = 3
	typeI64    = 6 // as 4 and 5, which are shorter
	typeDouble = 7
	typeBinary = 8
	typeList   = 9
	typeSet    = 10
	typeMap    = 11
	typeStruct = 12
)

// deepest is how deep structures stand in one another, far above Parquet's own.
const deepest = 32

var (
	errShort = errors.New("it breaks off")
	errDeep  = errors.New("it is nested too deep")
)

// field is one of a structure that has not been decoded.
type field struct {
	id    int
	kind  byte
	value []byte
}

// fields hands out the fields of the structure that b begins with, whose length it
// returns. Nothing is allocated for what a length claims: the decoder, which trusts
// lengths, is given only what has been walked over.
func fields(b []byte, depth int, visit func(field) error) (n int, err error) {
	if depth > deepest {
		return 0, errDeep
	}
	id := 0
	for {
		if n >= len(b) {
			return 0, errShort
		}
		head := b[n]
		n++
		if head == 0 {
			return n, nil
		}
		if delta := int(head >> 4); delta > 0 {
			id += delta
		} else {
			value, size := binary.Varint(b[n:])
			if size <= 0 {
				return 0, errShort
			}
			id, n = int(value), n+size
		}
		kind := head & 0xf
		size, err := length(kind, b[n:], depth)
		if err != nil {
			return 0, err
		}
		if visit != nil {
			if err := visit(field{id, kind, b[n : n+size]}); err != nil {
				return 0, err
			}
		}
		n += size
	}
}

// length is how long the value of a field is.
func length(kind byte, b []byte, depth int) (int, error) {
	size := 0
	switch {
	case kind == typeTrue || kind == typeFalse:
	case kind == typeByte:
		size = 1
	case kind > typeByte && kind <= typeI64:
		if _, size = binary.Uvarint(b); size <= 0 {
			return 0, errShort
		}
	case kind == typeDouble:
		size = 8
	case kind == typeBinary:
		n, head := binary.Uvarint(b)
		if head <= 0 || n > uint64(len(b)-head) {
			return 0, errShort
		}
		size = head + int(n)
	case kind == typeList || kind == typeSet:
		return elements(b, depth, nil)
	case kind == typeMap:
		return 0, errors.New("it holds a map, which Parquet has none of")
	case kind == typeStruct:
		return fields(b, depth+1, nil)
	default:
		return 0, fmt.Errorf("there is no type %d", kind)
	}
	if size > len(b) {
		return 0, errShort
	}
	return size, nil
}

// elements hands out the elements of a list, whose length in bytes it returns.
func elements(b []byte, depth int, visit func(kind byte, element []byte) error) (int, error) {
	if len(b) == 0 {
		return 0, errShort
	}
	count, kind, n := uint64(b[0]>>4), b[0]&0xf, 1
	if count == 0xf {
		var size int
		if count, size = binary.Uvarint(b[1:]); size <= 0 {
			return 0, errShort
		}
		n += size
	}
	if count > uint64(len(b)-n) { // each has a byte or more
		return 0, errShort
	}
	for range count {
		size := 1
		if kind != typeTrue && kind != typeFalse { // which stand in a byte here
			var err error
			if size, err = length(kind, b[n:], depth+1); err != nil {
				return 0, err
			}
		}
		if n+size > len(b) {
			return 0, errShort
		}
		if visit != nil {
			if err := visit(kind, b[n:n+size]); err != nil {
				return 0, err
			}
		}
		n += size
	}
	return n, nil
}

// structures hands out the elements of a field that is a list of structures.
func (f field) structures(visit func(element []byte) error) error {
	if f.kind != typeList {
		return fmt.Errorf("field %d is no list", f.id)
	}
	_, err := elements(f.value, 0, func(kind byte, element []byte) error {
		if kind != typeStruct {
			return fmt.Errorf("field %d is no list of structures", f.id)
		}
		return visit(element)
	})
	return err
}

// integer is the value of a field that is one.
func (f field) integer() (int64, error) {
	if f.kind <= typeByte || f.kind > typeI64 {
		return 0, fmt.Errorf("field %d is no number", f.id)
	}
	n, _ := binary.Varint(f.value)
	return n, nil
}

// text is the value of a field that is one.
func (f field) text() (string, error) {
	if f.kind != typeBinary {
		return "", fmt.Errorf("field %d is no text", f.id)
	}
	_, head := binary.Uvarint(f.value)
	return string(f.value[head:]), nil
}

// decode is a structure that has been walked over.
func decode[T any](b []byte) (value T, err error) {
	err = thrift.Unmarshal(&thrift.CompactProtocol{}, b, &value)
	return value, err
}
