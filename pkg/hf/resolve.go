package hf

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/fileformat"
	"github.com/metatt/metatt/pkg/spelling"
)

// NotFoundError reports a model that none of the places holds.
type NotFoundError struct {
	Ref    string
	Looked []string
	Hint   string
}

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("model %q not found (looked at %s): %s", e.Ref, strings.Join(e.Looked, ", "), e.Hint)
}

// Resolve turns a reference to a model into its folder: a folder, the name of a
// model that [Fetch] has brought, or org/name[@revision] in the Hugging Face
// cache, in this order; of a model that Fetch knows by another name, what it has
// brought. It never downloads; what is nowhere is a
// [*NotFoundError].
func Resolve(ref string) (dir string, err error) {
	_, known := knownModels[ref]
	stat, err := os.Stat(ref)
	switch {
	case err == nil && stat.IsDir():
		if _, err := os.Stat(filepath.Join(ref, configFile)); err == nil || !errors.Is(err, fs.ErrNotExist) {
			return ref, nil
		}
		if !known { // a folder that happens to have a known model's name is passed over
			return "", &fileformat.Error{Path: ref, Problem: "holds no " + configFile + ", want a model's folder"}
		}
	case err == nil:
		return "", &fileformat.Error{Path: ref, Problem: "is a file, want a model's folder"}
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	notFound := &NotFoundError{Ref: ref, Looked: []string{ref}}
	if known {
		if dir := filepath.Join(modelsDir(), ref); isDir(dir) {
			return dir, nil
		}
		notFound.Looked = append(notFound.Looked, filepath.Join(modelsDir(), ref))
		notFound.Hint = "bring it with: finetune fetch " + ref
		return "", notFound
	}
	repo, revision, ok := parseHubName(ref)
	if !ok {
		notFound.Hint = "no such folder"
		return "", notFound
	}
	if name, known := knownOf(repo); known && !strings.Contains(ref, "@") { // by both names it is one model
		if dir := filepath.Join(modelsDir(), name); isDir(dir) {
			return dir, nil
		}
	}
	dir, err = snapshotDir(repo, revision)
	if missing := (*fs.PathError)(nil); errors.As(err, &missing) && errors.Is(err, fs.ErrNotExist) {
		notFound.Looked = append(notFound.Looked, missing.Path)
		notFound.Hint = "bring it with: finetune fetch " + ref
		if near := spelling.Nearest(ref, slices.Sorted(maps.Keys(knownModels))); near != "" {
			notFound.Hint = fmt.Sprintf("did you mean %q?", near)
		}
		return "", notFound
	}
	return dir, err
}
