package torch

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/sugarme/gotch/libtch"
	"golang.org/x/sys/unix"
)

// scope owns the tensors that were made while it was the innermost one.
type scope struct {
	outer   *scope
	tensors []*Tensor
}

var (
	engine  sync.Mutex   // held by the goroutine that computes
	owner   atomic.Int64 // its OS thread, which is locked to it; 0 when idle
	current *scope       // innermost open scope; guarded by engine
)

// Do runs f as one computation on a locked OS thread. It returns f's error, or
// the *Error of the tensor operation that failed in it. Everything f made and
// did not Keep is freed on return, also after an error; grad mode and the scope
// stack are what they were before. Do may be nested.
//
// Whatever the OS thread did before, f finds it with the threads of [SetThreads],
// with grad mode on and without an error of someone else's: a result depends on
// no thread.
func Do(f func() error) (err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// The thread is locked to this goroutine, so its id tells whether this is
	// a nested call; another goroutine's thread has another id.
	grad := GradEnabled()
	if tid := int64(unix.Gettid()); owner.Load() != tid {
		engine.Lock()
		owner.Store(tid)
		defer func() {
			owner.Store(0)
			engine.Unlock()
		}()
		useThreads()
		setGradEnabled(true)
		dropError()
	}
	outer := current
	current = &scope{outer: outer}
	defer func() {
		p := recover()
		for current != outer {
			current.close()
		}
		setGradEnabled(grad)
		if p == nil {
			return
		}
		e, ok := p.(*Error)
		if !ok {
			panic(p)
		}
		err = e
	}()
	return f()
}

// Finally cleans up at the end of a function that [Do] runs, and is deferred itself:
//
//	defer torch.Finally(&err, model.close)
//
// A device that failed often fails in the cleanup again. What went wrong first stays
// the error, in *err or as a panic that goes on, and an *Error of the cleanup is
// dropped beside it; where nothing had gone wrong it is the function's own.
func Finally(err *error, cleanup func()) {
	first := recover()
	defer func() {
		second := recover()
		_, ofTensors := second.(*Error)
		switch {
		case second != nil && (!ofTensors || first == nil && *err == nil):
			panic(second)
		case first != nil:
			panic(first)
		}
	}()
	cleanup()
}

// Scoped runs f in a scope of its own: what f makes is freed when it returns,
// but for tensors that were kept ([Tensor.Keep]) or moved out
// ([Tensor.Escape]). Panics pass through to the boundary, which frees as well.
func Scoped(f func()) {
	if current == nil {
		panic(outside("scoped"))
	}
	current = &scope{outer: current}
	inner := current
	f()
	if current != inner {
		panic(Errorf("scoped", "scopes closed out of order"))
	}
	inner.close()
}

// close frees what the scope still owns and makes its outer scope the current.
func (s *scope) close() {
	for _, t := range s.tensors {
		libtch.AtFree(t.c)
		t.c, t.scope = nil, nil
	}
	s.tensors = nil
	current = s.outer
}

// add makes the scope the owner of t.
func (s *scope) add(t *Tensor) {
	t.scope, t.index = s, len(s.tensors)
	s.tensors = append(s.tensors, t)
}

// remove takes t out, in constant time.
func (s *scope) remove(t *Tensor) {
	last := len(s.tensors) - 1
	moved := s.tensors[last]
	s.tensors[t.index] = moved
	moved.index = t.index
	s.tensors[last] = nil
	s.tensors = s.tensors[:last]
	t.scope = nil
}

// Keep takes t out of its scope: from here on the caller owns it and must call
// Free. It returns t.
func (t *Tensor) Keep() *Tensor {
	t.handle("keep")
	if t.scope != nil {
		t.scope.remove(t)
	}
	return t
}

// Escape moves t from the innermost scope to the one around it, so that it
// outlives the [Scoped] call it was made in. A tensor of an outer scope or a
// kept one stays where it is. It returns t.
func (t *Tensor) Escape() *Tensor {
	t.handle("escape")
	if t.scope != nil && t.scope == current && current.outer != nil {
		t.scope.remove(t)
		current.outer.add(t)
	}
	return t
}

// Free releases t. Freeing twice, or a nil tensor, does nothing. It may be
// called outside [Do] for a tensor that was kept.
func (t *Tensor) Free() {
	if t == nil || t.c == nil {
		return
	}
	if t.scope != nil {
		t.scope.remove(t)
	}
	libtch.AtFree(t.c)
	t.c = nil
}

func outside(op string) *Error {
	return Errorf(op, "tensor operation outside torch.Do")
}
