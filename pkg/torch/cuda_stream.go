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

// SynchronizeStream waits for what this thread has queued on its stream.
func SynchronizeStream() { checkHelper("synchronize_stream", C.helper_stream_synchronize()) }

// Event is a place in a stream's queue.
type Event struct{ c unsafe.Pointer }

// NewEvent makes an event, of the current device, that nothing waits for yet. The
// caller frees it. It needs the [Helper].
func NewEvent() *Event {
	const op = "event"
	onCUDA(op, CUDA(0))
	e := &Event{}
	checkHelper(op, C.helper_event_new(&e.c))
	return e
}

// Record puts it behind all that is queued on the current stream.
func (e *Event) Record() {
	if current == nil {
		panic(outside("event"))
	}
	checkHelper("event", C.helper_event_record(e.c))
}

// Wait waits until the device has come to it.
func (e *Event) Wait() { checkHelper("event", C.helper_event_wait(e.c)) }

// Done reports whether the device has come to it.
func (e *Event) Done() bool {
	var done C.int
	checkHelper("event", C.helper_event_query(e.c, &done))
	return done != 0
}

// Free releases it. Freeing twice does nothing.
func (e *Event) Free() {
	if e.c != nil {
		c := e.c
		e.c = nil
		checkHelper("event", C.helper_event_free(c))
	}
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
