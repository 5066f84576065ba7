package experiment

import (
	"context"
	"fmt"
	"os"
	"testing"
)

// executed names the experiment's file of a process that a test kills.
const executed = "METATT_TEST_EXPERIMENT"

// The fixtures are those of the runs.
func TestMain(m *testing.M) {
	if err := os.Chdir("../run"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if file := os.Getenv(executed); file != "" {
		os.Exit(executeApart(file))
	}
	os.Exit(m.Run())
}

// executeApart is a process of an experiment.
func executeApart(file string) int {
	e, err := Read(file, nil)
	if err == nil {
		var p *Plan
		if p, err = e.Plan(); err == nil {
			err = p.Execute(context.Background(), Options{Observe: Tell(os.Stdout)})
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
