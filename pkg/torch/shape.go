package torch

import (
	"github.com/metatt/metatt/pkg/torch/native"
	"github.com/sugarme/gotch/libtch"
)

// Reshape gives the elements another shape; one size may be -1. It shares
// memory where it can.
func (t *Tensor) Reshape(shape ...int64) *Tensor {
	s, n := dims(shape)
	libtch.AtgReshape(&slots[0], t.handle("reshape"), s, n)
	return result("reshape", t)
}

// Transpose swaps two dimensions.
func (t *Tensor) Transpose(a, b int) *Tensor {
	libtch.AtgTranspose(&slots[0], t.handle("transpose"), int64(a), int64(b))
	return result("transpose", t)
}

// T is the transpose of a matrix.
func (t *Tensor) T() *Tensor { return unary("t", libtch.AtgT, t) }

// Diagonal is the main diagonal of a matrix.
func (t *Tensor) Diagonal() *Tensor {
	libtch.AtgDiagonal(&slots[0], t.handle("diagonal"), 0, 0, 1)
	return result("diagonal", t)
}

// Permute puts the dimensions in the given order.
func (t *Tensor) Permute(order ...int64) *Tensor {
	s, n := dims(order)
	libtch.AtgPermute(&slots[0], t.handle("permute"), s, n)
	return result("permute", t)
}

// Narrow is the part [start, start+length) along a dimension, sharing memory.
func (t *Tensor) Narrow(dim int, start, length int64) *Tensor {
	libtch.AtgNarrow(&slots[0], t.handle("narrow"), int64(dim), start, length)
	return result("narrow", t)
}

// Select is the slice at index of a dimension, which goes away. It shares
// memory.
func (t *Tensor) Select(dim int, index int64) *Tensor {
	libtch.AtgSelect(&slots[0], t.handle("select"), int64(dim), index)
	return result("select", t)
}

// Unbind is the slices of t along its first dimension. They share its memory.
func (t *Tensor) Unbind() []*Tensor {
	const op = "unbind"
	slices := make([]*Tensor, t.Size(0))
	if !native.Compiled() {
		for i := range slices { // each of which fills a gradient of t's size
			slices[i] = t.Select(0, int64(i))
		}
		return slices
	}
	nativeReady(op)
	handles := make([]native.Tensor, len(slices))
	if message := native.Unbind(handles, native.Tensor(t.handle(op))); message != nil {
		panic(failure(op, message, t))
	}
	for i, c := range handles {
		slices[i] = adopt(op, libtch.Ctensor(c))
	}
	return slices
}

// Unsqueeze puts a dimension of size 1 at dim.
func (t *Tensor) Unsqueeze(dim int) *Tensor {
	libtch.AtgUnsqueeze(&slots[0], t.handle("unsqueeze"), int64(dim))
	return result("unsqueeze", t)
}

// Contiguous is t with its elements row by row in memory: t itself where they
// are so already.
func (t *Tensor) Contiguous() *Tensor { return unary("contiguous", libtch.AtgContiguous, t) }

// Clone is a copy with memory of its own.
func (t *Tensor) Clone() *Tensor {
	libtch.AtgEmptyLike(&slots[0], t.handle("clone"))
	return result("clone", t).CopyFrom(t)
}

// Detach shares t's memory but not its history.
func (t *Tensor) Detach() *Tensor { return unary("detach", libtch.AtgDetach, t) }

// To is t on that device: t itself (a new handle) where it is there already.
func (t *Tensor) To(device Device) *Tensor {
	libtch.AtgTo(&slots[0], t.handle("to"), int32(device))
	return result("to", t)
}

// ToDType is t with that element type: a new handle of t where it has it.
func (t *Tensor) ToDType(dtype DType) *Tensor {
	libtch.AtgToDtype(&slots[0], t.handle("to"), int32(dtype), 0, 0)
	return result("to", t)
}

// Cat joins tensors along a dimension.
func Cat(dim int, tensors ...*Tensor) *Tensor {
	libtch.AtgCat(&slots[0], handles("cat", tensors), len(tensors), int64(dim))
	return result("cat", tensors...)
}

// Stack joins tensors of one shape along a new dimension.
func Stack(dim int, tensors ...*Tensor) *Tensor {
	libtch.AtgStack(&slots[0], handles("stack", tensors), len(tensors), int64(dim))
	return result("stack", tensors...)
}

func handles(op string, tensors []*Tensor) []libtch.Ctensor {
	if len(tensors) == 0 {
		panic(Errorf(op, "no tensors"))
	}
	cs := make([]libtch.Ctensor, len(tensors))
	for i, t := range tensors {
		cs[i] = t.handle(op)
	}
	return cs
}

// IndexSelect takes the slices with those Int64 or Int32 indices along a
// dimension: row i of the result is row index[i] of t.
func (t *Tensor) IndexSelect(dim int, index *Tensor) *Tensor {
	libtch.AtgIndexSelect(&slots[0], t.handle("index_select"), int64(dim), index.handle("index_select"))
	return result("index_select", t, index)
}

// ViewAs reinterprets the memory as another dtype; the last dimension changes
// with the element size.
func (t *Tensor) ViewAs(dtype DType) *Tensor {
	libtch.AtgViewDtype(&slots[0], t.handle("view"), int32(dtype))
	return result("view", t)
}
