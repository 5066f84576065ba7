package run

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/parallel"
	"github.com/metatt/metatt/pkg/place"
	"github.com/metatt/metatt/pkg/train"
)

// Resume is [Session.Resume] in a session of one run.
func Resume(ctx context.Context, dir string, o Options) (*Summary, error) {
	return new(Session).Resume(ctx, dir, o)
}

// Resume goes on with the run in a directory, from its newest checkpoint (or one
// before it) and with its own configuration; o.Config is not looked at.
func (s *Session) Resume(ctx context.Context, dir string, o Options) (*Summary, error) {
	path := filepath.Join(dir, place.ConfigFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not a run directory: it has no %s", dir, place.ConfigFile)
	}
	c, err := config.Load([]string{path}, nil, nil)
	if err != nil {
		return nil, err
	}
	checkpoint, err := findCheckpoint(dir, o)
	if err != nil {
		return nil, err
	}
	place.TakeRecorded(c, o.Observer.Note)
	o.Config = c
	a, err := s.assemble(ctx, o, checkpoint)
	if err != nil {
		return nil, err
	}
	defer a.free()
	if _, err := parallel.Once(a.group, "the record of the run", func() ([]byte, error) { return nil, a.recordResumption(ctx, dir, o) }); err != nil {
		return nil, fmt.Errorf("run directory: %w", err)
	}
	summary, err := a.train(ctx, dir, checkpoint)
	return summary, suggestPrevious(dir, o, err)
}

// findCheckpoint is what a run goes on from; nil: its beginning.
func findCheckpoint(dir string, o Options) (*train.Checkpoint, error) {
	if o.FromPrevious {
		checkpoint, err := train.PreviousCheckpoint(dir)
		if err != nil {
			return nil, err
		}
		if checkpoint == nil {
			return nil, fmt.Errorf("%s: before the newest checkpoint there is none that can be read", dir)
		}
		o.Observer.Note("going on from " + checkpoint.Dir)
		return checkpoint, nil
	}
	checkpoint, err := train.LatestCheckpoint(dir)
	if err != nil {
		return nil, suggestPrevious(dir, o, err)
	}
	if checkpoint == nil {
		o.Observer.Note("no checkpoint yet: starting from the beginning")
	}
	return checkpoint, nil
}

// suggestPrevious adds to the error of a checkpoint what can be done about it.
func suggestPrevious(dir string, o Options, err error) error {
	if damaged := (*train.CheckpointError)(nil); o.FromPrevious || !errors.As(err, &damaged) {
		return err
	}
	switch previous, _ := train.PreviousCheckpoint(dir); {
	case previous != nil:
		return fmt.Errorf("%w: go on from %s, which is whole, by --resume %s --from-previous", err, previous.Dir, dir)
	default:
		return fmt.Errorf("%w: no checkpoint before it can be read; without %s the run starts from its beginning", err, filepath.Join(dir, "checkpoints"))
	}
}
