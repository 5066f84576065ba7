// Package safetensors reads and writes the safetensors file format
// (https://github.com/huggingface/safetensors#format): eight bytes of header
// length, a JSON header, then the tensors' bytes, little-endian and without a
// gap. It knows the format alone: what the bytes mean is the caller's matter.
//
// Files are treated as hostile: the whole header is validated before anything
// is allocated from what it claims, and tensors are read, never mapped, so a
// file that shrinks underneath is an error and not a fault.
package safetensors

import (
	"fmt"
	"math"
)

// DType names an element type as the header spells it.
type DType string

// The element types of the format that take whole bytes. Its sub-byte types
// (F4, F6_E2M3, F6_E3M2) are reported as an [fileformat.UnsupportedError].
const (
	Bool       DType = "BOOL"
	U8         DType = "U8"
	I8         DType = "I8"
	F8E5M2     DType = "F8_E5M2"
	F8E4M3     DType = "F8_E4M3"
	F8E8M0     DType = "F8_E8M0"
	F8E4M3FNUZ DType = "F8_E4M3FNUZ"
	F8E5M2FNUZ DType = "F8_E5M2FNUZ"
	I16        DType = "I16"
	U16        DType = "U16"
	F16        DType = "F16"
	BF16       DType = "BF16"
	I32        DType = "I32"
	U32        DType = "U32"
	F32        DType = "F32"
	C64        DType = "C64"
	F64        DType = "F64"
	I64        DType = "I64"
	U64        DType = "U64"
)

// dtypes gives each type's size in bytes and its rank in the reference
// writer's order, which stores higher ranks first so that every tensor is
// aligned to its element size.
var dtypes = map[DType]struct{ size, rank int }{
	Bool: {1, 0}, U8: {1, 1}, I8: {1, 2},
	F8E5M2: {1, 3}, F8E4M3: {1, 4}, F8E8M0: {1, 5}, F8E4M3FNUZ: {1, 6}, F8E5M2FNUZ: {1, 7},
	I16: {2, 8}, U16: {2, 9}, F16: {2, 10}, BF16: {2, 11},
	I32: {4, 12}, U32: {4, 13}, F32: {4, 14},
	C64: {8, 15}, F64: {8, 16}, I64: {8, 17}, U64: {8, 18},
}

// Size is the number of bytes of one element, 0 for a type not listed above.
func (d DType) Size() int { return dtypes[d].size }

// Info describes one tensor of a file.
type Info struct {
	Name   string
	DType  DType
	Shape  []int64 // empty for a scalar; shared with the [Tensors], not to be changed
	Offset int64   // of the first byte, from the start of the file
	Size   int64   // bytes
}

// byteSize is the size of a tensor; ok is false when a dimension is negative
// or the product leaves int64.
func byteSize(d DType, shape []int64) (size int64, ok bool) {
	size = int64(d.Size())
	for _, n := range shape {
		if n < 0 || n > 0 && size > math.MaxInt64/n {
			return 0, false
		}
		size *= n
	}
	return size, true
}

func shapeText(d DType, shape []int64) string { return fmt.Sprintf("%s %v", d, shape) }
