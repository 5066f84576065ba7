// Package run assembles a configuration into a run: model, tokenizer, data,
// adapter, run directory, training. It is what the command line, tests and
// experiments call.
package run

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/place"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/train"

	_ "github.com/metatt/metatt/pkg/methods" // adapter.method names one
)

// Observer is told what happens in a run.
type Observer interface {
	train.Observer
	// Note is something the user should know: what a checkpoint lacked, where
	// the run goes.
	Note(text string)
}

// Options ask for a run.
type Options struct {
	Config   *config.Config
	GLUEDir  string // the environment's GLUE_DIR
	Version  string // of this program, for the record
	Observer Observer
	// FromPrevious: Resume goes on from the newest checkpoint that can be read of
	// those before the newest, which is damaged.
	FromPrevious bool
}

// Summary is what a run came to: summary.json, and the closing table.
type Summary struct {
	RunDir           string       `json:"run_dir"`
	Task             string       `json:"task"`
	Method           string       `json:"method"`
	Rank             int          `json:"rank,omitempty"`
	Ranks            []int64      `json:"ranks,omitempty"` // of a train's bonds, where they differ or were adapted
	Seed             int          `json:"seed"`
	Steps            int          `json:"steps"`
	Epochs           int          `json:"epochs"`
	AdapterParams    int64        `json:"adapter_parameters"`
	WholeParams      int64        `json:"whole_adapter_parameters,omitempty"` // with the frozen tasks, as stored; 0: none is frozen
	FrozenTasks      []string     `json:"frozen_tasks,omitempty"`
	HeadParams       int64        `json:"head_parameters"`
	BackboneParams   int64        `json:"backbone_parameters"`
	TrainsBackbone   bool         `json:"trains_backbone,omitempty"` // the adapter's parameters are the backbone's own
	Last             task.Metrics `json:"last"`                      // of the last evaluation, on the dev set
	Best             *train.Best  `json:"best"`
	Seconds          float64      `json:"seconds"`
	SamplesPerSecond float64      `json:"samples_per_second"`
	PeakBytes        int64        `json:"peak_bytes"` // largest resident memory of a process of the run
	Device           string       `json:"device"`
	DType            string       `json:"dtype"`
	Interrupted      bool         `json:"interrupted,omitempty"`
}

// Train makes a new run directory and trains. Cancelling ctx saves the state
// and returns the summary so far with [train.ErrInterrupted].
func Train(ctx context.Context, o Options) (*Summary, error) {
	a, err := assemble(ctx, o, nil)
	if err != nil {
		return nil, err
	}
	defer a.free()
	dir, err := makeRunDir(a.config, a.rankName())
	if err != nil {
		return nil, err
	}
	if err := a.record(dir, o.Version); err != nil {
		return nil, fmt.Errorf("run directory: %w", err)
	}
	return a.train(ctx, dir, nil)
}

// Resume goes on with the run in a directory, from its newest checkpoint (or one
// before it) and with its own configuration; o.Config is not looked at.
func Resume(ctx context.Context, dir string, o Options) (*Summary, error) {
	path := filepath.Join(dir, place.ConfigFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not a run directory: it has no %s", dir, place.ConfigFile)
	}
	c, err := config.Load(path, nil, nil)
	if err != nil {
		return nil, err
	}
	checkpoint, err := findCheckpoint(dir, o)
	if err != nil {
		return nil, err
	}
	place.TakeRecorded(c, o.Observer.Note)
	o.Config = c
	a, err := assemble(ctx, o, checkpoint)
	if err != nil {
		return nil, err
	}
	defer a.free()
	s, err := a.train(ctx, dir, checkpoint)
	return s, suggestPrevious(dir, o, err)
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

// ranked: the method has a rank.
func (a *assembly) ranked() bool { return len(a.adapter.Config().Ranks) > 0 }

func (a *assembly) trainsBackbone() bool {
	_, trains := a.adapter.(adapter.BackboneTrainer)
	return trains
}

// train runs the loop in dir and writes summary.json.
func (a *assembly) train(ctx context.Context, dir string, resume *train.Checkpoint) (*Summary, error) {
	a.observer.Note("run directory: " + dir)
	result, err := train.Run(ctx, train.Setup{
		Model: a.model, Adapter: a.adapter, Task: a.taskIndex(), Train: a.trainSet, Dev: a.devSet,
		Dir: dir, Records: []string{place.ConfigFile, environmentFile, summaryFile}, Resume: resume, DType: a.dtype, Device: a.device,
		Dropout: a.model.Dropout(a.config.Model.Dropout), Options: a.options, Ranks: a.ranks, Observer: a.observer, SaveAdapter: a.saveAdapter,
	})
	interrupted := errors.Is(err, train.ErrInterrupted)
	if err != nil && !interrupted {
		return nil, err
	}
	c := a.config
	s := &Summary{
		RunDir: dir, Task: a.task.Name, Method: c.Adapter.Method, Seed: c.Train.Seed,
		Steps: result.Steps, Epochs: result.Epochs,
		AdapterParams: adapter.Count(a.adapter.Parameters()), HeadParams: adapter.Count(a.model.Head()), BackboneParams: a.model.Frozen(),
		TrainsBackbone: a.trainsBackbone(), FrozenTasks: adapter.FrozenTasks(a.adapter),
		Last: result.Last, Best: result.Best, Seconds: result.Seconds, SamplesPerSecond: result.SamplesPerSecond,
		PeakBytes: result.PeakBytes, Device: a.device.String(), DType: c.Model.DType, Interrupted: interrupted,
	}
	if a.ranked() {
		s.Rank, s.Ranks = c.Adapter.Rank, a.bondRanks()
	}
	var counted error
	if s.WholeParams, counted = a.wholeAdapter(); counted != nil {
		return nil, counted
	}
	if a.ranks != nil {
		s.Ranks = adapter.TrainRanks(a.adapter)
		if ranks := a.adapter.Config().Ranks; len(ranks) > 0 {
			s.Rank = int(slices.Max(ranks))
		}
	}
	if saved := writeJSON(filepath.Join(dir, summaryFile), s); saved != nil {
		return nil, saved
	}
	return s, err
}
