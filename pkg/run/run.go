// Package run assembles a configuration into a run: model, tokenizer, data,
// adapter, run directory, training. It is what the command line, tests and
// sweeps call, and the one importer of all methods.
package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/glue"
	"github.com/metatt/metatt/pkg/torch"
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
	path := filepath.Join(dir, ConfigFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not a run directory: it has no %s", dir, ConfigFile)
	}
	c, err := config.Load(path, nil, nil)
	if err != nil {
		return nil, err
	}
	checkpoint, err := findCheckpoint(dir, o)
	if err != nil {
		return nil, err
	}
	takeRecorded(c, o.Observer.Note)
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

// makeRunDir makes the folder of a new run. A configured folder must not hold a
// run yet; a folder named by default gets a number where its name is taken, and
// names the rank, where it has a name.
func makeRunDir(c *config.Config, rank string) (string, error) {
	if dir := c.Run.Dir; dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", fmt.Errorf("run.dir: %w", err)
		}
		if _, err := os.Stat(filepath.Join(dir, ConfigFile)); err == nil {
			return "", fmt.Errorf("run.dir: %s holds a run already: choose another folder, or go on with it by --resume %s", dir, dir)
		}
		return dir, nil
	}
	base := strings.Join(c.Tasks, "-") + "-" + c.Adapter.Method
	if rank != "" {
		base += "-r" + rank
	}
	if c.Adapter.Append.To != "" {
		base += "-append"
	}
	base += fmt.Sprintf("-s%d", c.Train.Seed)
	if err := os.MkdirAll("runs", 0o755); err != nil {
		return "", fmt.Errorf("run directory: %w", err)
	}
	for n := 1; ; n++ {
		dir := filepath.Join("runs", base)
		if n > 1 {
			dir = fmt.Sprintf("%s-%d", dir, n)
		}
		// Mkdir fails on a name that is taken, so that of two processes
		// one gets it.
		if err := os.Mkdir(dir, 0o755); err == nil {
			return dir, nil
		} else if !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("run directory: %w", err)
		}
	}
}

// rankName is the rank, or of ranks that differ one for each bond, as in 8-6-4;
// empty where the method has none.
func (a *assembly) rankName() string {
	if !a.ranked() {
		return ""
	}
	ranks := a.bondRanks()
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

// environment is environment.json.
type environment struct {
	Version   string            `json:"version"`
	Torch     torch.Environment `json:"libtorch"`
	Device    string            `json:"device"`
	Model     string            `json:"model_folder"`
	StartedAt time.Time         `json:"started_at"`
}

// record writes config.yaml and environment.json.
func (a *assembly) record(dir, version string) error {
	text, err := a.config.YAML()
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(filepath.Join(dir, ConfigFile), text, 0o644, renameio.WithTempDir(dir)); err != nil {
		return err
	}
	return writeJSON(filepath.Join(dir, environmentFile), environment{
		Version: version, Torch: torch.ReadEnvironment(), Device: a.device.String(), Model: absolute(a.modelDir), StartedAt: time.Now().UTC(),
	})
}

func writeJSON(path string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return renameio.WriteFile(path, append(text, '\n'), 0o644, renameio.WithTempDir(filepath.Dir(path)))
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
