package hf

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/metatt/metatt/pkg/fileformat"
)

// Home is the folder for what can be brought or made again: $METATT_HOME, by
// default metatt in the user's cache folder.
func Home() string {
	return cmp.Or(os.Getenv("METATT_HOME"), filepath.Join(userCache(), "metatt"))
}

// modelsDir is where Fetch puts models.
func modelsDir() string { return filepath.Join(Home(), "models") }

// hubCache is the folder that huggingface_hub keeps models in.
func hubCache() string {
	home := cmp.Or(os.Getenv("HF_HOME"), filepath.Join(userCache(), "huggingface"))
	return cmp.Or(os.Getenv("HF_HUB_CACHE"), filepath.Join(home, "hub"))
}

func userCache() string {
	return cmp.Or(os.Getenv("XDG_CACHE_HOME"), filepath.Join(os.Getenv("HOME"), ".cache"))
}

// hubName is org/name or the bare name of the oldest models, then @revision.
var hubName = regexp.MustCompile(`^([\w-][\w.-]*(?:/[\w-][\w.-]*)?)(?:@([\w.-]+(?:/[\w.-]+)*))?$`)

// parseHubName splits org/name@revision; the revision is "main" by default.
func parseHubName(ref string) (repo, revision string, ok bool) {
	match := hubName.FindStringSubmatch(ref)
	if match == nil {
		return "", "", false
	}
	repo, revision = match[1], cmp.Or(match[2], "main")
	return repo, revision, filepath.IsLocal(revision)
}

// snapshotDir is the cached folder of a model at a revision, which is a commit
// or a name that the cache has resolved to one:
//
//	models--org--name/refs/<revision>        the commit
//	models--org--name/snapshots/<commit>/    the files, as links into
//	models--org--name/blobs/                 under their checksums
func snapshotDir(repo, revision string) (string, error) {
	model := filepath.Join(hubCache(), repoFolder(repo))
	commit, ref := revision, filepath.Join(model, "refs", revision)
	text, err := readSmall(ref, 1<<10)
	if err == nil {
		commit = strings.TrimSpace(string(text))
		if commit != filepath.Base(commit) || !filepath.IsLocal(commit) {
			return "", &fileformat.Error{Path: ref, Problem: "does not hold a commit"}
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	dir := filepath.Join(model, "snapshots", commit)
	if !isDir(dir) {
		return "", &fs.PathError{Op: "open", Path: dir, Err: fs.ErrNotExist}
	}
	return dir, nil
}

// repoFolder is the folder of a model in the cache.
func repoFolder(repo string) string { return "models--" + strings.ReplaceAll(repo, "/", "--") }

func isDir(path string) bool {
	stat, err := os.Stat(path)
	return err == nil && stat.IsDir()
}
