package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/folder"
	"github.com/metatt/metatt/pkg/optim"
	"github.com/metatt/metatt/pkg/safetensors"
	"github.com/metatt/metatt/pkg/task"
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

// state is what a run goes on from, beside tensors. Builds before the fields of
// Last to PeakBytes wrote none of them: of such a run they count from here on.
type state struct {
	Step         int          `json:"step"`      // updates done
	Evaluated    bool         `json:"evaluated"` // the evaluation due after Step is done
	MetricsBytes int64        `json:"metrics_bytes"`
	TimingsBytes int64        `json:"timings_bytes"`
	Seconds      float64      `json:"seconds"` // of the run so far
	Best         *Best        `json:"best,omitempty"`
	Last         task.Metrics `json:"last,omitempty"` // of the last evaluation with these ranks
	Trained      lap          `json:"trained"`        // so far
	Lap          lap          `json:"lap"`            // since the last evaluation
	PeakBytes    int64        `json:"peak_bytes"`     // largest resident memory of a process of the run
	// Events is how many of the rank plan's are done; Optimizer how far the
	// optimizer is with each parameter.
	Events    int              `json:"events,omitempty"`
	Optimizer []optim.Progress `json:"optimizer"`
}

// lap is a stretch of training alone.
type lap struct {
	Seconds float64 `json:"seconds"`
	Samples int     `json:"samples"` // training examples
}

func (l *lap) add(seconds float64, samples int) {
	l.Seconds += seconds
	l.Samples += samples
}

// speed is samples per second; 0 where nothing was trained.
func (l lap) speed() float64 {
	if l.Seconds <= 0 {
		return 0
	}
	return float64(l.Samples) / l.Seconds
}

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

// LatestCheckpoint is the newest checkpoint of a run directory; nil where there
// is none. One that is damaged is a [*CheckpointError].
func LatestCheckpoint(dir string) (*Checkpoint, error) {
	names, err := checkpointNames(dir)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	return readCheckpoint(dir, names[len(names)-1])
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

func readState(checkpoint string) (s state, err error) {
	path := filepath.Join(checkpoint, stateFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("%s: %w", path, err)
	}
	if s.Step < 0 || s.MetricsBytes < 0 || s.TimingsBytes < 0 || s.Events < 0 || s.Trained.Samples < 0 || s.Lap.Samples < 0 {
		return s, fmt.Errorf("%s: a negative count", path)
	}
	return s, nil
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

// save writes a checkpoint and removes what none of the newest needs.
func (t *trainer) save() error {
	if err := t.checkFinite(); err != nil {
		return fmt.Errorf("step %d: nothing is saved: %w", t.state.Step, err)
	}
	if err := errors.Join(t.metrics.sync(), t.timings.sync()); err != nil {
		return err
	}
	t.state.MetricsBytes, t.state.TimingsBytes = t.metrics.size, t.timings.size
	t.state.Seconds, t.state.PeakBytes, t.state.Optimizer = t.seconds(), t.peakMemory(), t.optimizer.Progress()
	text, err := json.MarshalIndent(t.state, "", "  ")
	if err != nil {
		return err
	}
	final := filepath.Join(t.Dir, checkpointsFolder, checkpointName(t.state.Step))
	err = folder.Replace(final, func(partial string) error {
		if err := t.SaveAdapter(partial); err != nil {
			return err
		}
		if err := saveOptimizer(filepath.Join(partial, optimizerFile), t.optimizer, t.parameters, adapter.Progress(t.Adapter)); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(partial, stateFile), append(text, '\n'), 0o644)
	})
	if err != nil {
		return err
	}
	t.Observer.Checkpoint(final)
	return t.prune()
}

// prune removes all but the newest checkpoints, and best adapters that none of
// these knows.
func (t *trainer) prune() error {
	names, err := checkpointNames(t.Dir)
	if err != nil {
		return err
	}
	for _, name := range names[:max(0, len(names)-t.Options.KeepCheckpoints)] {
		if err := folder.Remove(filepath.Join(t.Dir, checkpointsFolder, name)); err != nil {
			return err
		}
	}
	return t.pruneBest()
}

// tidy removes what is not of the run as it was after the step that it goes on
// from: what a killed process left, checkpoints of later steps, best adapters that
// are not known yet. The journals are locked: no other process is at work here.
func (t *trainer) tidy() error {
	if err := folder.Clean(t.Dir, t.Records...); err != nil {
		return err
	}
	for _, dir := range []string{t.folder(""), filepath.Join(t.Dir, checkpointsFolder)} {
		if err := folder.Clean(dir); err != nil {
			return err
		}
	}
	for _, dir := range []string{t.folder("best"), t.folder("last")} {
		if err := folder.Clean(dir, adapter.ConfigFile, adapter.WeightsFile); err != nil {
			return err
		}
	}
	names, err := checkpointNames(t.Dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if t.Resume == nil || name > filepath.Base(t.Resume.Dir) {
			if err := folder.Remove(filepath.Join(t.Dir, checkpointsFolder, name)); err != nil {
				return err
			}
		}
	}
	return t.restoreBest()
}

// check is an error where a state is not one of this run after all that was due.
func (s state) check(options Options, w *sweeper) error {
	if s.Step > options.Steps {
		return fmt.Errorf("%d steps are done, the run has %d", s.Step, options.Steps)
	}
	due := 0
	if w != nil {
		for due < len(w.events) && w.events[due].Step <= s.Step {
			due++
		}
	}
	if s.Events != due {
		return fmt.Errorf("%d events of the rank plan are done, after step %d it is %d", s.Events, s.Step, due)
	}
	for i, p := range s.Optimizer {
		if p.Steps < 0 || p.Rewarm < 0 || p.Steps > int64(s.Step) {
			return fmt.Errorf("%d updates of parameter %d, of them %d to warm up, in %d steps", p.Steps, i, p.Rewarm, s.Step)
		}
	}
	return nil
}
