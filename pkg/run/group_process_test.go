package run_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/metatt/metatt/pkg/parallel"
	"github.com/metatt/metatt/pkg/parallel/paralleltest"
	"github.com/metatt/metatt/pkg/place"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/run/runtest"
	"github.com/metatt/metatt/pkg/train"
)

// The environment of a process of a group: the run directory, the overrides a line each, and
// which process is asked to stop, or is killed, after which step.
const (
	groupRun  = "METATT_TEST_GROUP_RUN"
	groupKeys = "METATT_TEST_GROUP_KEYS"
	groupStop = "METATT_TEST_GROUP_STOP" // RANK STEP
	groupKill = "METATT_TEST_GROUP_KILL" // RANK STEP
	groupKey  = "METATT_TEST_GROUP_KEY"  // RANK KEY=VALUE, of that process alone
)

// of is what a variable says of a process; empty: nothing.
func of(variable string, rank int) string {
	who, what, _ := strings.Cut(os.Getenv(variable), " ")
	if who == strconv.Itoa(rank) {
		return what
	}
	return ""
}

// stepping calls at with each step that was made.
type stepping struct {
	runtest.Silent
	at func(step int)
}

func (s stepping) Step(info train.StepInfo) { s.at(info.Step) }

// trainInGroup is a process of a group that trains, or goes on.
func trainInGroup(dir string) int {
	g, err := paralleltest.Join()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	rank := 0
	if g != nil {
		rank = g.Rank()
	}
	keys := strings.Split(os.Getenv(groupKeys), "\n")
	if own := of(groupKey, rank); own != "" {
		keys = append(keys, own)
	}
	o, err := runtest.TinyIn(dir, keys...)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o.Group, o.Observer = g, stepping{at: func(step int) {
		if strconv.Itoa(step) == of(groupStop, rank) {
			cancel()
		}
		if strconv.Itoa(step) == of(groupKill, rank) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	}}
	resume, err := parallel.Once(g, "whether the run goes on", func() ([]byte, error) {
		_, missing := os.Stat(filepath.Join(dir, place.ConfigFile))
		return fmt.Appendf(nil, "%v", missing == nil), nil
	})
	if err == nil && string(resume) == "true" {
		_, err = run.Resume(ctx, dir, o)
	} else if err == nil {
		_, err = run.Train(ctx, o)
	}
	switch {
	case errors.Is(err, train.ErrInterrupted):
		fmt.Println("saved")
		return 130
	case err != nil:
		fmt.Println(err)
		return 1
	}
	return 0
}

// together trains in a group of that size, and is the exit code and the output of each
// process.
func together(t *testing.T, size int, dir string, keys []string, env ...string) (codes []int, outputs []string) {
	t.Helper()
	commands := paralleltest.Commands(t, size, append(env, groupRun+"="+dir, groupKeys+"="+strings.Join(keys, "\n"))...)
	texts := make([]strings.Builder, size)
	for i, c := range commands {
		c.Stdout, c.Stderr = &texts[i], &texts[i]
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range commands {
		var exit *exec.ExitError
		if err := c.Wait(); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		codes, outputs = append(codes, c.ProcessState.ExitCode()), append(outputs, texts[i].String())
	}
	return codes, outputs
}

// trainTogether is together to the end.
func trainTogether(t *testing.T, size int, dir string, keys []string) {
	t.Helper()
	codes, outputs := together(t, size, dir, keys)
	for rank, code := range codes {
		if code != 0 {
			t.Fatalf("rank %d of %d: exit code %d: %s", rank, size, code, outputs[rank])
		}
	}
}

// sameCurve compares two metrics.jsonl number by number: they are the same within tolerance,
// everything else is the same. It returns the largest relative difference. With a tolerance by
// which an example may fall on another side, steps alone are compared.
func sameCurve(t *testing.T, what, got, want string, tolerance float64) (largest float64) {
	t.Helper()
	a, b := strings.Split(strings.TrimSpace(string(metrics(t, got))), "\n"), strings.Split(strings.TrimSpace(string(metrics(t, want))), "\n")
	if len(a) != len(b) {
		t.Fatalf("%s: %d events, want %d", what, len(a), len(b))
	}
	for i := range a {
		var x, y map[string]any
		if err := errors.Join(json.Unmarshal([]byte(a[i]), &x), json.Unmarshal([]byte(b[i]), &y)); err != nil {
			t.Fatal(err)
		}
		if tolerance > 1e-5 && x["event"] != "step" {
			continue
		}
		if apart := difference(x, y); !(apart <= tolerance) {
			t.Errorf("%s: %.1e apart:\n%s\n%s", what, apart, a[i], b[i])
		} else {
			largest = max(largest, apart)
		}
	}
	return largest
}

// difference is the largest relative one of two JSON values' numbers, those near zero
// compared with 1e-3; 1 where they differ elsewhere.
func difference(x, y any) (largest float64) {
	switch x := x.(type) {
	case float64:
		y, ok := y.(float64)
		if !ok {
			return 1
		}
		return math.Abs(x-y) / max(math.Abs(y), 1e-3)
	case map[string]any:
		y, ok := y.(map[string]any)
		if !ok || len(x) != len(y) {
			return 1
		}
		for key := range x {
			largest = max(largest, difference(x[key], y[key]))
		}
		return largest
	case []any:
		y, ok := y.([]any)
		if !ok || len(x) != len(y) {
			return 1
		}
		for i := range x {
			largest = max(largest, difference(x[i], y[i]))
		}
		return largest
	}
	if x != y {
		return 1
	}
	return 0
}
