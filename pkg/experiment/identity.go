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
	"golang.org/x/sys/unix"

	"github.com/metatt/metatt/pkg/config"
)

// requestedFile is what was asked of a run, beside config.yaml, which is what the machine
// made of it.
const requestedFile = "requested.yaml"

// identity is equal for runs that are the same.
func identity(c *config.Config) string {
	text, err := c.WithoutNeutral().YAML()
	if err != nil { // of what was loaded: not to be seen
		return fmt.Sprintf("%p", c)
	}
	return string(text)
}

func shortSum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:4])
}

// request makes the run's folder and writes what is asked of it. Where another experiment
// has taken the folder since it was free, the run gets another.
func (r *Run) request() error {
	if err := os.MkdirAll(filepath.Dir(r.Dir), 0o755); err != nil {
		return err
	}
	for {
		err := os.Mkdir(r.Dir, 0o755) // one of two processes gets it
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		if id, err := requested(r.Dir); err == nil && id == r.identity {
			break // and has failed in it
		}
		if err := r.findRoom(); err != nil {
			return err
		}
	}
	asked := *r.Config
	asked.Run.Dir = ""
	text, err := asked.YAML()
	if err != nil {
		return err
	}
	err = renameio.WriteFile(filepath.Join(r.Dir, requestedFile), text, 0o644, renameio.WithTempDir(r.Dir))
	if err != nil {
		_ = os.Remove(r.Dir) // an empty folder would be nobody's: the next time the run gets another
	}
	return err
}

// requested is the identity of what was asked of the run in a folder; "" where nothing
// was, or by a program with other keys.
func requested(dir string) (string, error) {
	path := filepath.Join(dir, requestedFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) { // a file beside the folders
		return "", nil
	}
	c, err := config.LoadSettings([]string{path}, nil, nil)
	if err != nil {
		return "", fmt.Errorf("%w: its run does not count", err)
	}
	return identity(c), nil
}
