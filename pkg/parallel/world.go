package parallel

// #include "helper.h"
import "C"

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"runtime"
	"strconv"
	"time"
	"unsafe"
)

// World is the processes that a launcher has started, by MPI. It implements [Group].
type World struct {
	rank, size           int
	localRank, localSize int
	patience             time.Duration // without a sign of life
	output               io.Writer     // where it is said that another process is lost
	requests             chan request
}

// request is what the thread of MPI is asked for.
type request struct {
	what string // that is waited for
	do   func(*thread) error
	done chan error
}

// patienceVariable is how many seconds without a sign of life make a process lost.
const patienceVariable = "METATT_MPI_DEADLINE"

// defaultPatience leaves a launcher time to end the others within half a minute.
const defaultPatience = 20 * time.Second

// Join joins the job that a launcher has started, where the environment says that there is
// one of more than one process; else it returns nil. It is to be called once. A process that
// is lost, killed or on a machine that is gone, ends the job wherever the others are: output
// is told, a line, and MPI ends all with exit code 1.
func Join(env func(string) (string, bool), output io.Writer) (*World, error) {
	launch, err := Launched(env)
	if err != nil || launch.Size == 1 {
		return nil, err
	}
	w := &World{patience: defaultPatience, output: output, requests: make(chan request)}
	if text, set := env(patienceVariable); set {
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil || !(seconds >= 2 && seconds <= 86400) {
			return nil, fmt.Errorf("%s: %q: write 2 or more seconds", patienceVariable, text)
		}
		w.patience = time.Duration(seconds * float64(time.Second))
	}
	name, _, err := Library()
	if err != nil {
		return nil, fmt.Errorf("%s has started %d processes, which need MPI to make one run: %w", launch.By, launch.Size, err)
	}
	if err := launch.check(env); err != nil {
		return nil, err
	}
	if err := w.start(); err != nil {
		return nil, err
	}
	if w.size != launch.Size {
		return nil, fmt.Errorf("%s has started %d processes, MPI finds %d: the launcher is not that of %s", launch.By, launch.Size, w.size, name)
	}
	return w, nil
}

// start joins on the thread of MPI. What MPI does then waits for all processes, with no way
// to look after it.
func (w *World) start() error {
	joined := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: it ends with the thread
		var rank, size, localRank, localSize C.int
		err := taken(C.mpi_join(&rank, &size, &localRank, &localSize))
		w.rank, w.size, w.localRank, w.localSize = int(rank), int(size), int(localRank), int(localSize)
		joined <- err
		if err == nil {
			newThread(w).serve()
		}
	}()
	select {
	case err := <-joined:
		if err != nil {
			return fmt.Errorf("MPI cannot join the processes: %w", err)
		}
		return nil
	case <-time.After(w.patience):
		return fmt.Errorf("MPI has not joined the processes after %v: one of them has not started, or was lost", w.patience)
	}
}

// Rank implements [Group].
func (w *World) Rank() int { return w.rank }

// Size implements [Group].
func (w *World) Size() int { return w.size }

// Local implements [Group].
func (w *World) Local() (rank, size int) { return w.localRank, w.localSize }

// largest is the number of elements that MPI is given at a time: it counts in ints.
const largest = 1 << 28

// Sum implements [Group].
func (w *World) Sum(what string, values []float32) error {
	for len(values) > 0 {
		part := values[:min(len(values), largest)]
		values = values[len(part):]
		var pinned runtime.Pinner
		pinned.Pin(&part[0])
		err := w.ask(what, func(t *thread) error {
			return t.complete(C.mpi_sum((*C.float)(unsafe.Pointer(&part[0])), C.int(len(part))))
		})
		pinned.Unpin()
		if err != nil {
			return err
		}
	}
	return nil
}

// Broadcast implements [Group].
func (w *World) Broadcast(what string, data []byte) ([]byte, error) {
	header := make([]byte, 8)
	if w.rank == 0 {
		binary.LittleEndian.PutUint64(header, uint64(len(data)))
	}
	if err := w.broadcast(what, header); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint64(header)
	if w.rank != 0 {
		if size > math.MaxInt {
			return nil, fmt.Errorf("%s: %d bytes", what, size)
		}
		data = make([]byte, size)
	}
	return data, w.broadcast(what, data)
}

func (w *World) broadcast(what string, data []byte) error {
	for len(data) > 0 {
		part := data[:min(len(data), largest)]
		data = data[len(part):]
		var pinned runtime.Pinner
		pinned.Pin(&part[0])
		err := w.ask(what, func(t *thread) error {
			return t.complete(C.mpi_broadcast(unsafe.Pointer(&part[0]), C.int(len(part))))
		})
		pinned.Unpin()
		if err != nil {
			return err
		}
	}
	return nil
}

// Barrier waits until all processes have come to it.
func (w *World) Barrier(what string) error {
	return w.ask(what, func(t *thread) error { return t.complete(C.mpi_barrier()) })
}

// Leave ends the job, when all processes do so.
func (w *World) Leave() error {
	if err := w.Barrier("the end of the job"); err != nil {
		return err
	}
	return w.ask("the end of the job", (*thread).leave)
}

// Abort ends all processes of the job at once, with that exit code.
func (w *World) Abort(code int) error {
	return w.ask("the end of the job", func(*thread) error { return taken(C.mpi_abort(C.int(code))) })
}

// ask lets the thread of MPI do something.
func (w *World) ask(what string, do func(*thread) error) error {
	r := request{what, do, make(chan error, 1)}
	w.requests <- r
	if err := <-r.done; err != nil {
		return fmt.Errorf("MPI, %s: %w", what, err)
	}
	return nil
}
