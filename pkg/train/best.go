package train

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/metatt/metatt/pkg/folder"
)

// Best is the best evaluation so far.
type Best struct {
	Epoch  int      `json:"epoch"`
	Step   int      `json:"step"`
	Metric string   `json:"metric"` // or mean, of several tasks, or TASK.METRIC of one of them
	Value  *float64 `json:"value"`  // nil: undefined
}

// best keeps adapter/best, which is that of the best evaluation so far, and so ahead of
// the newest checkpoint, which may know an earlier one. A run that goes on from there
// has its own again: a best adapter that a kept checkpoint knows stays, when another
// takes its place, under the name of its step.
type best struct {
	*Trainer
	step int // that adapter/best is of; 0: there is none
}

const formerBestPrefix = ".best-"

func formerBest(step int) string { return fmt.Sprintf("%s%08d", formerBestPrefix, step) }

// take compares an evaluation, with the logits of each task, with the best so far, and
// saves the better.
func (b *best) take(value *float64, epoch int, logits [][]float32) (isBest bool, err error) {
	if before := b.state.Best; before != nil && (value == nil || before.Value != nil && *value <= *before.Value) {
		if !b.awaits {
			b.state.Waited++
		}
		return false, nil
	}
	b.state.Best = &Best{Epoch: epoch, Step: b.state.Step, Metric: b.Options.Best.Name, Value: value}
	b.state.Waited = 0
	return true, b.save(logits)
}

// save makes the adapter as it is the best.
func (b *best) save(logits [][]float32) error {
	if !b.leads() {
		return nil
	}
	if err := b.keep(); err != nil {
		return err
	}
	if err := b.saveBest(b.folder("best"), logits); err != nil {
		return err
	}
	b.step = b.state.Step
	return nil
}

// keep lets adapter/best outlive what takes its place, if a checkpoint knows it.
func (b *best) keep() error {
	known, err := b.known()
	if err != nil || !known[formerBest(b.step)] {
		return err
	}
	return ignoreMissing(folder.Link(b.folder("best"), b.folder(formerBest(b.step))))
}

// ignoreMissing is for an adapter/best that somebody has taken away.
func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// known are the names of the best adapters that checkpoints know.
func (b *best) known() (map[string]bool, error) {
	names, err := checkpointNames(b.Dir)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, name := range names {
		// One that cannot be read will not be gone on from.
		if s, err := readState(filepath.Join(b.Dir, checkpointsFolder, name)); err == nil && s.Best != nil {
			known[formerBest(s.Best.Step)] = true
		}
	}
	return known, nil
}

// prune removes adapter/best where it is of ranks that a sweep has changed
// since, and those before it that no checkpoint knows any more.
func (b *best) prune() error {
	if b.state.Best == nil {
		if err := b.keep(); err != nil {
			return err
		}
		if err := folder.Remove(b.folder("best")); err != nil {
			return err
		}
		b.step = 0
	}
	known, err := b.known()
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(b.folder(""))
	if err != nil {
		return ignoreMissing(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), formerBestPrefix) || known[e.Name()] && e.Name() != formerBest(b.step) {
			continue
		}
		if err := folder.Remove(b.folder(e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// restore makes adapter/best the one that the state knows.
func (b *best) restore() error {
	if b.state.Best != nil {
		b.step = b.state.Best.Step
		if err := ignoreMissing(folder.Link(b.folder(formerBest(b.step)), b.folder("best"))); err != nil {
			return err
		}
	}
	return b.prune()
}

// ForgetBest makes way for a best adapter of the ranks that the run ends with: the
// evaluations so far were of other ranks. adapter/best stays beside it under the name
// kept, unless that is empty.
func (t *Trainer) ForgetBest(kept string) error {
	known := t.state.Best != nil
	t.state.Last, t.state.Best, t.state.Waited = nil, nil, 0
	if !known || kept == "" || !t.leads() {
		return nil
	}
	// adapter/best itself stays until a checkpoint knows of the change. One that is
	// kept already is of before the run was resumed.
	if _, err := os.Stat(t.folder(kept)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return ignoreMissing(folder.Link(t.folder("best"), t.folder(kept)))
}
