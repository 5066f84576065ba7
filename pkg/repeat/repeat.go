// Package repeat makes a run again from its record, and says which numbers came out the same.
package repeat

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/metatt/metatt/pkg/place"
	"github.com/metatt/metatt/pkg/record"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/train"
)

// Plan is a repetition that can begin.
type Plan struct {
	Record *record.Run
	Dir    string // of the repetition
	// Differences are what the numbers depend on and is not as it was.
	Differences []run.Difference
	options     run.Options
}

// Prepare reads the record in a run directory and looks whether all that its numbers depend on is as it was. The
// repetition is to stand in into; empty: beside the run. Of o, configuration and observer are not looked at; note is
// told what is not where it was.
func Prepare(ctx context.Context, dir, into string, o run.Options, note func(string)) (*Plan, error) {
	r, err := record.Read(dir)
	if err != nil {
		return nil, err
	}
	if r.Last() == 0 {
		return nil, fmt.Errorf("%s: the run has recorded no step: there is nothing to compare with", dir)
	}
	if into == "" {
		if into, err = beside(dir); err != nil {
			return nil, err
		}
	}
	c := r.Config
	c.Run.Dir = into
	place.TakeRecorded(c, note)
	c.Device = place.RecordedDevice(c.Device, note)
	o.Config, o.Observer = c, quiet{}
	now, err := run.ReadEnvironment(ctx, o)
	if err != nil {
		return nil, err
	}
	return &Plan{r, into, r.Environment.AllDifferences(now), o}, nil
}

// quiet leaves out notes, which the run itself makes again; nothing else is to be seen before it.
type quiet struct{ run.Observer }

// Note implements [train.Observer].
func (quiet) Note(string) {}

// beside is a folder beside the run's that is not there yet.
func beside(dir string) (string, error) {
	base := filepath.Clean(dir)
	if name := filepath.Base(base); name == "." || name == ".." {
		var err error
		if base, err = filepath.Abs(base); err != nil {
			return "", err
		}
	}
	base += "-repeat"
	for n := 1; ; n++ {
		name := base
		if n > 1 {
			name = fmt.Sprintf("%s-%d", base, n)
		}
		switch _, err := os.Lstat(name); {
		case errors.Is(err, fs.ErrNotExist):
			return name, nil
		case err != nil:
			return "", err
		}
	}
}

// Train makes the run again by start, as far as its record goes, and compares. When ctx is cancelled it compares what
// there is, with the error [train.ErrInterrupted].
func (p *Plan) Train(ctx context.Context, view run.Observer, start func(context.Context, run.Options) (*run.Summary, error)) (*Comparison, error) {
	within, stop := context.WithCancel(ctx)
	defer stop()
	o := p.options
	if o.Observer = view; p.Record.State != record.Ended {
		o.Observer = newStopper(view, p.Record, stop)
	}
	_, err := start(within, o)
	interrupted := errors.Is(err, train.ErrInterrupted)
	if err != nil && !interrupted {
		return nil, err
	}
	again, readErr := record.Read(p.Dir)
	if errors.Is(readErr, fs.ErrNotExist) && interrupted { // before it had a folder
		return nil, err
	}
	if readErr != nil {
		return nil, readErr
	}
	c, compareErr := compare(p.Record, again)
	switch {
	case compareErr != nil:
		return nil, compareErr
	case ctx.Err() != nil && interrupted:
		return c, err
	}
	return c, nil
}
