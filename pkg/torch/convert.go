package torch

import (
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// Element is a Go type that has a libtorch element type of the same layout.
type Element interface {
	~uint8 | ~int16 | ~int32 | ~int64 | ~float32 | ~float64
}

func dtypeOf[T Element]() DType {
	var zero T
	switch any(zero).(type) {
	case uint8:
		return Uint8
	case int16:
		return Int16
	case int32:
		return Int32
	case int64:
		return Int64
	case float32:
		return Float32
	}
	return Float64
}

// FromSlice copies data, row by row, into a new CPU tensor of that shape (one
// dimension when none is given).
func FromSlice[T Element](data []T, shape ...int64) *Tensor {
	const op = "from_slice"
	if len(shape) == 0 {
		shape = []int64{int64(len(data))}
	}
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	if n != int64(len(data)) {
		panic(Errorf(op, "%d elements cannot have shape %v", len(data), shape))
	}
	t := Empty(dtypeOf[T](), CPU, shape...)
	copy(elements[T](t), data)
	return t
}

// ToSlice copies the elements, row by row, out of a tensor on any device. T
// must match its dtype.
func ToSlice[T Element](t *Tensor) []T {
	const op = "to_slice"
	if have, want := t.DType(), dtypeOf[T](); have != want {
		panic(Errorf(op, "tensor is %s, not %s", have, want))
	}
	data := make([]T, t.Numel())
	CopyTo(data, t)
	return data
}

// CopyTo is [ToSlice] into data, which has the tensor's number of elements.
func CopyTo[T Element](data []T, t *Tensor) {
	const op = "copy_to"
	if have, want := t.DType(), dtypeOf[T](); have != want || t.Numel() != int64(len(data)) {
		panic(Errorf(op, "tensor is %d elements of %s, not %d of %s", t.Numel(), have, len(data), want))
	}
	if len(data) == 0 {
		return
	}
	libtch.AtCopyData(t.handle(op), unsafe.Pointer(&data[0]), uint(len(data)), uint(unsafe.Sizeof(data[0])))
	if e := libtch.GetAndResetLastErr(); e != nil {
		panic(failure(op, unsafe.Pointer(e), t))
	}
}

// Item is the value of a tensor with one element, as float64. On a CUDA device
// it waits for the device.
func (t *Tensor) Item() float64 {
	if n := t.Numel(); n != 1 {
		panic(Errorf("item", "tensor of shape %v has %d elements", t.Shape(), n))
	}
	value := libtch.AtDoubleValueAtIndexes(t.handle("item"), nil, 0)
	if e := libtch.GetAndResetLastErr(); e != nil {
		panic(failure("item", unsafe.Pointer(e), t))
	}
	return value
}

// elements is the memory of a contiguous CPU tensor. It must not be used after
// the tensor is freed.
func elements[T Element](t *Tensor) []T {
	n := t.Numel()
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(libtch.AtDataPtr(t.handle("elements"))), n)
}

// Bytes is the memory of a contiguous CPU tensor, row by row in the machine's
// byte order, to be read or filled in place; it must not be used after t is
// freed. This is how files are read into tensors without a second copy.
func (t *Tensor) Bytes() []byte {
	const op = "bytes"
	c := t.handle(op)
	if t.Device() != CPU || !libtch.AtIsContiguous(c) {
		panic(Errorf(op, "tensor is not contiguous on the CPU"))
	}
	n := t.Numel() * t.DType().Size()
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(libtch.AtDataPtr(c)), n)
}
