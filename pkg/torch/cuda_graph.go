package torch

// #include <stdlib.h>
// #include "cuda_functions.h"
import "C"

import (
	"fmt"
	"unsafe"
)

// Pool is memory that graphs share which are replayed one after the other on one
// stream.
type Pool struct{ id [2]C.uint64_t }

// NewPool is a new one. It needs the [Helper].
func NewPool() Pool {
	const op = "graph_pool"
	onCUDA(op, CUDA(0))
	var p Pool
	checkHelper(op, C.helper_pool_new(&p.id[0]))
	return p
}

// Graph is work of a CUDA device that is queued by one call, on the memory that it was
// captured with.
type Graph struct {
	c unsafe.Pointer
}

// Capture records what f queues on the current stream, which is one of [EnterStream],
// instead of having it done. f has run there before at least once, and waits for
// nothing, copies nothing from the host and reads nothing back; seeding belongs before
// a replay. What f makes is freed but for what it keeps ([Tensor.Keep]): kept tensors
// are where each replay leaves its results. The caller frees the graph.
//
// Where f or the capture fails, its error is returned and the device is as before; the
// pool must not be used for another.
func Capture(pool Pool, f func() error) (*Graph, error) {
	const op = "capture"
	g := &Graph{}
	if e := C.helper_capture_begin(pool.id[0], pool.id[1], &g.c); e != nil {
		return nil, failure(op, unsafe.Pointer(e))
	}
	ended := false
	defer func() { // also when f panics with something else than an *Error
		if !ended {
			g.abandon()
		}
	}()
	if err := Do(f); err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	ended = true
	if e := C.helper_capture_end(g.c); e != nil {
		return nil, failure(op, unsafe.Pointer(e))
	}
	return g, nil
}

func (g *Graph) abandon() {
	if e := C.helper_capture_abandon(g.c); e != nil {
		C.free(unsafe.Pointer(e))
	}
	g.c = nil
}

// Replay queues it on the current stream. Numbers from libtorch's default generator go
// on from its state: after [Seed] they are a function of the seed.
func (g *Graph) Replay() {
	const op = "replay"
	if g.c == nil {
		panic(Errorf(op, "use of a freed graph"))
	}
	checkHelper(op, C.helper_graph_replay(g.c))
}

// Free releases it, when its last replay is done. Freeing twice does nothing.
func (g *Graph) Free() {
	if g == nil || g.c == nil {
		return
	}
	c := g.c
	g.c = nil
	checkHelper("graph", C.helper_graph_free(c))
}
