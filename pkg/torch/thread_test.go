package torch_test

import (
	"runtime"
	"testing"

	"github.com/sugarme/gotch/libtch"

	"github.com/metatt/metatt/pkg/torch"
)

// onThread runs f on an OS thread of its own, which stays locked for the steps
// that follow.
func onThread(t *testing.T) (do func(f func())) {
	work, done := make(chan func()), make(chan struct{})
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		for f := range work {
			f()
			done <- struct{}{}
		}
	}()
	t.Cleanup(func() { close(work) })
	return func(f func()) { work <- f; <-done }
}

func inDo(t *testing.T, f func()) {
	t.Helper()
	if err := torch.Do(func() error { f(); return nil }); err != nil {
		t.Error(err)
	}
}

// The number of threads is every thread's that computes from then on, whichever
// goroutine has set it, also where the thread had another.
func TestThreadsReachEveryThread(t *testing.T) {
	first, second := onThread(t), onThread(t)
	for _, thread := range []func(func()){first, second} {
		thread(func() { torch.Threads() }) // libtorch settles a thread's number when it is first asked for
	}
	own := torch.DefaultThreads() // a thread that another test computed on may still have that test's number
	set := func(n int) {
		t.Helper()
		if err := torch.SetThreads(n); err != nil {
			t.Fatal(err)
		}
	}
	defer set(0)
	for _, n := range []int{own + 1, 1, own + 2} {
		second(func() { set(n) })
		fresh := onThread(t)
		for i, thread := range []func(func()){first, second, fresh} {
			thread(func() {
				inDo(t, func() {
					if got := torch.Threads(); got != n {
						t.Errorf("thread %d computes with %d threads, %d were set", i, got, n)
					}
				})
			})
		}
		if got := torch.ReadEnvironment().Threads; got != n {
			t.Errorf("the environment has %d threads, %d were set", got, n)
		}
	}
	set(0)
	for _, thread := range []func(func()){first, second, onThread(t)} {
		thread(func() {
			inDo(t, func() {
				if got := torch.Threads(); got != own {
					t.Errorf("%d threads by libtorch's choice, which was %d", got, own)
				}
			})
		})
	}
	for _, n := range []int{-1, 1 << 20} {
		if torch.SetThreads(n) == nil {
			t.Errorf("%d threads were taken", n)
		}
	}
}

// What another binding left behind on a thread is none of a computation's.
func TestDoStartsFromAKnownState(t *testing.T) {
	onThread(t)(func() {
		libtch.AtGradSetEnabled(0)
		var slot libtch.Ctensor
		libtch.AtgEmpty(&slot, []int64{-1}, 1, int32(torch.Float32), int32(torch.CPU)) // fails
		inDo(t, func() {
			if !torch.GradEnabled() {
				t.Error("grad mode is off")
			}
			x := torch.FromSlice([]float32{1})
			if !x.Add(x).Equal(torch.FromSlice([]float32{2})) {
				t.Error("1 + 1 is not 2")
			}
			torch.NoGrad(func() {
				inDo(t, func() {
					if torch.GradEnabled() {
						t.Error("a nested computation records")
					}
				})
			})
		})
		if torch.GradEnabled() {
			t.Error("grad mode of the thread is not what it was")
		}
	})
}
