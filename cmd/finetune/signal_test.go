package main

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/train"
)

// As the tested program, the test binary trains for ever: with "saving", until it is asked to stop, which takes
// a moment; with "hanging", without listening.
func TestMain(m *testing.M) {
	behaviour, ok := os.LookupEnv("FINETUNE_TEST_PROCESS")
	if !ok {
		os.Exit(m.Run())
	}
	os.Exit(execute(backend{train: func(ctx context.Context, o run.Options) (*run.Summary, error) {
		s := script(o.Observer)
		<-ctx.Done()
		if behaviour == "hanging" {
			select {}
		}
		time.Sleep(50 * time.Millisecond)
		return s, train.ErrInterrupted
	}}))
}

func TestSignals(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.yaml")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		behaviour string
		signal    syscall.Signal
		twice     bool
	}{{"saving", syscall.SIGINT, false}, {"saving", syscall.SIGTERM, false}, {"hanging", syscall.SIGINT, true}, {"hanging", syscall.SIGTERM, true}} {
		process := exec.Command(os.Args[0], "train", "-c", path)
		process.Env = append(os.Environ(), "FINETUNE_TEST_PROCESS="+test.behaviour)
		stderr, err := process.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := process.Start(); err != nil {
			t.Fatal(err)
		}
		watchdog := time.AfterFunc(30*time.Second, func() { _ = process.Process.Kill() })
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			line := lines.Text()
			if strings.HasPrefix(line, "step 6/6") {
				_ = process.Process.Signal(test.signal)
			}
			if strings.HasPrefix(line, "stopping") {
				_ = process.Process.Signal(test.signal) // the same stop, which came twice
				if test.twice {
					time.Sleep(together + 100*time.Millisecond)
					_ = process.Process.Signal(test.signal)
				}
			}
		}
		_ = process.Wait()
		watchdog.Stop()
		if code := process.ProcessState.ExitCode(); code != 130 {
			t.Errorf("%s, %v: %v", test.behaviour, test.signal, process.ProcessState)
		}
	}
}
