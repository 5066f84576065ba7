package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/optim"
	"github.com/metatt/metatt/pkg/safetensors"
	"github.com/metatt/metatt/pkg/torch"
)

// A run's checkpoints stand in this folder, one folder each, named after the
// step. Such a folder is an adapter folder with the optimizer's state and
// state.json beside it; it appears under its name only when it is whole.
const (
	checkpointsFolder = "checkpoints"
	stateFile         = "state.json"
	optimizerFile     = "optimizer.safetensors"
	checkpointPrefix  = "step-"
)

// state is what a run goes on from, beside tensors.
type state struct {
	Step         int     `json:"step"`      // updates done
	Evaluated    bool    `json:"evaluated"` // the evaluation due after Step is done
	MetricsBytes int64   `json:"metrics_bytes"`
	TimingsBytes int64   `json:"timings_bytes"`
	Seconds      float64 `json:"seconds"` // of training so far
	Best         *Best   `json:"best,omitempty"`
	// Events is how many of the rank plan's are done; Optimizer how far the
	// optimizer is with each parameter.
	Events    int              `json:"events,omitempty"`
	Optimizer []optim.Progress `json:"optimizer"`
}

// Checkpoint is a saved state of a run.
type Checkpoint struct {
	Dir   string // an adapter folder too
	state state
}

// LatestCheckpoint finds the newest checkpoint of a run directory; nil where
// there is none.
func LatestCheckpoint(dir string) (*Checkpoint, error) {
	names, err := checkpointNames(dir)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	c := &Checkpoint{Dir: filepath.Join(dir, checkpointsFolder, names[len(names)-1])}
	path := filepath.Join(c.Dir, stateFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &c.state); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if c.state.Step < 0 || c.state.MetricsBytes < 0 || c.state.TimingsBytes < 0 || c.state.Events < 0 {
		return nil, fmt.Errorf("%s: a negative count", path)
	}
	return c, nil
}

// checkpointNames lists whole checkpoints, oldest first: steps are written
// with a fixed number of digits.
func checkpointNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(dir, checkpointsFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), checkpointPrefix) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// save writes a checkpoint and removes all but the newest keep.
func (t *trainer) save() (err error) {
	if err := errors.Join(t.metrics.sync(), t.timings.sync()); err != nil {
		return err
	}
	t.state.MetricsBytes, t.state.TimingsBytes = t.metrics.size, t.timings.size
	t.state.Seconds, t.state.Optimizer = t.seconds(), t.optimizer.Progress()
	parent := filepath.Join(t.Dir, checkpointsFolder)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	temporary, err := os.MkdirTemp(parent, ".partial-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary) // nothing is left of it after the rename
	if err := t.SaveAdapter(temporary); err != nil {
		return err
	}
	if err := saveOptimizer(filepath.Join(temporary, optimizerFile), t.optimizer, t.parameters, adapter.Progress(t.Adapter)); err != nil {
		return err
	}
	text, err := json.MarshalIndent(t.state, "", "  ")
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(filepath.Join(temporary, stateFile), append(text, '\n'), 0o644); err != nil {
		return err
	}
	final := filepath.Join(parent, fmt.Sprintf("%s%08d", checkpointPrefix, t.state.Step))
	if err := os.RemoveAll(final); err != nil { // an earlier one of the same step
		return err
	}
	if err := os.Rename(temporary, final); err != nil {
		return err
	}
	if err := syncFolder(parent); err != nil {
		return err
	}
	t.Observer.Checkpoint(final)
	if t.state.Best == nil { // of ranks that a sweep has changed since
		if err := os.RemoveAll(t.folder("best")); err != nil {
			return err
		}
	}
	return t.prune()
}

func (t *trainer) prune() error {
	names, err := checkpointNames(t.Dir)
	if err != nil {
		return err
	}
	for _, name := range names[:max(0, len(names)-t.Options.KeepCheckpoints)] {
		if err := os.RemoveAll(filepath.Join(t.Dir, checkpointsFolder, name)); err != nil {
			return err
		}
	}
	return nil
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// momentNames are the names of a parameter's two moments in optimizerFile.
func momentNames(p adapter.Parameter) [2]string {
	return [2]string{p.Name + ".exp_avg", p.Name + ".exp_avg_sq"}
}

// saveOptimizer writes the moments, and the adapter's progress beside them.
func saveOptimizer(path string, o *optim.AdamW, parameters, progress []adapter.Parameter) error {
	var tensors []safetensors.Tensor
	add := func(name string, t *torch.Tensor) {
		cpu := t.To(torch.CPU).Contiguous()
		tensors = append(tensors, safetensors.Tensor{Name: name, DType: "F32", Shape: cpu.Shape(), Data: cpu.Bytes()})
	}
	for i, p := range parameters {
		first, second := o.Moments(i)
		names := momentNames(p)
		add(names[0], first)
		add(names[1], second)
	}
	for _, p := range progress {
		add(p.Name, p.Tensor)
	}
	return safetensors.Write(path, tensors, nil)
}

// check is an error where a state is not one of this run after all that was due.
func (s state) check(options Options, w *sweeper) error {
	if s.Step > options.Steps {
		return fmt.Errorf("%d steps are done, the run has %d", s.Step, options.Steps)
	}
	due := 0
	if w != nil {
		for due < len(w.events) && w.events[due].Step <= s.Step {
			due++
		}
	}
	if s.Events != due {
		return fmt.Errorf("%d events of the rank plan are done, after step %d it is %d", s.Events, s.Step, due)
	}
	for i, p := range s.Optimizer {
		if p.Steps < 0 || p.Rewarm < 0 || p.Steps > int64(s.Step) {
			return fmt.Errorf("%d updates of parameter %d, of them %d to warm up, in %d steps", p.Steps, i, p.Rewarm, s.Step)
		}
	}
	return nil
}

// loadOptimizer continues the optimizer and the adapter's progress from a
// checkpoint.
func loadOptimizer(c *Checkpoint, o *optim.AdamW, parameters, progress []adapter.Parameter) error {
	path := filepath.Join(c.Dir, optimizerFile)
	f, err := safetensors.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	read := func(name string, shape []int64) (*torch.Tensor, error) {
		info, ok := f.Info(name)
		if !ok || info.DType != "F32" || !slices.Equal(info.Shape, shape) {
			return nil, fmt.Errorf("%s: no tensor %s of type F32 and shape %v", path, name, shape)
		}
		t := torch.Empty(torch.Float32, torch.CPU, shape...)
		return t, f.ReadInto(name, t.Bytes())
	}
	var moments [2][]*torch.Tensor
	for _, p := range parameters {
		for j, name := range momentNames(p) {
			moment, err := read(name, p.Tensor.Shape())
			if err != nil {
				return err
			}
			moments[j] = append(moments[j], moment)
		}
	}
	for _, p := range progress {
		saved, err := read(p.Name, p.Tensor.Shape())
		if err != nil {
			return err
		}
		p.Tensor.CopyFrom(saved)
	}
	return o.Restore(c.state.Optimizer, moments[0], moments[1])
}
