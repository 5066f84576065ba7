package train

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/safetensors"
)

// A run's checkpoints stand in this folder, one folder each, named after the
// step. Such a folder is an adapter folder with the optimizer's state and
// state.json beside it; it appears under its name only when it is whole.
const (
	checkpointsFolder = "checkpoints"
	stateFile         = "state.json"
	optimizerFile     = "optimizer.safetensors"
	checkpointPrefix  = "step-"
)

// Checkpoint is a saved state of a run.
type Checkpoint struct {
	Dir   string // an adapter folder too
	state state
}

// CheckpointError is what is wrong with the checkpoint that a run is to go on from.
type CheckpointError struct{ Err error }

func (e *CheckpointError) Error() string { return e.Err.Error() }

// Unwrap is the cause.
func (e *CheckpointError) Unwrap() error { return e.Err }

// NewestCheckpoint is the name of a run directory's newest checkpoint, whole or damaged; "" where there is none.
func NewestCheckpoint(dir string) (string, error) {
	names, err := checkpointNames(dir)
	if err != nil || len(names) == 0 {
		return "", err
	}
	return names[len(names)-1], nil
}

// LatestCheckpoint is the newest checkpoint of a run directory; nil where there
// is none. One that is damaged is a [*CheckpointError].
func LatestCheckpoint(dir string) (*Checkpoint, error) {
	name, err := NewestCheckpoint(dir)
	if err != nil || name == "" {
		return nil, err
	}
	return readCheckpoint(dir, name)
}

// PreviousCheckpoint is the newest checkpoint that can be read of those before
// the newest; nil where there is none.
func PreviousCheckpoint(dir string) (*Checkpoint, error) {
	names, err := checkpointNames(dir)
	if err != nil {
		return nil, err
	}
	for i := len(names) - 2; i >= 0; i-- {
		if c, err := readCheckpoint(dir, names[i]); err == nil {
			return c, nil
		}
	}
	return nil, nil
}

// readCheckpoint reads the state, and looks whether the tensors are all there.
func readCheckpoint(dir, name string) (*Checkpoint, error) {
	c := &Checkpoint{Dir: filepath.Join(dir, checkpointsFolder, name)}
	var err error
	if c.state, err = readState(c.Dir); err != nil {
		return nil, &CheckpointError{err}
	}
	saved, err := adapter.Read(c.Dir)
	if err != nil {
		return nil, &CheckpointError{err}
	}
	defer saved.Close()
	moments, err := safetensors.Open(filepath.Join(c.Dir, optimizerFile))
	if err != nil {
		return nil, &CheckpointError{err}
	}
	return c, moments.Close()
}

// checkpointNames lists whole checkpoints, oldest first: steps are written
// with a fixed number of digits.
func checkpointNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(dir, checkpointsFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), checkpointPrefix) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

func checkpointName(step int) string { return fmt.Sprintf("%s%08d", checkpointPrefix, step) }
