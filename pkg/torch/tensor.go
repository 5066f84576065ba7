package torch

import (
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// Tensor is a libtorch tensor with an owner: the scope it was made in, or the
// caller after [Tensor.Keep]. Using a freed tensor is an error, not a crash.
type Tensor struct {
	c     libtch.Ctensor
	scope *scope // nil: kept
	index int    // place in scope.tensors
}

// slots receives the results of an operation. One goroutine computes at a
// time, so a fixed place saves an allocation per call. The memory behind it has
// a type without pointers: cgo rejects globals that may hold Go pointers.
var (
	slotMemory [3]uintptr
	slots      = (*[3]libtch.Ctensor)(unsafe.Pointer(&slotMemory))
)

// adopt gives a new libtorch tensor to the innermost scope.
func adopt(op string, c libtch.Ctensor) *Tensor {
	if c == nil {
		panic(Errorf(op, "libtorch returned no tensor"))
	}
	if current == nil {
		libtch.AtFree(c)
		panic(outside(op))
	}
	t := &Tensor{c: c}
	current.add(t)
	return t
}

// Adopt makes a C tensor handle of libtorch a tensor of the current scope, which
// frees it. With [Tensor.Share] it is the door for other bindings of libtorch;
// op names the operation in errors.
func Adopt(op string, handle unsafe.Pointer) *Tensor { return adopt(op, libtch.Ctensor(handle)) }

// Share is a new C tensor handle of t's storage and place in the graph, for
// another binding of libtorch to own and free.
func (t *Tensor) Share() unsafe.Pointer {
	return unsafe.Pointer(libtch.AtShallowClone(t.handle("share")))
}

// result adopts slot 0 after a call, or panics with the call's error.
func result(op string, operands ...*Tensor) *Tensor {
	if e := libtch.GetAndResetLastErr(); e != nil {
		panic(failure(op, unsafe.Pointer(e), operands...))
	}
	return adopt(op, slots[0])
}

// discard frees the new handle that an in-place operation returns for a tensor
// that has one already.
func discard(op string, operands ...*Tensor) {
	if e := libtch.GetAndResetLastErr(); e != nil {
		panic(failure(op, unsafe.Pointer(e), operands...))
	}
	libtch.AtFree(slots[0])
}

// live is the C tensor, or a panic that names the operation.
func (t *Tensor) live(op string) libtch.Ctensor {
	if t == nil {
		panic(Errorf(op, "nil tensor"))
	}
	if t.c == nil {
		panic(Errorf(op, "use of a freed tensor"))
	}
	return t.c
}

// handle is live for operations that compute, which only [Do] may.
func (t *Tensor) handle(op string) libtch.Ctensor {
	if current == nil {
		panic(outside(op))
	}
	return t.live(op)
}

// optional is handle, with nil meaning "not given".
func (t *Tensor) optional(op string) libtch.Ctensor {
	if t == nil {
		return nil
	}
	return t.handle(op)
}

// Dim is the number of dimensions.
func (t *Tensor) Dim() int { return int(libtch.AtDim(t.live("dim"))) }

// Shape is the size of each dimension.
func (t *Tensor) Shape() []int64 {
	n := t.Dim()
	shape := make([]int64, n)
	if n > 0 {
		libtch.AtShape(t.c, unsafe.Pointer(&shape[0]))
	}
	return shape
}

// Size is the size of one dimension; a negative d counts from the end.
func (t *Tensor) Size(d int) int64 {
	shape := t.Shape()
	if d < 0 {
		d += len(shape)
	}
	if d < 0 || d >= len(shape) {
		panic(Errorf("size", "dimension %d of a tensor of shape %v", d, shape))
	}
	return shape[d]
}

// Numel is the number of elements.
func (t *Tensor) Numel() int64 {
	n := int64(1)
	for _, d := range t.Shape() {
		n *= d
	}
	return n
}

// DType is the element type.
func (t *Tensor) DType() DType { return DType(libtch.AtScalarType(t.live("dtype"))) }

// Device is where the elements are.
func (t *Tensor) Device() Device {
	// gotch reads the C int through a Go int: only its low half is meant.
	return Device(int32(libtch.AtDevice(t.live("device"))))
}

// Freed reports whether t has been freed.
func (t *Tensor) Freed() bool { return t.c == nil }
