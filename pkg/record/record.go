// Package record reads what runs leave: their configuration, environment, events,
// times and summary. Weights and checkpoints are not needed: a run directory without
// them is still a record.
package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/place"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/train"
)

// State says how far a run has come.
type State string

const (
	Ended       State = "ended"       // all its steps are done, or its patience was over
	Interrupted State = "interrupted" // it was stopped and has saved what it had
	Unfinished  State = "unfinished"  // it is running, or was killed, or failed: see Run.Failure
)

// Run is the record of a run.
type Run struct {
	Dir         string
	State       State
	Config      *config.Config  // as resolved
	Environment run.Environment // the zero one where the record has none
	Summary     *run.Summary    // nil: the run has not ended
	Failure     *Failure        // nil: it has not failed, or nobody wrote it down
	Steps       []train.StepEvent
	Evals       []train.EvalEvent
	Sweeps      []train.SweepEvent
	Timings     []train.EvalTiming  // an evaluation and the training before it each
	SweepTimes  []train.SweepTiming // likewise of sweeps
	// Unknown counts the events of metrics.jsonl and timings.jsonl that this build lacks.
	Unknown map[string]int
	// Notes say what of the record is missing or could not be understood.
	Notes []string
	// GoneOn: it had ended, and is further back since: it went on from an earlier checkpoint, or
	// events were lost.
	GoneOn bool

	extra    map[string]int // events that have more than this build knows, by name and file
	brokeOff bool           // metrics.jsonl ends within a line
}

// Read reads the record in a run directory. What a killed run leaves unfinished is
// noted; what is damaged is an error that names file and line.
func Read(dir string) (*Run, error) {
	if !place.IsRun(dir) {
		if _, err := os.Stat(dir); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%s is not a run directory: it has no %s", dir, place.ConfigFile)
	}
	c, err := config.Load([]string{filepath.Join(dir, place.ConfigFile)}, nil, nil)
	if err != nil {
		return nil, err
	}
	r := &Run{Dir: dir, Config: c, Unknown: map[string]int{}, extra: map[string]int{}}
	if _, err := r.readJSON(run.EnvironmentFile, &r.Environment); err != nil {
		return nil, err
	}
	if err := r.readMetrics(); err != nil {
		return nil, err
	}
	if err := r.readTimings(); err != nil {
		return nil, err
	}
	if err := r.readSummary(); err != nil {
		return nil, err
	}
	if r.Failure, err = ReadFailure(dir); err != nil {
		return nil, err
	}
	r.noteUnknown()
	return r, nil
}

func (r *Run) path(name string) string { return filepath.Join(r.Dir, name) }

func (r *Run) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// readSummary decides the state too.
func (r *Run) readSummary() error {
	s := &run.Summary{}
	there, err := r.readJSON(run.SummaryFile, s)
	r.State = Unfinished
	switch last := r.Last(); {
	case err != nil || !there:
		return err
	case s.Interrupted && last <= s.Steps:
		r.State = Interrupted
	case s.Interrupted: // it goes on, or was killed since
	case r.brokeOff:
		r.GoneOn = true
		r.note("%s says that the run has ended: events are lost", run.SummaryFile)
	case last > 0 && last != s.Steps:
		r.GoneOn = true
		r.note("%s is of step %d, %s ends at step %d: the run has gone on from an earlier checkpoint and has not ended again", run.SummaryFile, s.Steps, train.MetricsFile, last)
	default:
		r.State, r.Summary = Ended, s
	}
	return nil
}

// Last is the last step that was recorded; 0: none was.
func (r *Run) Last() int {
	if len(r.Steps) == 0 {
		return 0
	}
	return r.Steps[len(r.Steps)-1].Step
}

// readJSON reads a file of the record, if it is there. Members that this build lacks
// are noted, and so is that the file is missing where every run writes it at once.
func (r *Run) readJSON(name string, into any) (there bool, err error) {
	text, err := os.ReadFile(r.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		if name == run.EnvironmentFile {
			r.note("%s is missing", name)
		}
		return false, nil
	}
	if err != nil {
		return false, err
	}
	extra, err := decode(text, into)
	if err != nil {
		return false, fmt.Errorf("%s: %w", r.path(name), err)
	}
	if extra {
		r.note("%s has entries that this build does not know", name)
	}
	return true, nil
}

// decode reads one JSON object. extra: it has members that into lacks.
func decode(text []byte, into any) (extra bool, err error) {
	strict := json.NewDecoder(bytes.NewReader(text))
	strict.DisallowUnknownFields()
	strictly := strict.Decode(into)
	if err := json.Unmarshal(text, into); err != nil { // also what follows the object
		return false, err
	}
	return strictly != nil, nil
}

// Predictions are those of the best adapter for the dev examples, in the order of the
// tasks and their dev sets; nil: the run keeps none, or has none yet.
func (r *Run) Predictions() ([]train.Prediction, error) {
	path := r.path(train.PredictionsFile)
	if r.State != Ended {
		path = r.path(filepath.Join("adapter", "best", train.PredictionsFile))
	}
	predictions, err := train.ReadPredictions(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return predictions, err
}
