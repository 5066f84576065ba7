package run

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// checkNew is an error where something stands at dir: for those who have much to
// do before [makeFolder].
func checkNew(dir string) error {
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s exists already: choose another folder", dir)
	}
	return nil
}

// makeFolder makes dir of what fill writes into a folder beside it; dir appears
// when that is whole, and on an error nothing is left.
func makeFolder(dir string, fill func(partial string) error) error {
	parent := filepath.Dir(filepath.Clean(dir))
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	partial, err := os.MkdirTemp(parent, ".partial-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(partial) // nothing is left of it after the rename
	if err := os.Chmod(partial, 0o755); err != nil {
		return err
	}
	if err := fill(partial); err != nil {
		return err
	}
	return os.Rename(partial, dir)
}
