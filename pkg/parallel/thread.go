package parallel

// #include "helper.h"
import "C"

import (
	"fmt"
	"time"
)

// thread is the one OS thread that calls MPI. Whatever the process computes or waits for, it
// gives a sign of life to the next rank each second and listens for those of the rank before,
// so that a process is lost only when it is, not when it takes long.
type thread struct {
	*World
	waits   string        // what the process waits for; empty: for nothing of MPI's
	beats   *time.Ticker  // of signs
	silence time.Duration // since the last sign, of this process's own waking time
	last    time.Time     // that silence was counted
	ended   bool          // the rank before has given its last sign
	left    bool
}

// interval is how often signs are given.
const interval = time.Second

func newThread(w *World) *thread {
	return &thread{World: w, beats: time.NewTicker(interval), last: time.Now()}
}

// serve does what is asked for until the job is left.
func (t *thread) serve() {
	defer t.beats.Stop()
	for !t.left {
		select {
		case r := <-t.requests:
			t.waits = r.what
			r.done <- r.do(t)
			t.waits = ""
		case <-t.beats.C:
			// An error of MPI is met by what is asked for next.
			_ = t.live()
		}
	}
}

// complete waits for the operation that was begun.
func (t *thread) complete(begun *C.char) error {
	if err := taken(begun); err != nil {
		return err
	}
	return t.until(func() (bool, error) {
		var done C.int
		err := taken(C.mpi_finished(&done))
		return done != 0, err
	})
}

// until polls, the less often the longer it takes, and lives meanwhile.
func (t *thread) until(done func() (bool, error)) error {
	began := time.Now()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		waited := time.Since(began)
		if waited > 50*time.Microsecond {
			time.Sleep(min(waited/8, time.Millisecond))
		}
		select {
		case <-t.beats.C:
			if err := t.live(); err != nil {
				return err
			}
		default:
		}
	}
}

// live gives a sign of life, hears those that came, and ends the job after too long a silence.
func (t *thread) live() error {
	if err := taken(C.mpi_beat()); err != nil {
		return err
	}
	if err := t.listen(); err != nil || t.silence < t.patience || t.ended {
		return err
	}
	waits := ""
	if t.waits != "" {
		waits = ", waiting for " + t.waits
	}
	fmt.Fprintf(t.output, "finetune: rank %d of %d%s: rank %d has given no sign of life for %v and is lost: the job ends (%s says after how many seconds)\n",
		t.rank, t.size, waits, (t.rank+t.size-1)%t.size, t.patience, patienceVariable)
	return taken(C.mpi_abort(1))
}

// listen counts the silence. Time in which this process itself was stopped does not count:
// all of a job may have been.
func (t *thread) listen() error {
	now := time.Now()
	t.silence += min(now.Sub(t.last), 2*interval)
	t.last = now
	var heard, last C.int
	if err := taken(C.mpi_listen(&heard, &last)); err != nil {
		return err
	}
	if heard != 0 {
		t.silence = 0
	}
	t.ended = last != 0
	return nil
}

// leave gives the last sign, hears the last, and ends MPI.
func (t *thread) leave() error {
	if err := taken(C.mpi_beat_last()); err != nil {
		return err
	}
	err := t.until(func() (bool, error) {
		err := t.listen()
		return t.ended, err
	})
	if err != nil {
		return err
	}
	t.left = true
	return taken(C.mpi_leave())
}
