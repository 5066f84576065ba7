package experiment

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"

	"github.com/metatt/metatt/pkg/train"
)

// Processes makes the runs in several processes at once, each of which is made by command
// and calls [Plan.Execute] with [Tell]. Their events come to observe, one at a time.
// Cancelling ctx lets all save what they have.
func Processes(ctx context.Context, commands []*exec.Cmd, observe func(Event)) error {
	var wait sync.WaitGroup
	var told sync.Mutex
	results := make([]error, len(commands))
	for i, cmd := range commands {
		// Ctrl-C at the terminal is this process's to pass on: a second signal would end them
		// at once.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			results[i] = err
			break
		}
		stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
		wait.Go(func() {
			defer stop()
			heard := hear(out, func(e Event) {
				told.Lock()
				defer told.Unlock()
				observe(e)
			})
			results[i] = errors.Join(ended(cmd.Wait()), heard)
		})
	}
	wait.Wait()
	if ctx.Err() != nil {
		return train.ErrInterrupted
	}
	return errors.Join(results...)
}

func ended(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("a process of the experiment ended early: %w; the same command goes on", exit)
	}
	return err
}

// hear reads events, a line each, to the end: who is not heard waits. What is no event is an
// error, the first such.
func hear(r io.Reader, observe func(Event)) (wrong error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e Event
		err := json.Unmarshal(lines.Bytes(), &e)
		if err == nil {
			observe(e)
		} else if wrong == nil {
			wrong = fmt.Errorf("a process of the experiment says %.80q: %w", lines.Text(), err)
		}
	}
	_, err := io.Copy(io.Discard, r) // of a line that is too long
	return cmp.Or(wrong, lines.Err(), err)
}

// Tell writes events as [Processes] reads them.
func Tell(w io.Writer) func(Event) {
	encoder := json.NewEncoder(w)
	return func(e Event) { _ = encoder.Encode(e) } // where nobody hears, SIGPIPE ends the process
}
