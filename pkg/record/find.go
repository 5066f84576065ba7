package record

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/place"
)

// Find lists the run directories at or below the paths, sorted, each once. What is
// hidden, and what is inside a run directory, is not looked into; a link counts where
// it leads to a run directory. A path with no run is an error.
func Find(paths ...string) ([]string, error) {
	found := map[string]string{} // by the place on disk
	for _, path := range paths {
		before := len(found)
		repeated := false
		err := find(filepath.Clean(path), func(dir string) error {
			where, err := filepath.EvalSymlinks(dir)
			if err != nil {
				return err
			}
			if where, err = filepath.Abs(where); err != nil {
				return err
			}
			if _, known := found[where]; known {
				repeated = true
				return nil
			}
			found[where] = dir
			return nil
		})
		if err != nil {
			return nil, err
		}
		if len(found) == before && !repeated {
			return nil, fmt.Errorf("%s: no run directory is there: one has a %s", path, place.ConfigFile)
		}
	}
	var dirs []string
	for _, dir := range found {
		dirs = append(dirs, dir)
	}
	slices.Sort(dirs)
	return dirs, nil
}

func find(dir string, take func(dir string) error) error {
	if place.IsRun(dir) {
		return take(dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."):
		case e.IsDir():
			err = find(path, take)
		case e.Type()&os.ModeSymlink != 0 && place.IsRun(path):
			err = take(path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
