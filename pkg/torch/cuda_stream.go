package torch

// #include "cuda_functions.h"
import "C"

import "unsafe"

// Stream is a queue of work of a CUDA device beside the default one: CUDA graphs are
// captured on such alone.
type Stream struct{ c unsafe.Pointer }

// EnterStream makes a stream of the device the one that this OS thread queues its work
// on, in the [Do] around it, until Leave: it is called before the tensors are made that
// are computed with. It waits for the device. It needs the [Helper].
//
//	defer torch.EnterStream(device).Leave()
func EnterStream(d Device) *Stream {
	const op = "enter_stream"
	onCUDA(op, d)
	s := &Stream{}
	checkHelper(op, C.helper_stream_enter(C.int(d), &s.c))
	return s
}

// Leave goes back to the stream and the device of before. It waits for the device.
func (s *Stream) Leave() {
	if s.c == nil {
		return
	}
	c := s.c
	s.c = nil
	checkHelper("leave_stream", C.helper_stream_leave(c))
}

// onCUDA panics where the helper's operations have no device or no helper.
func onCUDA(op string, d Device) {
	if current == nil {
		panic(outside(op))
	}
	if d < 0 {
		panic(&Error{Op: op, Message: "only a CUDA device has this", kind: ErrDevice})
	}
	if _, err := Helper(); err != nil {
		panic(&Error{Op: op, Message: err.Error(), kind: ErrDevice})
	}
	if n := CUDADevices(); int(d) >= n {
		panic(&Error{Op: op, Message: noSuchDevice(d.String(), n), kind: ErrDevice})
	}
}
