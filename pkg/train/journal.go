package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/metatt/metatt/pkg/dmrg"
	"github.com/metatt/metatt/pkg/task"
)

// Files of a run directory that training writes.
const (
	MetricsFile = "metrics.jsonl" // the same for the same run on any machine of a kind
	TimingsFile = "timings.jsonl" // what depends on time and machine
)

// StepEvent is one optimizer step.
type StepEvent struct {
	Event string  `json:"event"`
	Step  int     `json:"step"`
	Loss  float32 `json:"loss"` // mean over the batch, before the update
	LR    float64 `json:"lr"`
	// Penalty is what the adapter added to the loss; absent where it has none.
	Penalty *float32 `json:"penalty,omitempty"`
}

// EvalEvent is one evaluation of the dev set.
type EvalEvent struct {
	Event   string       `json:"event"`
	Step    int          `json:"step"`
	Epoch   int          `json:"epoch"`
	Loss    float32      `json:"loss"` // mean over the dev set
	Metrics task.Metrics `json:"metrics"`
	Best    bool         `json:"best"`
	Ranks   []int64      `json:"ranks,omitempty"` // of a run that adapts them
	Open    *int         `json:"open,omitempty"`  // pair that is trained as one
	// OneClass is the label that every example was predicted to have.
	OneClass string `json:"one_class,omitempty"`
}

// SweepEvent is one sweep, or of a two-site sweep the split of one pair.
type SweepEvent struct {
	Event      string       `json:"event"`
	Step       int          `json:"step"`
	Epoch      int          `json:"epoch"`
	Sweep      int          `json:"sweep"` // from 1
	Mode       dmrg.Mode    `json:"mode"`
	Moments    dmrg.Moments `json:"moments"`        // what became of the optimizer's
	Pair       *int         `json:"pair,omitempty"` // that was split, from 0
	Open       *int         `json:"open,omitempty"` // that is trained as one from here on: its bond has no rank of its own
	Ranks      []int64      `json:"ranks"`          // afterwards
	Parameters int64        `json:"parameters"`     // of the adapter, afterwards
	*dmrg.Report
}

type sweepTiming struct {
	Event   string  `json:"event"`
	Step    int     `json:"step"`
	Sweep   int     `json:"sweep"`
	Seconds float64 `json:"seconds"`
}

type timingEvent struct {
	Event            string  `json:"event"`
	Step             int     `json:"step"`
	Seconds          float64 `json:"seconds"` // of training since the last such event
	SamplesPerSecond float64 `json:"samples_per_second"`
	EvalSeconds      float64 `json:"eval_seconds"`
}

// journal appends events to one file, each a line that is written at once.
type journal struct {
	file *os.File
	size int64
}

// openJournal opens or makes the file, locks it against a second process and
// cuts it to size bytes: what a run wrote after its last checkpoint is written
// again.
func openJournal(path string, size int64) (*journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: another process is training in this folder", path)
	}
	info, err := f.Stat()
	if err == nil && info.Size() < size {
		err = &CheckpointError{fmt.Errorf("%s: %d bytes, the checkpoint was made when it had %d", path, info.Size(), size)}
	}
	if err == nil {
		err = f.Truncate(size)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &journal{f, size}, nil
}

func (j *journal) append(event any) error {
	line, err := json.Marshal(event)
	if err != nil {
		return fmt.Errorf("%s: %w", j.file.Name(), err)
	}
	n, err := j.file.Write(append(line, '\n'))
	if err != nil {
		// A torn line is taken back: the file holds whole events only.
		return errors.Join(err, j.file.Truncate(j.size))
	}
	j.size += int64(n)
	return nil
}

// sync puts the events on disk, before a checkpoint refers to them.
func (j *journal) sync() error { return j.file.Sync() }

func (j *journal) close() error { return j.file.Close() }

// openJournals opens both files of a run directory.
func openJournals(dir string, s state) (metrics, timings *journal, err error) {
	if metrics, err = openJournal(filepath.Join(dir, MetricsFile), s.MetricsBytes); err != nil {
		return nil, nil, err
	}
	if timings, err = openJournal(filepath.Join(dir, TimingsFile), s.TimingsBytes); err != nil {
		metrics.close()
		return nil, nil, err
	}
	return metrics, timings, nil
}
