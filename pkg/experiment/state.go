package experiment

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/metatt/metatt/pkg/place"
	"github.com/metatt/metatt/pkg/record"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/train"
)

// State says how far a run of an experiment is.
type State string

const (
	Waiting State = "waiting" // for a choice
	Open    State = "open"    // not begun
	Stopped State = "stopped" // begun, and to be gone on with
	Ended   State = "ended"
	Failed  State = "failed"
)

// kept is a run directory as it was found.
type kept struct {
	identity string
	ended    *record.Run
}

// Refresh finds out how far each run is, and what is chosen.
func (p *Plan) Refresh() error {
	found, err := p.find()
	if err != nil {
		return err
	}
	for _, choosing := range []bool{true, false} {
		for _, r := range p.Runs {
			if r.Choosing == choosing {
				if err := p.refresh(r, found); err != nil {
					return err
				}
			}
		}
		for _, g := range p.groups {
			if choosing {
				p.choose(g)
			}
		}
	}
	p.noteSame()
	return nil
}

// find lists the folders of runs, by what was asked of each; the first of equal ones that
// has ended, else the first.
func (p *Plan) find() (map[string]string, error) {
	found := map[string]string{}
	for _, folder := range []string{p.Dir, filepath.Join(p.Dir, "choose")} {
		entries, err := os.ReadDir(folder)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, entry := range entries {
			dir := filepath.Join(folder, entry.Name())
			at := p.seen[dir]
			if strings.HasPrefix(entry.Name(), ".") {
				continue
			}
			if at == nil {
				id, err := requested(dir)
				if err != nil {
					p.note("%v", err)
				}
				if id == "" {
					continue
				}
				at = &kept{identity: id}
				p.seen[dir] = at
			}
			if other, twice := found[at.identity]; twice {
				mine, _ := p.ended(dir)
				others, _ := p.ended(other)
				if mine == nil || others != nil {
					continue
				}
			}
			found[at.identity] = dir
		}
	}
	return found, nil
}

// ended is the record of the run in a folder, if it has ended: see endedRecord.
func (p *Plan) ended(dir string) (ended *record.Run, damaged error) {
	at := p.seen[dir]
	if at.ended == nil {
		at.ended, damaged = endedRecord(dir)
	}
	return at.ended, damaged
}

// endedRecord is the record in a folder, without its steps, of a run that has ended; nil where it has
// not. Where it has, and its record cannot be read, that is the error: to make the run again would
// put an end to what is left of it.
func endedRecord(dir string) (ended *record.Run, damaged error) {
	text, err := os.ReadFile(filepath.Join(dir, run.SummaryFile))
	if err != nil {
		return nil, nil // hundreds of runs are looked at again and again
	}
	var summary run.Summary
	if json.Unmarshal(text, &summary) == nil && summary.Interrupted {
		return nil, nil
	}
	r, err := record.Read(dir)
	switch {
	case err != nil:
		return nil, err
	case r.State == record.Ended:
		r.Steps, r.Sweeps = nil, nil
		return r, nil
	case r.GoneOn:
		if name, err := train.NewestCheckpoint(dir); err == nil && name == "" {
			return nil, fmt.Errorf("%s: %s", dir, strings.Join(r.Notes, "; "))
		}
	}
	return nil, nil
}

func (p *Plan) refresh(r *Run, found map[string]string) error {
	if r.State == Ended {
		return nil
	}
	r.damaged = false
	if r.Config == nil {
		if r.State, r.Failure = Waiting, r.group.failed; r.Failure != "" {
			r.State = Failed
		}
		if r.group.chosen == nil {
			return nil
		}
		if err := p.resolve(r); err != nil {
			return err
		}
	}
	dir, there := found[r.identity]
	if !there {
		return r.findRoom()
	}
	r.Dir = dir
	switch ended, damaged := p.ended(dir); {
	case ended != nil:
		r.State, r.Summary, r.Failure = Ended, ended.Summary, ""
		return nil
	case damaged != nil:
		r.State, r.damaged = Failed, true
		r.Failure = fmt.Sprintf("it has ended, and its record is damaged: %v; with the folder moved away it is made again", damaged)
		return nil
	}
	r.State, r.Failure = Open, ""
	if place.IsRun(dir) {
		r.State = Stopped
	}
	switch failed, err := record.ReadFailure(dir); {
	case err != nil: // damaged: the run has failed all the same
		r.State, r.Failure = Failed, err.Error()
	case failed != nil:
		r.State, r.Failure = Failed, failed.Error
	}
	return nil
}

// findRoom gives a run that has no folder one that is free.
func (r *Run) findRoom() error {
	r.State, r.Failure = Open, ""
	base := r.Dir
	for n := 2; ; n++ {
		_, err := os.Stat(r.Dir)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		r.Dir = fmt.Sprintf("%s-%d", base, n)
	}
}

// failedSince: the run has failed since then, as the file system's clock says.
func (r *Run) failedSince(began time.Time) bool {
	info, err := os.Stat(filepath.Join(r.Dir, record.FailureFile))
	return err == nil && info.ModTime().After(began)
}

// again: the run has failed, and is to be tried again.
func (p *Plan) again(r *Run) bool {
	return r.State == Failed && r.Config != nil && !r.damaged && !p.Began.IsZero() && !p.gaveUp[r] && !r.failedSince(p.Began)
}
