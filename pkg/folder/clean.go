package folder

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Clean removes from dir, if it is there, what a killed process has left of
// [Make], [Replace] and [Remove], and the temporary forms of files of those names
// (.NAME and digits, as renameio calls them); what Replace had set aside goes back.
// Nobody else may be at work there.
func Clean(dir string, names ...string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if name, former := strings.CutPrefix(e.Name(), formerPrefix); former {
			if _, err := os.Lstat(filepath.Join(dir, name)); errors.Is(err, fs.ErrNotExist) {
				if err := os.Rename(path, filepath.Join(dir, name)); err != nil {
					return err
				}
				continue
			}
		} else if !strings.HasPrefix(e.Name(), partialPrefix) && !temporary(e, names) {
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}

func temporary(e fs.DirEntry, names []string) bool {
	bare := strings.TrimRight(e.Name(), "0123456789")
	return e.Type().IsRegular() && bare != e.Name() &&
		slices.ContainsFunc(names, func(name string) bool { return bare == "."+name })
}
