package hf

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Files lists, by name, the files of a model's folder that decide what is read from it: config.json, those of the
// tokenizer, and the weights as [OpenCheckpoint] finds them.
func Files(dir string) (names []string, err error) {
	there := func(name string) bool {
		_, statErr := os.Stat(filepath.Join(dir, name))
		if statErr != nil && !errors.Is(statErr, fs.ErrNotExist) {
			err = statErr
		}
		return statErr == nil
	}
	for _, name := range append([]string{configFile}, tokenizerFiles...) {
		if there(name) {
			names = append(names, name)
		}
	}
	for _, format := range formats {
		if there(format.file) {
			return append(names, format.file), err
		}
		name := format.file + indexSuffix
		index, indexErr := readIndex(filepath.Join(dir, name))
		if indexErr == nil {
			return append(append(names, name), index.shards()...), err
		}
		if !errors.Is(indexErr, fs.ErrNotExist) {
			return nil, indexErr
		}
	}
	return names, err
}
