package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/folder"
)

// checkpoints is the hook that saves the state when it is due, and when the run is
// interrupted, and the last adapter when it ends.
type checkpoints struct{}

// Begin implements [Hook].
func (checkpoints) Begin(*Trainer) error { return nil }

// After implements [Hook].
func (checkpoints) After(ctx context.Context, t *Trainer) error {
	every := t.Options.CheckpointEvery
	interrupted, ends := ctx.Err() != nil, t.done()
	due := every > 0 && t.state.Step > 0 && (t.state.Step%every == 0 || ends) && t.changed()
	if !interrupted && !due && !ends {
		return nil
	}
	if err := t.Settle(); err != nil {
		return err
	}
	if interrupted || due {
		if err := t.save(); err != nil {
			return err
		}
	}
	if (interrupted || ends) && t.leads() {
		if err := t.SaveAdapter(t.folder("last")); err != nil {
			return err
		}
	}
	if interrupted {
		return ErrInterrupted
	}
	return nil
}

// changed is false right after resuming: that checkpoint is there.
func (t *Trainer) changed() bool {
	return t.Resume == nil || t.state.Step != t.Resume.state.Step || t.state.Evaluated != t.Resume.state.Evaluated
}

// current is the state with what others keep of it. What it says of the journal's files
// is on disk.
func (t *Trainer) current() (s state, err error) {
	if err := errors.Join(t.journal.metrics.sync(), t.journal.timings.sync()); err != nil {
		return s, err
	}
	s = t.state
	s.MetricsBytes, s.TimingsBytes = t.journal.metrics.size, t.journal.timings.size
	s.Seconds, s.laps, s.PeakBytes, s.Optimizer = t.clock.seconds(), t.clock.laps, t.peakMemory(), t.optimizer.Progress()
	s.Hooks, err = t.hooks.states()
	return s, err
}

// save writes a checkpoint and removes what none of the newest needs. In a group all look
// whether they have come to the same, and the first writes.
func (t *Trainer) save() error {
	if err := t.CheckFinite(); err != nil {
		return fmt.Errorf("step %d: nothing is saved: %w", t.state.Step, err)
	}
	if err := t.agree(); err != nil || !t.leads() {
		return err
	}
	s, err := t.current()
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	final := filepath.Join(t.Dir, checkpointsFolder, checkpointName(t.state.Step))
	err = folder.Replace(final, func(partial string) error {
		if err := t.SaveAdapter(partial); err != nil {
			return err
		}
		if err := saveOptimizer(filepath.Join(partial, optimizerFile), t.optimizer, adapter.Progress(t.Adapter)); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(partial, stateFile), append(text, '\n'), 0o644)
	})
	if err != nil {
		return err
	}
	t.saved = &s
	t.Observer.Checkpoint(final)
	return t.prune()
}

// prune removes all but the newest checkpoints, and best adapters that none of
// these knows.
func (t *Trainer) prune() error {
	names, err := checkpointNames(t.Dir)
	if err != nil {
		return err
	}
	for _, name := range names[:max(0, len(names)-t.Options.KeepCheckpoints)] {
		if err := folder.Remove(filepath.Join(t.Dir, checkpointsFolder, name)); err != nil {
			return err
		}
	}
	return t.best.prune()
}

// tidy removes what is not of the run as it was after the step that it goes on
// from: what a killed process left, checkpoints of later steps, best adapters that
// are not known yet. The journals are locked: no other process is at work here.
func (t *Trainer) tidy() error {
	if !t.leads() {
		return nil
	}
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
	return t.best.restore()
}
