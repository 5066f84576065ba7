package experiment

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/metatt/metatt/pkg/config"
)

// requestedFile is what was asked of a run, beside config.yaml, which is what the machine
// made of it.
const requestedFile = "requested.yaml"

// neutral is a configuration without what changes nothing of a run's numbers: where it
// goes, how often its state is saved, how many threads compute it, where GLUE is.
func neutral(c *config.Config) *config.Config {
	n := *c
	n.Run, n.Threads, n.Data.GLUE, n.Data.Cache = config.Run{}, 0, "", false
	n.Train.CheckpointEvery, n.Train.KeepCheckpoints = config.Interval{}, 0
	return &n
}

// identity is equal for runs that are the same.
func identity(c *config.Config) string {
	text, err := neutral(c).YAML()
	if err != nil { // of what was loaded: not to be seen
		return fmt.Sprintf("%p", c)
	}
	return string(text)
}

func shortSum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:4])
}

// request makes the run's folder and writes what is asked of it.
func (r *Run) request() error {
	if err := os.MkdirAll(r.Dir, 0o755); err != nil {
		return err
	}
	asked := *r.Config
	asked.Run.Dir = ""
	text, err := asked.YAML()
	if err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(r.Dir, requestedFile), text, 0o644, renameio.WithTempDir(r.Dir))
}

// requested is the identity of what was asked of the run in a folder; "" where nothing
// was, or by a program with other keys.
func requested(dir string) (string, error) {
	path := filepath.Join(dir, requestedFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	c, err := config.LoadSettings([]string{path}, nil, nil)
	if err != nil {
		return "", fmt.Errorf("%w: its run does not count", err)
	}
	return identity(c), nil
}
