package torch

import (
	"fmt"
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// noDims stands for an empty list of sizes: the wrappers take the address of
// the first element even where the length is 0.
var noDims = []int64{0}

func dims(sizes []int64) ([]int64, int) {
	if len(sizes) == 0 {
		return noDims, 0
	}
	return sizes, len(sizes)
}

// Empty is a tensor of that shape whose elements are not set.
func Empty(dtype DType, device Device, shape ...int64) *Tensor {
	s, n := dims(shape)
	libtch.AtgEmpty(&slots[0], s, n, int32(dtype), int32(device))
	return shaped("empty", shape)
}

// Zeros is a tensor of zeros.
func Zeros(dtype DType, device Device, shape ...int64) *Tensor {
	s, n := dims(shape)
	libtch.AtgZeros(&slots[0], s, n, int32(dtype), int32(device))
	return shaped("zeros", shape)
}

// Ones is a tensor of ones.
func Ones(dtype DType, device Device, shape ...int64) *Tensor {
	s, n := dims(shape)
	libtch.AtgOnes(&slots[0], s, n, int32(dtype), int32(device))
	return shaped("ones", shape)
}

// Eye is the n × m matrix with ones on its diagonal.
func Eye(dtype DType, device Device, n, m int64) *Tensor {
	libtch.AtgEyeM(&slots[0], n, m, int32(dtype), int32(device))
	return shaped("eye", []int64{n, m})
}

// Randn is a tensor of independent standard normal numbers from libtorch's
// default generator.
func Randn(dtype DType, device Device, shape ...int64) *Tensor {
	s, n := dims(shape)
	libtch.AtgRandn(&slots[0], s, n, int32(dtype), int32(device))
	return shaped("randn", shape)
}

// Uniform is a tensor of independent numbers, uniform in [low, high), from
// libtorch's default generator.
func Uniform(dtype DType, device Device, low, high float64, shape ...int64) *Tensor {
	t := Empty(dtype, device, shape...)
	libtch.AtgUniform_(&slots[0], t.handle("uniform_"), low, high)
	discard("uniform_", t)
	return t
}

// ZerosLike is a tensor of zeros with t's shape, dtype and device.
func (t *Tensor) ZerosLike() *Tensor {
	libtch.AtgZerosLike(&slots[0], t.handle("zeros_like"))
	return result("zeros_like", t)
}

// shaped is result for constructors: they have no operands, so the error shows
// the shape that was asked for.
func shaped(op string, shape []int64) *Tensor {
	if e := libtch.GetAndResetLastErr(); e != nil {
		failed := failure(op, unsafe.Pointer(e))
		failed.Message = fmt.Sprintf("shape %v: %s", shape, failed.Message)
		panic(failed)
	}
	return adopt(op, slots[0])
}
