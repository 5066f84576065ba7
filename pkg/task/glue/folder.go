package glue

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/task"
)

// StandardFolder is the GLUE folder where none is named.
const StandardFolder = "data/glue"

// Find chooses the GLUE folder: configured (the key data.glue), else env (the
// variable GLUE_DIR), else standard. The first that is not empty counts: where
// it is no folder that holds a task, that is an error and nothing else is tried.
func Find(configured, env, standard string) (Folder, error) {
	for _, place := range []struct{ name, dir string }{
		{"data.glue", configured},
		{"GLUE_DIR", env},
	} {
		if place.dir == "" {
			continue
		}
		if problem := inspect(place.dir); problem != "" {
			return "", fmt.Errorf("no GLUE folder: %s is %s, which %s; %s", place.name, place.dir, problem, advice)
		}
		return Folder(place.dir), nil
	}
	if problem := inspect(standard); problem != "" {
		return "", fmt.Errorf("no GLUE folder: data.glue and GLUE_DIR are not set and %s %s; %s", standard, problem, advice)
	}
	return Folder(standard), nil
}

const advice = "bring it with: finetune fetch glue; or set one of them to a folder that holds MRPC/train.tsv and the like, or choose task=sample, which needs none"

// inspect says what keeps dir from being a GLUE folder, or nothing.
func inspect(dir string) string {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "does not exist"
	case err != nil:
		return fmt.Sprintf("cannot be read (%v)", errors.Unwrap(err))
	case !info.IsDir():
		return "is not a folder"
	}
	var folders []string
	for _, t := range task.Tasks() {
		if l, err := layoutOf(t); err == nil {
			folders = append(folders, l.folder)
		}
	}
	if slices.ContainsFunc(folders, func(folder string) bool {
		info, err := os.Stat(filepath.Join(dir, folder))
		return err == nil && info.IsDir()
	}) {
		return ""
	}
	return "has none of the folders " + strings.Join(folders, ", ")
}
