package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The program starts itself again before libgomp reads how long its threads spin,
// as the same process, with the same arguments, name and exit code. What the user
// has set stands.
func TestThreadsSpinBriefly(t *testing.T) {
	const asked = "FINETUNE_TEST_SPIN"
	if os.Getenv(asked) != "" {
		name, _ := os.ReadFile("/proc/self/comm")
		fmt.Printf("process %d name %s args %s\n", os.Getpid(), strings.TrimSpace(string(name)), os.Args[1])
		os.Exit(7)
	}
	var plain []string
	for _, setting := range os.Environ() {
		if !strings.HasPrefix(setting, "GOMP_SPINCOUNT=") && !strings.HasPrefix(setting, "OMP_WAIT_POLICY=") {
			plain = append(plain, setting)
		}
	}
	const byDefault = "GOMP_SPINCOUNT = '5000'"
	for setting, want := range map[string]string{
		"":                        byDefault,
		"GOMP_SPINCOUNTS=3":       byDefault,
		"GOMP_SPINCOUNT=77":       "GOMP_SPINCOUNT = '77'",
		"OMP_WAIT_POLICY=passive": "OMP_WAIT_POLICY = 'PASSIVE'",
		"OMP_WAIT_POLICY=active":  "OMP_WAIT_POLICY = 'ACTIVE'",
	} {
		child := exec.Command(os.Args[0], "-test.run=^TestThreadsSpinBriefly$")
		child.Env = append([]string{asked + "=1", "OMP_DISPLAY_ENV=verbose"}, plain...)
		if setting != "" {
			child.Env = append(child.Env, setting)
		}
		var stdout, stderr strings.Builder
		child.Stdout, child.Stderr = &stdout, &stderr
		err := child.Run()
		name := filepath.Base(os.Args[0])
		line := fmt.Sprintf("process %d name %.15s args -test.run=^TestThreadsSpinBriefly$\n", child.Process.Pid, name)
		if child.ProcessState.ExitCode() != 7 || stdout.String() != line {
			t.Errorf("%q: %v, %q, want %q", setting, err, stdout.String(), line)
		}
		// libgomp itself tells what it has read, once.
		if told := stderr.String(); strings.Count(told, want) != 1 || strings.Count(told, "GOMP_SPINCOUNT") != 1 ||
			want != byDefault && strings.Contains(told, byDefault) {
			t.Errorf("%q: libgomp has %s, want %s", setting, told, want)
		}
	}
}
