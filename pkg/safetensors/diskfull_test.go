package safetensors

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A limit on the size of files fails a write half-way as a full disk does,
// with EFBIG for ENOSPC, on any machine and for any user.
func TestWriteOnAFullDiskKeepsTheOldFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "adapter_model.safetensors")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	limit := before
	limit.Cur = 4096
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	err := Write(path, []Tensor{{"w", U8, []int64{1 << 20}, make([]byte, 1<<20)}}, nil)
	if restore := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); restore != nil {
		t.Fatal(restore)
	}
	if !errors.Is(err, syscall.EFBIG) || err.Error() != "write "+path+": file too large" {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	if old, _ := os.ReadFile(path); string(old) != "old" {
		t.Errorf("the old file is now %q", old)
	}
}

func TestWriteNamesThePathItCannotReach(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none", "a.safetensors")
	err := Write(path, nil, nil)
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path+": ") {
		t.Errorf("got %v", err)
	}
}
