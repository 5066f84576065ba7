package record_test

import (
	"os"
	"testing"

	"github.com/metatt/metatt/pkg/run/runtest"
)

func TestMain(m *testing.M) { os.Exit(runtest.Main(m)) }
