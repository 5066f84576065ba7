package record

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFailure(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	if f, err := ReadFailure(dir); f != nil || err != nil {
		t.Error(f, err)
	}
	if err := WriteFailure(dir, errors.New("no room\nleft")); err != nil {
		t.Fatal(err)
	}
	if f, err := ReadFailure(dir); err != nil || f.Error != "no room\nleft" || f.At.IsZero() {
		t.Error(f, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if r, err := Read(dir); err != nil || r.State != Unfinished || r.Failure == nil {
		t.Error(r, err)
	}
	if err := os.WriteFile(filepath.Join(dir, FailureFile), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), FailureFile) {
		t.Error(err)
	}
}
