package train

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/metatt/metatt/pkg/dmrg"
	"github.com/metatt/metatt/pkg/folder"
	"github.com/metatt/metatt/pkg/task"
)

// adapter/best is that of the best evaluation so far, and so ahead of the newest
// checkpoint, which may know an earlier one. A run that goes on from there has its
// own again: a best adapter that a kept checkpoint knows stays, when another takes
// its place, under the name of its step.
const formerBestPrefix = ".best-"

func formerBest(step int) string { return fmt.Sprintf("%s%08d", formerBestPrefix, step) }

// judge compares an evaluation with the best so far and remembers the better.
func (t *trainer) judge(metrics task.Metrics, epoch int) bool {
	metric, _ := metrics.Get(t.Options.BestMetric)
	if best := t.state.Best; best != nil {
		previous := task.Metric{Undefined: best.Value == nil}
		if best.Value != nil {
			previous.Value = *best.Value
		}
		if !metric.Better(previous) {
			return false
		}
	}
	t.state.Best = &Best{Epoch: epoch, Step: t.state.Step, Metric: metric.Name}
	if !metric.Undefined {
		t.state.Best.Value = &metric.Value
	}
	return true
}

// saveBest makes the adapter as it is the best.
func (t *trainer) saveBest() error {
	if err := t.keepBest(); err != nil {
		return err
	}
	if err := t.SaveAdapter(t.folder("best")); err != nil {
		return err
	}
	t.bestStep = t.state.Step
	return nil
}

// keepBest lets adapter/best outlive what takes its place, if a checkpoint knows it.
func (t *trainer) keepBest() error {
	known, err := t.knownBest()
	if err != nil || !known[formerBest(t.bestStep)] {
		return err
	}
	return ignoreMissing(folder.Link(t.folder("best"), t.folder(formerBest(t.bestStep))))
}

// ignoreMissing is for an adapter/best that somebody has taken away.
func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// knownBest are the names of the best adapters that checkpoints know.
func (t *trainer) knownBest() (map[string]bool, error) {
	names, err := checkpointNames(t.Dir)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, name := range names {
		// One that cannot be read will not be gone on from.
		if s, err := readState(filepath.Join(t.Dir, checkpointsFolder, name)); err == nil && s.Best != nil {
			known[formerBest(s.Best.Step)] = true
		}
	}
	return known, nil
}

// pruneBest removes adapter/best where it is of ranks that a sweep has changed
// since, and those before it that no checkpoint knows any more.
func (t *trainer) pruneBest() error {
	if t.state.Best == nil {
		if err := t.keepBest(); err != nil {
			return err
		}
		if err := folder.Remove(t.folder("best")); err != nil {
			return err
		}
		t.bestStep = 0
	}
	known, err := t.knownBest()
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(t.folder(""))
	if err != nil {
		return ignoreMissing(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), formerBestPrefix) || known[e.Name()] && e.Name() != formerBest(t.bestStep) {
			continue
		}
		if err := folder.Remove(t.folder(e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// restoreBest makes adapter/best the one that the state knows.
func (t *trainer) restoreBest() error {
	if t.state.Best != nil {
		t.bestStep = t.state.Best.Step
		if err := ignoreMissing(folder.Link(t.folder(formerBest(t.bestStep)), t.folder("best"))); err != nil {
			return err
		}
	}
	return t.pruneBest()
}

// forgetBest makes way for a best adapter of the ranks that the run ends with.
// The one before the sweep that the event is of stays beside it.
func (t *trainer) forgetBest(e dmrg.Event) error {
	known := t.state.Best != nil
	t.state.Last, t.state.Best = nil, nil // were judged with other ranks
	if !known || e.Close != dmrg.NoPair {
		return nil
	}
	// adapter/best itself stays until a checkpoint knows of the sweep. One that is
	// kept already is of before the run was resumed.
	kept := t.folder(fmt.Sprintf("best-before-sweep-%d", e.Sweep+1))
	if _, err := os.Stat(kept); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return ignoreMissing(folder.Link(t.folder("best"), kept))
}
