package run

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/metatt/metatt/pkg/place"
	"github.com/metatt/metatt/pkg/tensorboard"
	"github.com/metatt/metatt/pkg/train"
)

// boardTemporary is the temporary name, but for digits, of an event file.
const boardTemporary = "tensorboard"

// board is the hook that keeps TensorBoard's event file of a run. The journals are all
// that it knows of steps: what they have gained since the last time is added every few
// steps, and a run that goes on makes the file anew of them, so that every step has one
// value whatever a killed process left.
type board struct {
	tags
	results []string // tags of the figures that runs are compared by
	every   int      // steps

	file             *os.File
	metrics, timings *tail
	times            map[int]time.Time // of steps, as an earlier file has them
}

func (a *assembly) newBoard() *board {
	b := &board{tags: tags{several: len(a.tasks) > 1}, results: []string{bestTag(a.options.Best.Name)}, every: a.config.Run.LogEvery}
	for _, t := range a.tasks {
		for _, metric := range t.task.Metrics {
			b.results = append(b.results, b.dev(t.task.Name, metric))
		}
	}
	return b
}

// Begin implements [train.Hook].
func (b *board) Begin(t *train.Trainer) (err error) {
	former, err := eventFiles(t.Dir)
	if err != nil {
		return err
	}
	b.times = readTimes(former)
	if b.metrics, err = openTail(filepath.Join(t.Dir, train.MetricsFile)); err != nil {
		return err
	}
	if b.timings, err = openTail(filepath.Join(t.Dir, train.TimingsFile)); err != nil {
		return err
	}
	now := time.Now()
	first, err := b.first(t.Dir)
	if err != nil {
		return err
	}
	if b.file, err = os.CreateTemp(t.Dir, "."+boardTemporary); err != nil {
		return err
	}
	if err = b.write(tensorboard.Append(tensorboard.Begin(nil, now), tensorboard.Event{Time: now, Values: first})); err == nil {
		err = b.follow()
	}
	if err == nil {
		err = b.replace(former, filepath.Join(t.Dir, fmt.Sprintf("events.out.%s.%d%s", tensorboard.FilePart, now.Unix(), ourEvents)))
	}
	if err != nil {
		os.Remove(b.file.Name())
	}
	return err
}

// first is what a file begins with: hyper-parameters and configuration as the run began
// with them.
func (b *board) first(dir string) ([]tensorboard.Value, error) {
	path := filepath.Join(dir, place.ConfigFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	params, err := hyperParameters(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return append(tensorboard.Hyper(params, b.results), tensorboard.Text("config", "```yaml\n"+string(text)+"```\n")), nil
}

// ourEvents ends the names of event files: others in the folder are not the run's.
const ourEvents = ".finetune"

// eventFiles are those of a run directory.
func eventFiles(dir string) (paths []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if strings.Contains(e.Name(), tensorboard.FilePart) && strings.HasSuffix(e.Name(), ourEvents) {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths, err
}

// readTimes is when the steps of event files were written.
func readTimes(paths []string) map[int]time.Time {
	times := map[int]time.Time{}
	for _, path := range paths {
		if file, err := os.Open(path); err == nil { // else their times are not known
			maps.Copy(times, tensorboard.Times(file))
			file.Close()
		}
	}
	return times
}

// replace puts the new file in the place of the former ones, of which a killed process
// leaves none. Its name is another: who reads a file as it grows does not find one in
// its place that is not what it was.
func (b *board) replace(former []string, path string) error {
	for _, f := range former {
		if err := os.Remove(f); err != nil {
			return err
		}
	}
	if err := b.file.Chmod(0o644); err != nil {
		return err
	}
	return os.Rename(b.file.Name(), path)
}

// After implements [train.Hook].
func (b *board) After(_ context.Context, t *train.Trainer) error {
	if t.Step()%b.every != 0 {
		return nil
	}
	return b.follow()
}

// end adds what is left, and of a run that has ended what it came to. nil is no board.
func (b *board) end(s *Summary) error {
	if b == nil {
		return nil
	}
	if err := b.follow(); err != nil || s.Interrupted {
		return err
	}
	now := time.Now()
	values := []tensorboard.Value{tensorboard.Ended(now)}
	if best := s.Best; best != nil && best.Value != nil {
		values = append(values, tensorboard.Scalar(bestTag(best.Metric), *best.Value))
	}
	return b.write(tensorboard.Append(nil, tensorboard.Event{Time: now, Step: s.Steps, Values: values}))
}

// follow writes what the journals have gained.
func (b *board) follow() error {
	var records []byte
	take := func(step int, values []tensorboard.Value) error {
		at, known := b.times[step]
		if !known {
			at = time.Now()
		}
		records = tensorboard.Append(records, tensorboard.Event{Time: at, Step: step, Values: values})
		if len(records) < 1<<16 {
			return nil
		}
		whole := records
		records = nil
		return b.write(whole)
	}
	if err := b.steps(take); err != nil {
		return err
	}
	if err := b.timings.evaluations(func(e train.EvalTiming) error { return take(e.Step, speed(e)) }); err != nil {
		return err
	}
	return b.write(records)
}

// steps takes what is new of metrics.jsonl. Of several sweeps of a step the last says
// the ranks.
func (b *board) steps(take func(int, []tensorboard.Value) error) error {
	var sweep *train.SweepEvent
	swept := func() error {
		if sweep == nil {
			return nil
		}
		s := sweep
		sweep = nil
		return take(s.Step, b.ofSweep(s))
	}
	err := b.metrics.events(func(e train.Event) error {
		if sweep != nil && (e.Sweep == nil || e.Sweep.Step != sweep.Step) {
			if err := swept(); err != nil {
				return err
			}
		}
		switch {
		case e.Sweep != nil:
			sweep = e.Sweep
			return nil
		case e.Eval != nil:
			return take(e.Eval.Step, b.ofEval(e.Eval))
		}
		return take(e.Step.Step, ofStep(e.Step))
	})
	if err != nil {
		return err
	}
	return swept()
}

func (b *board) write(records []byte) error {
	_, err := b.file.Write(records)
	return err
}

// close adds what a run that failed has journalled; its own error is the one that counts.
func (b *board) close() {
	if b == nil {
		return
	}
	if b.file != nil {
		_ = b.follow()
	}
	for _, t := range []*tail{b.metrics, b.timings} {
		if t != nil {
			t.file.Close() // it was only read
		}
	}
	if b.file != nil {
		b.file.Close() // every write had its error
	}
}
