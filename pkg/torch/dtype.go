package torch

import (
	"fmt"

	"github.com/sugarme/gotch"
)

// DType is an element type, numbered as libtorch numbers its scalar types.
type DType int32

// The element types in use here.
const (
	Uint8    = DType(gotch.Uint8)
	Int16    = DType(gotch.Int16)
	Int32    = DType(gotch.Int)
	Int64    = DType(gotch.Int64)
	Float16  = DType(gotch.Half)
	Float32  = DType(gotch.Float)
	Float64  = DType(gotch.Double)
	Bool     = DType(gotch.Bool)
	BFloat16 = DType(gotch.BFloat16)
)

// noDType is the wrappers' "not given" for an optional dtype.
const noDType = int32(-1)

var dtypes = map[DType]struct {
	name string
	size int64
}{
	Uint8: {"uint8", 1}, Int16: {"int16", 2}, Int32: {"int32", 4}, Int64: {"int64", 8},
	Float16: {"float16", 2}, Float32: {"float32", 4}, Float64: {"float64", 8},
	Bool: {"bool", 1}, BFloat16: {"bfloat16", 2},
}

// Size is the number of bytes of one element.
func (d DType) Size() int64 { return dtypes[d].size }

func (d DType) String() string {
	if k, ok := dtypes[d]; ok {
		return k.name
	}
	return fmt.Sprintf("dtype(%d)", int32(d))
}
