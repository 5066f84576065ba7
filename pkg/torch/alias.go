package torch

import (
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// MoveInto puts t's elements into a one-dimensional buffer of its dtype and device,
// row by row from offset on, and makes them t's memory: what changes the buffer
// changes t. t keeps its shape and stays the leaf that it is; the buffer's memory
// lives as long as either.
func (t *Tensor) MoveInto(buffer *Tensor, offset int64) {
	NoGrad(func() {
		Scoped(func() {
			shape := t.Shape()
			buffer.part("move_into", t, offset).CopyFrom(t.Detach().Reshape(-1))
			t.share("move_into", buffer, offset, shape)
		})
	})
}

// GradientIn makes backward passes add the gradient of the leaf t to a
// one-dimensional buffer of its dtype and device, row by row from offset on, where
// it starts at zero.
func (t *Tensor) GradientIn(buffer *Tensor, offset int64) {
	const op = "gradient_in"
	Scoped(func() {
		shape := t.Shape()
		part := buffer.part(op, t, offset)
		// libtorch makes the field in a backward pass; what it holds is then moved.
		t.Sum().Backward()
		libtch.AtgGrad(&slots[0], t.handle(op))
		result(op, t).share(op, buffer, offset, shape)
		NoGrad(func() { part.Zero() })
	})
}

// Aliases: t's memory is the buffer's from offset elements on.
func (t *Tensor) Aliases(buffer *Tensor, offset int64) bool {
	at := func(t *Tensor) uintptr { return uintptr(libtch.AtDataPtr(t.handle("aliases"))) }
	return at(t) == at(buffer)+uintptr(offset*t.DType().Size())
}

// part is the memory in buffer that t's elements are to take.
func (t *Tensor) part(op string, elements *Tensor, offset int64) *Tensor {
	if t.Dim() != 1 || t.DType() != elements.DType() || t.Device() != elements.Device() || offset < 0 || offset+elements.Numel() > t.Numel() {
		panic(Errorf(op, "a %s of shape %v at %d of a buffer of %s and shape %v", elements.DType(), elements.Shape(), offset, t.DType(), t.Shape()))
	}
	return t.Narrow(0, offset, elements.Numel())
}

// share gives t the buffer's memory from offset on, in that shape.
func (t *Tensor) share(op string, buffer *Tensor, offset int64, shape []int64) {
	strides := make([]int64, len(shape))
	step := int64(1)
	for i := len(shape) - 1; i >= 0; i-- {
		strides[i] = step
		step *= max(1, shape[i])
	}
	s, n := dims(shape)
	st, m := dims(strides)
	libtch.AtgSetSourceTensorStorageOffset_(&slots[0], t.handle(op), buffer.handle(op), offset, s, n, st, m)
	discard(op, t, buffer)
}

// Backward adds ∂t/∂p to the gradient of every leaf p that t, of one element, depends
// on (see [Tensor.GradientIn]). The graph is freed.
func (t *Tensor) Backward() {
	const op = "backward"
	if n := t.Numel(); n != 1 {
		panic(Errorf(op, "the loss has shape %v, not one element", t.Shape()))
	}
	libtch.AtBackward(t.handle(op), 0, 0)
	if e := libtch.GetAndResetLastErr(); e != nil {
		panic(failure(op, unsafe.Pointer(e), t))
	}
}

// Zero sets t's elements to zero. It returns t.
func (t *Tensor) Zero() *Tensor {
	libtch.AtgZero_(&slots[0], t.handle("zero_"))
	discard("zero_", t)
	return t
}
