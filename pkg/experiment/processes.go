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
	"os/signal"
	"sync"
	"syscall"

	"github.com/metatt/metatt/pkg/train"
)

// Processes makes the runs in several processes at once, each of which is made by command
// and calls [Plan.Execute] with [Tell]. Their events come to observe, one at a time.
// Cancelling ctx lets all save what they have, and so does the end of this process: they listen
// by [Leash].
func Processes(ctx context.Context, commands []*exec.Cmd, observe func(Event)) error {
	var wait sync.WaitGroup
	var told sync.Mutex
	results := make([]error, len(commands))
	for i, cmd := range commands {
		// Ctrl-C at the terminal is this process's to pass on, and not by a signal: where Slurm
		// or systemd has sent one to all, a second would end them at once.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		leash, err := cmd.StdinPipe()
		var out io.Reader
		if err == nil {
			out, err = cmd.StdoutPipe()
		}
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			results[i] = err
			break
		}
		stop := context.AfterFunc(ctx, func() { _ = leash.Close() })
		wait.Go(func() {
			defer stop()
			tell := func(e Event) {
				told.Lock()
				defer told.Unlock()
				observe(e)
			}
			heard := hear(out, tell)
			results[i] = errors.Join(ended(cmd.Wait()), heard)
			if results[i] != nil && ctx.Err() == nil {
				tell(Event{Kind: Note, Text: results[i].Error()}) // the others go on, for hours
			}
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

// Tell writes events as [Processes] reads them. Where nobody hears, the run goes on to what
// [Leash] says.
func Tell(w io.Writer) func(Event) {
	signal.Ignore(syscall.SIGPIPE)
	encoder := json.NewEncoder(w)
	return func(e Event) { _ = encoder.Encode(e) }
}

// Leash is cancelled when r, the standard input that [Processes] has given this process, ends.
func Leash(ctx context.Context, r io.Reader) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, r)
		cancel()
	}()
	return ctx, cancel
}
