package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"

	"github.com/metatt/metatt/pkg/train"
)

// readMetrics reads metrics.jsonl, of any version.
func (r *Run) readMetrics() error {
	file, err := os.Open(r.path(train.MetricsFile))
	if errors.Is(err, fs.ErrNotExist) {
		r.note("%s is missing: no step is recorded", train.MetricsFile)
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	for event, err := range train.AnyEvents(file, file.Name()) {
		switch {
		case errors.Is(err, train.ErrBreaksOff):
			r.brokeOff = true
			r.note("the last line of %s breaks off and is left out", train.MetricsFile)
		case err != nil:
			return err
		case event.Step != nil:
			r.Steps = append(r.Steps, *event.Step)
		case event.Eval != nil:
			r.Evals = append(r.Evals, *event.Eval)
		case event.Sweep != nil:
			r.Sweeps = append(r.Sweeps, *event.Sweep)
		default:
			r.Unknown[event.Unknown]++
		}
		if event.Extra {
			r.extra[event.Kind()+" of "+train.MetricsFile]++
		}
	}
	return nil
}

// readTimings reads timings.jsonl, of any version. A run that was killed before its
// first evaluation has none.
func (r *Run) readTimings() error {
	text, err := os.ReadFile(r.path(train.TimingsFile))
	if errors.Is(err, fs.ErrNotExist) {
		if len(r.Evals) > 0 {
			r.note("%s is missing: times are not known", train.TimingsFile)
		}
		return nil
	}
	if err != nil {
		return err
	}
	line := 0
	for whole := range bytes.Lines(text) {
		line++
		if !bytes.HasSuffix(whole, []byte{'\n'}) {
			r.note("the last line of %s breaks off and is left out", train.TimingsFile)
			return nil
		}
		if err := r.readTiming(whole); err != nil {
			return fmt.Errorf("%s:%d: %w", r.path(train.TimingsFile), line, err)
		}
	}
	return nil
}

func (r *Run) readTiming(line []byte) error {
	var kind struct{ Event string }
	if err := json.Unmarshal(line, &kind); err != nil {
		return fmt.Errorf("not an event: %w", err)
	}
	var eval train.EvalTiming
	var sweep train.SweepTiming
	var extra bool
	var err error
	switch kind.Event {
	case "":
		err = errors.New("an event without a name")
	case "eval":
		extra, err = decode(line, &eval)
		r.Timings = append(r.Timings, eval)
	case "sweep":
		extra, err = decode(line, &sweep)
		r.SweepTimes = append(r.SweepTimes, sweep)
	default:
		r.Unknown[kind.Event]++
	}
	if extra {
		r.extra[kind.Event+" of "+train.TimingsFile]++
	}
	return err
}

// noteUnknown says what of the events was not understood.
func (r *Run) noteUnknown() {
	for _, name := range slices.Sorted(maps.Keys(r.Unknown)) {
		r.note("%d events %.40q are left out: this build does not know them", r.Unknown[name], name)
	}
	for _, name := range slices.Sorted(maps.Keys(r.extra)) {
		r.note("%d events %s have entries that this build does not know", r.extra[name], name)
	}
}
