// Package native holds the CPU kernels that libtorch lacks, over packed sequences, and
// their derivatives for its autograd. They run on libtorch's threads; a result depends
// neither on their number nor on what other sequences the batch holds.
//
// There is a set of kernels for each instruction set: avx512bf16, avx512 (F, BW, VL and
// DQ), avx2 (with FMA) and generic. The best that the machine has is used, or the one that
// METATT_CPU names. All compute in fp32 but avx512bf16, which has avx512's instructions
// and BF16: it multiplies bf16 as it stands where attention is of bf16.
//
// The functions are package torch's to call, on tensors that it owns.
package native

// #include <stdlib.h>
// #include "api.h"
import "C"

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"unsafe"

	_ "github.com/metatt/metatt/pkg/torch/native/avx2"
	_ "github.com/metatt/metatt/pkg/torch/native/avx512"
	_ "github.com/metatt/metatt/pkg/torch/native/avx512bf16"
	_ "github.com/metatt/metatt/pkg/torch/native/generic"
	_ "github.com/metatt/metatt/pkg/torch/native/kernel" // its table is read here
)

// Variable is the environment variable that names the instruction set.
const Variable = "METATT_CPU"

// Compiled: set-up has told how to compile against libtorch. Without that there are no
// kernels, and all functions fail.
func Compiled() bool { return bool(C.native_compiled()) }

// Ready chooses the kernels at its first call. It fails where [Variable] holds no name,
// or one of instructions that the machine does not have.
var Ready = sync.OnceValue(func() error {
	if err := Choose(os.Getenv(Variable)); err != nil {
		return fmt.Errorf("%s: %w", Variable, err)
	}
	return nil
})

// Choose takes the kernels of that instruction set from here on, or the best for "". It
// must not be called while one of them runs.
func Choose(name string) error {
	c := C.CString(name)
	defer C.free(unsafe.Pointer(c))
	if message := C.native_choose(c); message != nil {
		defer C.free(unsafe.Pointer(message))
		return errors.New(C.GoString(message))
	}
	return nil
}

// Name is the instruction set whose kernels are in use; "" before [Ready].
func Name() string { return C.GoString(C.native_name()) }

// Tensor is a handle of libtorch's, as package libtch has them.
type Tensor = unsafe.Pointer

// Failure is the text of an error, a C string that the caller frees; nil: none.
type Failure = unsafe.Pointer

// Drop says what dropout's masks are a function of: see the type of that name in package
// torch. Offsets, Keys and Seed may be nil where P is 0.
type Drop struct {
	Offsets, Keys, Seed Tensor
	Site                int32
	P                   float64
}

func (d Drop) c() C.native_drop {
	return C.native_drop{offsets: d.Offsets, keys: d.Keys, seed: d.Seed, site: C.int32_t(d.Site), p: C.double(d.P)}
}

// Seed starts libtorch's default generators. On a device that has failed before it fails.
func Seed(seed uint64) Failure { return Failure(C.native_seed(C.uint64_t(seed))) }

// Mask is (rows, columns) Uint8: 1 for what is kept.
func Mask(out *Tensor, rows, columns, head int64, d Drop) Failure {
	return Failure(C.native_mask(out, C.int64_t(rows), C.int64_t(columns), C.int64_t(head), d.c()))
}

// Dropout is of (rows, n).
func Dropout(out *Tensor, y Tensor, d Drop) Failure {
	return Failure(C.native_dropout(out, y, d.c()))
}

// DropoutAddNorm is LayerNorm(residual + dropout(y)) of (rows, n).
func DropoutAddNorm(out *Tensor, y, residual, weight, bias Tensor, eps float64, d Drop) Failure {
	return Failure(C.native_dropout_add_norm(out, y, residual, weight, bias, C.double(eps), d.c()))
}

// Attention is of queries (rows, hidden) that read keys and values (tokens, hidden).
// The offsets of d are not read.
func Attention(out *Tensor, q, k, v Tensor, heads int64, queryOffsets, keyOffsets Tensor, d Drop) Failure {
	return Failure(C.native_attention(out, q, k, v, C.int64_t(heads), queryOffsets, keyOffsets, d.c()))
}

// JoinedAttention is of (tokens, 3·hidden); the offsets of d are read also where P is 0.
func JoinedAttention(out *Tensor, qkv Tensor, heads int64, d Drop) Failure {
	return Failure(C.native_joined_attention(out, qkv, C.int64_t(heads), d.c()))
}

// Unbind is the slices of t along its first dimension, for each of which outs has room.
func Unbind(outs []Tensor, t Tensor) Failure {
	return Failure(C.native_unbind(unsafe.SliceData(outs), t))
}

// GELU is exact or in its tanh approximation.
func GELU(out *Tensor, x Tensor, tanh bool) Failure {
	return Failure(C.native_gelu(out, x, C.bool(tanh)))
}

// Linear is x wᵀ + b, MatMul a b, of any tensors on any device; b of Linear may be nil.
// Products that oneDNN computes faster than what libtorch takes are computed by it.
func Linear(out *Tensor, x, w, b Tensor) Failure {
	return Failure(C.native_linear(out, x, w, b))
}

// MatMul: see [Linear].
func MatMul(out *Tensor, a, b Tensor) Failure {
	return Failure(C.native_matmul(out, a, b))
}

// AddMatMul is t += a b of matrices: see [Linear].
func AddMatMul(t, a, b Tensor) Failure {
	return Failure(C.native_add_matmul(t, a, b))
}
