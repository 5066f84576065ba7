package train

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
)

// Event is one line of metrics.jsonl: one of Step, Eval, Sweep and Unknown is set.
type Event struct {
	Line  int // from 1
	Step  *StepEvent
	Eval  *EvalEvent
	Sweep *SweepEvent
	// What another version wrote, of [AnyEvents] alone.
	Unknown string // name of an event that this build lacks
	Extra   bool   // the event has fields that this build lacks
}

// at is the step that the event is of; 0 where the event is unknown.
func (e Event) at() int {
	switch {
	case e.Unknown != "":
		return 0
	case e.Step != nil:
		return e.Step.Step
	case e.Eval != nil:
		return e.Eval.Step
	}
	return e.Sweep.Step
}

// Kind is the event's name.
func (e Event) Kind() string {
	switch {
	case e.Step != nil:
		return e.Step.Event
	case e.Eval != nil:
		return e.Eval.Event
	case e.Sweep != nil:
		return e.Sweep.Event
	}
	return e.Unknown
}

// ErrBreaksOff: the last line has no end. A run is writing it, or was killed.
var ErrBreaksOff = errors.New("the line breaks off: a run is writing it, or was killed")

// largestEvent bounds a line in bytes: a sweep over many bonds takes kilobytes.
const largestEvent = 1 << 20

// Events reads the events of a metrics.jsonl, which errors call file, in their
// order. An error, which names the line, is the last that comes: what is no event
// of this build, goes back in steps, or breaks off.
func Events(r io.Reader, file string) iter.Seq2[Event, error] { return events(r, file, true) }

// AnyEvents is [Events] of a file that another version may have written: what this
// build lacks is no error, and marked.
func AnyEvents(r io.Reader, file string) iter.Seq2[Event, error] { return events(r, file, false) }

func events(r io.Reader, file string, strict bool) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		buffer := bufio.NewReader(r)
		last := 0
		for line := 1; ; line++ {
			text, err := readEvent(buffer)
			if errors.Is(err, io.EOF) && len(text) == 0 {
				return
			}
			event := Event{Line: line}
			if err == nil {
				err = event.parse(text, strict)
			}
			if err == nil && event.Unknown == "" && event.at() < last {
				err = fmt.Errorf("step %d after step %d", event.at(), last)
			}
			if err != nil {
				if errors.Is(err, io.EOF) {
					err = ErrBreaksOff
				}
				yield(Event{}, fmt.Errorf("%s:%d: %w", file, line, err))
				return
			}
			last = max(last, event.at())
			if !yield(event, nil) {
				return
			}
		}
	}
}

// readEvent reads a line without its end; one that has none is io.EOF.
func readEvent(buffer *bufio.Reader) (line []byte, err error) {
	for {
		part, err := buffer.ReadSlice('\n')
		if line = append(line, part...); len(line) > largestEvent {
			return nil, fmt.Errorf("a line of more than %d bytes", largestEvent)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimSuffix(line, []byte{'\n'}), err
		}
	}
}

func (e *Event) parse(text []byte, strict bool) error {
	var kind struct {
		Event string `json:"event"`
		Step  int    `json:"step"`
	}
	if err := json.Unmarshal(text, &kind); err != nil {
		return fmt.Errorf("not an event: %w", err)
	}
	var into any
	first := 1
	switch kind.Event {
	case "step":
		e.Step = &StepEvent{}
		into = e.Step
	case "eval":
		e.Eval = &EvalEvent{}
		into = e.Eval
	case "sweep":
		e.Sweep, first = &SweepEvent{}, 0 // one before the first step
		into = e.Sweep
	default:
		if !strict && kind.Event != "" {
			e.Unknown = kind.Event
			return nil
		}
		return fmt.Errorf("the event %.40q is unknown; there are step, eval and sweep", kind.Event)
	}
	if kind.Step < first {
		return fmt.Errorf("%s of step %d", kind.Event, kind.Step)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if err != nil && !strict && json.Unmarshal(text, into) == nil {
		e.Extra, err = true, nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", kind.Event, err)
	}
	return nil
}
