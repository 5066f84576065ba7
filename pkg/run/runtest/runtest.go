// Package runtest is what tests of runs, and of what is made of them, share. Its
// files are those of pkg/run/testdata: a test elsewhere goes to pkg/run first.
package runtest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/predict"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/task/glue"
	"github.com/metatt/metatt/pkg/train"
)

// Silent is [train.Silent].
type Silent = train.Silent

// Main runs a package's tests in the folder of pkg/run, whose fixtures they share, and
// returns the exit code.
func Main(m *testing.M) int {
	if err := os.Chdir("../run"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// TinyIn asks for a run on the committed fixtures, in dir.
func TinyIn(dir string, overrides ...string) (run.Options, error) {
	c, err := config.Load([]string{"testdata/tiny.yaml"}, append([]string{"run.dir=" + dir}, overrides...), nil)
	return run.Options{Config: c, Version: "test", Observer: Silent{}}, err
}

// Tiny is [TinyIn] a folder that does not exist yet.
func Tiny(t testing.TB, overrides ...string) run.Options {
	t.Helper()
	o, err := TinyIn(filepath.Join(t.TempDir(), "run"), overrides...)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// Files writes files into a new folder and returns it.
func Files(t testing.TB, content map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// MRPCDev is MRPC's dev set in miniature.
func MRPCDev(t testing.TB) []task.Example {
	t.Helper()
	mrpc, err := task.Lookup("mrpc")
	if err != nil {
		t.Fatal(err)
	}
	examples, err := glue.Folder("testdata/glue").Read(mrpc, task.Dev, nil)
	if err != nil {
		t.Fatal(err)
	}
	return examples
}

// Logits are a saved adapter's, end to end.
func Logits(t testing.TB, dir string, o predict.Options, examples []task.Example) []float32 {
	t.Helper()
	p, err := predict.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	rows, err := p.Logits(t.Context(), examples)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Concat(rows...)
}
