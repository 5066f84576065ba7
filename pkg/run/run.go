// Package run assembles a configuration into a run: model, tokenizer, data,
// adapter, run directory, training. It is what the command line, tests and
// sweeps call, and the one importer of all methods.
package run

import (
	"context"
	"errors"
	"path/filepath"
	"slices"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/glue"
	"github.com/metatt/metatt/pkg/train"

	// Every method registers itself.
	_ "github.com/metatt/metatt/pkg/cp"
	_ "github.com/metatt/metatt/pkg/fact"
	_ "github.com/metatt/metatt/pkg/full"
	_ "github.com/metatt/metatt/pkg/head"
	_ "github.com/metatt/metatt/pkg/lora"
	_ "github.com/metatt/metatt/pkg/loretta"
	_ "github.com/metatt/metatt/pkg/lotr"
	_ "github.com/metatt/metatt/pkg/metatt"
	_ "github.com/metatt/metatt/pkg/ttlora"
)

// ConfigFile is the resolved configuration in a run directory.
const ConfigFile = "config.yaml"

// The other files of a run directory beside those that training writes.
const (
	environmentFile = "environment.json"
	summaryFile     = "summary.json"
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
	Last             glue.Metrics `json:"last"`                      // of the last evaluation, on the dev set
	Best             *train.Best  `json:"best"`
	Seconds          float64      `json:"seconds"`
	SamplesPerSecond float64      `json:"samples_per_second"`
	PeakBytes        int64        `json:"peak_bytes"` // largest resident memory of a process of the run
	Device           string       `json:"device"`
	DType            string       `json:"dtype"`
	Interrupted      bool         `json:"interrupted,omitempty"`
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
		Dir: dir, Records: []string{ConfigFile, environmentFile, summaryFile}, Resume: resume, DType: a.dtype, Device: a.device,
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
