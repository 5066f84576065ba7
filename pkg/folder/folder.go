// Package folder makes and replaces folders at once: a reader, and whoever comes
// after a crash, finds the former or the new one whole, and nothing in between.
package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// What stands beside folders while they are made has these prefixes.
const (
	partialPrefix = ".partial-" // on its way to its name, or from it
	formerPrefix  = ".former-"  // goes back to its name if nothing is there
)

// CheckNew is an error where something stands at dir: for those who have much to
// do before [Make].
func CheckNew(dir string) error {
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s exists already: choose another folder", dir)
	}
	return nil
}

// Make makes dir, and the folders above it, of what fill writes into a folder
// beside it; dir appears when that is on disk, and on an error nothing is left.
// Where something stands at dir, that is the error.
func Make(dir string, fill func(partial string) error) error {
	return build(dir, fill, func(partial string) error {
		if err := CheckNew(dir); err != nil {
			return err
		}
		return os.Rename(partial, dir)
	})
}

// Replace is Make where a folder may stand at dir: the new one takes its place at
// once, with nothing of the former in it.
func Replace(dir string, fill func(partial string) error) error {
	return build(dir, fill, func(partial string) error { return exchange(partial, dir) })
}

func build(dir string, fill, place func(partial string) error) error {
	parent := filepath.Dir(filepath.Clean(dir))
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	partial, err := os.MkdirTemp(parent, partialPrefix)
	if err != nil {
		return err
	}
	defer os.RemoveAll(partial) // then the former folder, or nothing
	if err := os.Chmod(partial, 0o755); err != nil {
		return err
	}
	if err := fill(partial); err != nil {
		return err
	}
	if err := syncTree(partial); err != nil {
		return err
	}
	if err := place(partial); err != nil {
		return err
	}
	return sync(parent)
}

// renameat2 is replaced in a test, by a file system without exchanges.
var renameat2 = unix.Renameat2

// exchange puts partial at dir and what was there, if anything, at partial.
func exchange(partial, dir string) error {
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return os.Rename(partial, dir)
	}
	err := renameat2(unix.AT_FDCWD, partial, unix.AT_FDCWD, dir, unix.RENAME_EXCHANGE)
	switch {
	case err == nil:
		return nil
	case !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.ENOTSUP):
		return &os.LinkError{Op: "exchange", Old: partial, New: dir, Err: err}
	}
	// There is a moment without dir: what was there has a name to find it by.
	former := filepath.Join(filepath.Dir(dir), formerPrefix+filepath.Base(dir))
	if err := os.RemoveAll(former); err != nil {
		return err
	}
	if err := os.Rename(dir, former); err != nil {
		return err
	}
	if err := os.Rename(partial, dir); err != nil {
		return errors.Join(err, os.Rename(former, dir))
	}
	return os.Rename(former, partial)
}

// Remove removes dir, if it is there: at once from its name, so that a crash leaves
// no half of it there.
func Remove(dir string) error {
	partial, err := os.MkdirTemp(filepath.Dir(filepath.Clean(dir)), partialPrefix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer os.RemoveAll(partial)
	if err := os.Rename(dir, filepath.Join(partial, filepath.Base(dir))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(partial)
}

// Link makes dst, in the place of what stands there, a folder with the files of src, a flat
// folder of files that are replaced and never changed: they have one place on disk
// where the file system can do that, else they are copied.
func Link(src, dst string) error {
	return Replace(dst, func(partial string) error {
		entries, err := os.ReadDir(src)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := os.Link(filepath.Join(src, e.Name()), filepath.Join(partial, e.Name())); err != nil {
				return errors.Join(os.RemoveAll(partial), os.CopyFS(partial, os.DirFS(src)))
			}
		}
		return nil
	})
}

// syncTree puts a folder and all that is in it on disk.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() && !e.Type().IsRegular() {
			return err
		}
		return sync(path)
	})
}

func sync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
