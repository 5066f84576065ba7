// Command finetune trains tensor adapters on BERT and RoBERTa from a YAML configuration.
//
// It exits with 0 when done, 2 for wrong usage or a wrong configuration, 1 for any other failure, and 130 when it
// was interrupted and what it had is saved.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

func main() { os.Exit(execute(wired())) }

// together are signals that come within so much time: one stop, that Slurm, timeout or a terminal sends to a script and
// to all that it started, and the script passes on.
const together = 500 * time.Millisecond

// execute runs the process's command line. The first signal asks the command to save and leave, a second one ends
// the process at once.
func execute(b backend) int {
	runtime.LockOSThread() // what computes stays on one: each would have threads and memory of its own
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		for first := time.Now(); ; {
			<-signals
			if time.Since(first) > together {
				os.Exit(exitInterrupted)
			}
		}
	}()
	p := &program{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, env: os.LookupEnv, columns: columns, backend: b}
	return p.run(ctx, os.Args[1:])
}
