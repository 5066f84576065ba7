package own

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Files are those that a path names: itself, or where it is a pattern, as
// train-*.parquet of a data set in parts, what matches it, in the order of the names. A
// file whose name looks like a pattern is itself.
func Files(path string) ([]string, error) {
	if !IsPattern(path) {
		return []string{path}, nil
	}
	names, err := filepath.Glob(path) // sorted
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: no file matches", path)
	}
	return names, nil
}

// IsPattern: the path is no file, and has what stands for several.
func IsPattern(path string) bool {
	_, err := os.Stat(path)
	return err != nil && strings.ContainsAny(path, "*?[")
}
