package torch

// #include "cuda_functions.h"
import "C"

import "unsafe"

// Pinned is memory of the host that a device reads and writes while the host goes on:
// page-locked for CUDA devices with the [Helper], ordinary memory elsewhere.
type Pinned struct {
	tensor *Tensor // (bytes) Uint8
	data   []byte
	copies bool // by the helper
}

// NewPinned is n bytes for copies to and from that device. The caller frees it.
func NewPinned(d Device, n int64) *Pinned {
	const op = "pinned"
	p := &Pinned{}
	if _, err := Helper(); d >= 0 && err == nil {
		if current == nil {
			panic(outside(op))
		}
		var data unsafe.Pointer
		checkHelper(op, C.helper_pinned_new(C.int64_t(n), slot(0), &data))
		p.tensor, p.copies = adopt(op, slots[0]).Keep(), true
		if n > 0 {
			p.data = unsafe.Slice((*byte)(data), n)
		}
		return p
	}
	p.tensor = Empty(Uint8, CPU, n).Keep()
	p.data = p.tensor.Bytes()
	return p
}

// Bytes is the memory. It must not be changed while a copy is under way, nor used after
// Free.
func (p *Pinned) Bytes() []byte { return p.data }

// Int32s is the memory as 32-bit integers.
func (p *Pinned) Int32s() []int32 { return pinnedSlice[int32](p) }

// Float32s is the memory as fp32.
func (p *Pinned) Float32s() []float32 { return pinnedSlice[float32](p) }

func pinnedSlice[T int32 | float32](p *Pinned) []T {
	if len(p.data) < 4 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&p.data[0])), len(p.data)/4)
}

// Upload queues a copy of the memory's beginning to t, which is contiguous and filled
// by it. On a CUDA device nothing waits: an [Event] tells when the memory may be
// changed.
func (p *Pinned) Upload(t *Tensor) {
	const op = "pinned_upload"
	n := p.fits(op, t)
	switch {
	case t.Device() == CPU:
		copy(t.Bytes(), p.data)
	case p.copies:
		checkHelper(op, C.helper_upload(pointer(t, op), unsafe.Pointer(unsafe.SliceData(p.data)), C.int64_t(n)), t)
	default:
		NoGrad(func() { t.CopyFrom(p.as(t, n)) })
	}
}

// Download queues a copy of t, which is contiguous, to the memory's beginning. On a
// CUDA device nothing waits: an [Event] tells when it is there.
func (p *Pinned) Download(t *Tensor) {
	const op = "pinned_download"
	n := p.fits(op, t)
	switch {
	case t.Device() == CPU:
		copy(p.data, t.Bytes())
	case p.copies:
		checkHelper(op, C.helper_download(unsafe.Pointer(unsafe.SliceData(p.data)), pointer(t, op), C.int64_t(n)), t)
	default:
		NoGrad(func() { p.as(t, n).CopyFrom(t) })
	}
}

// fits is the number of t's bytes.
func (p *Pinned) fits(op string, t *Tensor) int64 {
	n := t.Numel() * t.DType().Size()
	if have := int64(len(p.data)); n > have {
		panic(Errorf(op, "%d bytes for %s%v, which takes %d", have, t.DType(), t.Shape(), n))
	}
	return n
}

// as is the first n bytes as a tensor like t.
func (p *Pinned) as(t *Tensor, n int64) *Tensor {
	return p.tensor.Narrow(0, 0, n).ViewAs(t.DType()).Reshape(t.Shape()...)
}

// Free releases the memory, which no copy may use any more. Freeing twice does nothing.
func (p *Pinned) Free() {
	p.data = nil
	p.tensor.Free()
}
