package repeat_test

import (
	"fmt"
	"os"
	"testing"
)

// The fixtures are those of the runs.
func TestMain(m *testing.M) {
	if err := os.Chdir("../run"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}
