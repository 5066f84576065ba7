// Package run assembles a configuration into a run: model, tokenizer, data,
// adapter, run directory, training. It is what the command line, tests and
// experiments call.
package run

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/parallel"
	"github.com/metatt/metatt/pkg/place"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/train"

	_ "github.com/metatt/metatt/pkg/methods" // adapter.method names one
)

// Observer is told what happens in a run.
type Observer = train.Observer

// Options ask for a run.
type Options struct {
	Config   *config.Config
	GLUEDir  string   // the environment's GLUE_DIR
	Version  string   // of this program, for the record
	Command  []string // likewise the command line; no key or flag takes a secret
	Observer Observer
	// Group is the processes that make the run together; nil: one. That of rank 0 owns
	// the run directory; all observers are told the same, but of checkpoints.
	Group parallel.Group
	// FromPrevious: Resume goes on from the newest checkpoint that can be read of
	// those before the newest, which is damaged.
	FromPrevious bool
}

// Summary is what a run came to: summary.json, and the closing table.
type Summary struct {
	RunDir           string           `json:"run_dir"`
	Task             string           `json:"task"`
	Method           string           `json:"method"`
	Rank             int              `json:"rank,omitempty"`
	Ranks            []int64          `json:"ranks,omitempty"` // of a tensor train's bonds, or of modes, where they differ or were adapted
	Seed             int              `json:"seed"`
	Steps            int              `json:"steps"`
	Epochs           int              `json:"epochs"`
	AdapterParams    int64            `json:"adapter_parameters"`
	WholeParams      int64            `json:"whole_adapter_parameters,omitempty"` // with the frozen tasks, as stored; 0: none is frozen
	FrozenTasks      []string         `json:"frozen_tasks,omitempty"`
	HeadParams       int64            `json:"head_parameters"`
	BackboneParams   int64            `json:"backbone_parameters"`
	TrainsBackbone   bool             `json:"trains_backbone,omitempty"` // the adapter's parameters are the backbone's own
	Last             task.Metrics     `json:"last,omitempty"`            // of the last evaluation, on the dev set of the one task
	Tasks            []train.TaskEval `json:"tasks,omitempty"`           // the same of several
	Best             *train.Best      `json:"best"`
	Seconds          float64          `json:"seconds"`
	SamplesPerSecond float64          `json:"samples_per_second"`
	PeakBytes        int64            `json:"peak_bytes"` // largest resident memory of a process of the run
	Device           string           `json:"device"`
	DType            string           `json:"dtype"`
	Stopped          bool             `json:"stopped_early,omitempty"` // by train.patience
	Interrupted      bool             `json:"interrupted,omitempty"`
}

// rankName is the rank, or of ranks that differ one for each bond or mode, as in 8-6-4;
// empty where the method has none.
func (a *assembly) rankName() string {
	if !a.ranked() {
		return ""
	}
	ranks := a.eachRank()
	if ranks == nil {
		return strconv.Itoa(a.config.Adapter.Rank)
	}
	names := make([]string, len(ranks))
	for i, r := range ranks {
		names[i] = strconv.FormatInt(r, 10)
	}
	return strings.Join(names, "-")
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
	if err := a.agree(); err != nil {
		return nil, err
	}
	dropout := a.first().Dropout(a.config.Model.Dropout)
	if asked, met := dropout.Attention, torch.AttentionDrop(a.device, a.dtype, dropout.Attention); math.Abs(met-asked) > asked/10 {
		a.observer.Note(fmt.Sprintf("dropout of attention is %.4g in place of %.4g: in bf16 on a CUDA device it is met in 256ths", met, asked))
	}
	hooks, board := a.hooks()
	defer board.close()
	result, err := train.Run(ctx, train.Setup{
		Group: a.group, Adapter: a.adapter, Tasks: a.trained(), Dir: dir, Records: []string{place.ConfigFile, EnvironmentFile, SummaryFile, train.PredictionsFile, boardTemporary}, Resume: resume, DType: a.dtype, Device: a.device,
		Dropout: dropout, Options: a.options, Hooks: hooks, Observer: a.observer, SaveAdapter: a.saveAdapter,
	})
	interrupted := errors.Is(err, train.ErrInterrupted)
	if err != nil && !interrupted {
		return nil, err
	}
	c := a.config
	s := &Summary{
		RunDir: dir, Task: strings.Join(a.names(), ", "), Method: c.Adapter.Method, Seed: c.Train.Seed,
		Steps: result.Steps, Epochs: result.Epochs,
		AdapterParams: adapter.Count(a.adapter.Parameters()), HeadParams: a.heads(), BackboneParams: a.first().Frozen(),
		TrainsBackbone: a.trainsBackbone(), FrozenTasks: adapter.FrozenTasks(a.adapter),
		Stopped: result.Stopped, Best: result.Best, Seconds: result.Seconds, SamplesPerSecond: result.SamplesPerSecond,
		PeakBytes: result.PeakBytes, Device: a.device.String(), DType: c.Model.DType, Interrupted: interrupted,
	}
	if len(result.Last) == 1 {
		s.Last = result.Last[0].Metrics
	} else {
		s.Tasks = result.Last
	}
	if a.ranked() {
		s.Rank, s.Ranks = c.Adapter.Rank, a.eachRank()
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
	if !parallel.Leads(a.group) {
		return s, err
	}
	if ended := board.end(s); ended != nil {
		return nil, ended
	}
	if c.Run.Predictions && !interrupted {
		if kept := a.keepPredictions(dir); kept != nil {
			return nil, kept
		}
	}
	if saved := writeJSON(filepath.Join(dir, SummaryFile), s); saved != nil {
		return nil, saved
	}
	return s, err
}
