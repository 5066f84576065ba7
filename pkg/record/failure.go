package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
)

// FailureFile says in a run directory why the run failed the last time; an experiment
// writes it, and removes it when it tries again.
const FailureFile = "failure.json"

// Failure is failure.json.
type Failure struct {
	Error string    `json:"error"`
	At    time.Time `json:"at"`
}

// WriteFailure writes down in a folder, which it makes where it is not there, why the run
// failed.
func WriteFailure(dir string, err error) error {
	text, marshalled := json.MarshalIndent(Failure{err.Error(), time.Now().UTC()}, "", "  ")
	if marshalled != nil {
		return marshalled
	}
	if made := os.MkdirAll(dir, 0o755); made != nil {
		return made
	}
	return renameio.WriteFile(filepath.Join(dir, FailureFile), append(text, '\n'), 0o644, renameio.WithTempDir(dir))
}

// ReadFailure is why the run in a folder failed; nil: it did not.
func ReadFailure(dir string) (*Failure, error) {
	path := filepath.Join(dir, FailureFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var f Failure
	if err == nil {
		err = json.Unmarshal(text, &f)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &f, nil
}
