package run_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/run/runtest"
)

// fullDisk names the run directory in the environment of the process that runs
// out of room.
const fullDisk = "METATT_TEST_FULL_DISK"

// TestMain is also the processes that tests start of themselves. A file-size limit stands for a full disk: writing fails half-way, for any
// user, on any file system.
func TestMain(m *testing.M) {
	if dir := os.Getenv(fullDisk); dir != "" {
		os.Exit(trainWithoutRoom(dir))
	}
	if name := os.Getenv(stepMemory); name != "" {
		os.Exit(printStepMemory(name))
	}
	if dir := os.Getenv(killedRun); dir != "" {
		os.Exit(trainToBeKilled(dir))
	}
	if dir := os.Getenv(groupRun); dir != "" {
		os.Exit(trainInGroup(dir))
	}
	os.Exit(m.Run())
}

func trainWithoutRoom(dir string) int {
	signal.Ignore(syscall.SIGXFSZ)
	const room = 2000 // enough for metrics.jsonl and the config, not for the moments
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: room, Max: room}); err != nil {
		return 3
	}
	o, err := runtest.TinyIn(dir, "train.checkpoint_every=5")
	if err == nil {
		_, err = run.Train(context.Background(), o)
	}
	if err == nil {
		return 0
	}
	os.Stdout.WriteString(err.Error() + "\n")
	return 1
}

func TestFullDiskWhileSaving(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), fullDisk+"="+dir)
	out, err := child.Output()
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	lines := bufio.NewScanner(strings.NewReader(string(out)))
	lines.Scan()
	if text := lines.Text(); !strings.Contains(text, ".safetensors") || !strings.Contains(text, "file too large") || lines.Scan() {
		t.Errorf("error %q is not one line that names the file and the cause", out)
	}
	left, _ := filepath.Glob(filepath.Join(dir, "checkpoints", "*"))
	hidden, _ := filepath.Glob(filepath.Join(dir, "checkpoints", ".*"))
	if len(left)+len(hidden) > 0 {
		t.Errorf("half a checkpoint was left: %v %v", left, hidden)
	}
}
