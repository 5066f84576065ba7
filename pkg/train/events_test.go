package train_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/internal/allocbound"
	"github.com/metatt/metatt/pkg/train"
)

const recorded = `{"event":"step","step":1,"loss":0.5,"lr":0.001}
{"event":"step","step":2,"loss":0.25,"lr":0.0005,"penalty":0.125}
{"event":"sweep","step":2,"epoch":1,"sweep":1,"mode":"paper","moments":"transport","ranks":[2,1],"parameters":7,"norm":1,"bonds":[{}],"error":0.5}
{"event":"eval","step":2,"epoch":1,"loss":0.75,"metrics":{"accuracy":0.5,"matthews":null},"best":true,"ranks":[2,1],"open":0,"one_class":"1"}
`

// read is all events, or the error.
func read(text []byte) (events []train.Event, err error) {
	for event, err := range train.Events(bytes.NewReader(text), "metrics.jsonl") {
		if err != nil {
			return events, err
		}
		events = append(events, event)
	}
	return events, nil
}

func TestEvents(t *testing.T) {
	events, err := read([]byte(recorded))
	if err != nil || len(events) != 4 {
		t.Fatalf("%+v, %v", events, err)
	}
	if s := events[1].Step; s.Step != 2 || s.Loss != 0.25 || s.LR != 0.0005 || *s.Penalty != 0.125 {
		t.Errorf("%+v", s)
	}
	if s := events[2].Sweep; events[2].Line != 3 || s.Sweep != 1 || s.Error != 0.5 || len(s.Bonds) != 1 || s.Ranks[1] != 1 {
		t.Errorf("%+v", s)
	}
	e := events[3].Eval
	if accuracy, _ := e.Metrics.Get("accuracy"); accuracy.Value != 0.5 || !e.Best || *e.Open != 0 || e.OneClass != "1" {
		t.Errorf("%+v", e)
	}
	if matthews, ok := e.Metrics.Get("matthews"); !ok || !matthews.Undefined {
		t.Errorf("%+v", e.Metrics)
	}
	for text, want := range map[string]string{
		`{"event":"step","step":1,"loss":0.5,"lr":0.001}`: ":1: the line breaks off",
		"{}\n":                             `:1: the event "" is unknown; there are step, eval and sweep`,
		`{"event":"stop","step":1}` + "\n": `:1: the event "stop" is unknown`,
		"[]\n":                             ":1: not an event: json",
		"\n":                               ":1: not an event: unexpected end of JSON input",
		`{"event":"step"}` + "\n":          ":1: step of step 0",
		`{"event":"step","step":1,"los":2}` + "\n":                 `:1: step: json: unknown field "los"`,
		recorded + `{"event":"step","step":1}` + "\n":              ":5: step 1 after step 2",
		recorded + `{"event":"eval","step":3,"loss":"NaN"}` + "\n": ":5: eval: json: cannot unmarshal string",
		recorded + `{"event":"` + strings.Repeat("x", 1<<20):       ":5: a line of more than 1048576 bytes",
	} {
		if _, err := read([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), "metrics.jsonl"+want) {
			t.Errorf("%.60q: %v, want %s", text, err, want)
		}
	}
}

// What a newer version has written is read by those who ask for any version's: an event that is not known by its name, one
// with more in it as far as it is known, each marked. What is damaged is an error all the same.
func TestAnyEvents(t *testing.T) {
	const newer = `{"event":"step","step":1,"loss":0.5,"lr":0.001,"norm":2}` + "\n" +
		`{"event":"merge","step":9,"of":[1]}` + "\n" +
		`{"event":"step","step":2,"loss":0.25,"lr":0.001}` + "\n" +
		`{"event":"eval","step":2,"epoch":1,"loss":0.75,"best":true,"calibration":{"ece":0.1}}` + "\n"
	var kinds []string
	for event, err := range train.AnyEvents(strings.NewReader(newer), "metrics.jsonl") {
		if err != nil {
			t.Fatal(err)
		}
		kind := event.Kind()
		if event.Extra {
			kind += "+"
		}
		kinds = append(kinds, kind)
		switch {
		case event.Line == 1 && (event.Step == nil || event.Step.Loss != 0.5),
			event.Line == 2 && (event.Unknown != "merge" || event.Step != nil || event.Eval != nil || event.Sweep != nil),
			event.Line == 4 && (event.Eval == nil || !event.Eval.Best):
			t.Errorf("%+v", event)
		}
	}
	if want := []string{"step+", "merge", "step", "eval+"}; !slices.Equal(kinds, want) {
		t.Errorf("%q, want %q", kinds, want)
	}
	for text, want := range map[string]string{
		"{}\n":             `:1: the event "" is unknown`,
		"[]\n":             ":1: not an event",
		`{"event":"merge"`: ":1: the line breaks off",
		`{"event":"step","step":1,"loss":"x"}` + "\n":                        ":1: step: json",
		newer + `{"event":"step","step":1,"norm":1}` + "\n":                  ":5: step 1 after step 2",
		`{"event":"merge","of":"` + strings.Repeat("x", 1<<20) + `"}` + "\n": ":1: a line of more than 1048576 bytes",
	} {
		var last error
		for _, err := range train.AnyEvents(strings.NewReader(text), "metrics.jsonl") {
			last = err
		}
		if last == nil || !strings.HasPrefix(last.Error(), "metrics.jsonl"+want) {
			t.Errorf("%.60q: %v, want %s", text, last, want)
		}
	}
}

// Any bytes are events that are written again as they were read, or an error of
// one line.
func FuzzEvents(f *testing.F) {
	f.Add([]byte(recorded))
	f.Add([]byte(`{"event":"sweep","step":0,"ranks":[]}` + "\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var events []train.Event
		var err error
		allocbound.Check(t, len(text), func() { events, err = read(text) })
		if err != nil && strings.ContainsAny(err.Error(), "\n\r") {
			t.Errorf("an error of several lines: %q", err)
		}
		known := 0 // of any version's, these come too
		for event, err := range train.AnyEvents(bytes.NewReader(text), "metrics.jsonl") {
			if err != nil && strings.ContainsAny(err.Error(), "\n\r") {
				t.Errorf("an error of several lines: %q", err)
			}
			if err == nil && event.Unknown == "" && !event.Extra {
				known++
			}
		}
		if known < len(events) {
			t.Errorf("%d events of any version, %d of this one", known, len(events))
		}
		for _, event := range events {
			var written any = event.Step
			if event.Eval != nil {
				written = event.Eval
			} else if event.Sweep != nil {
				written = event.Sweep
			}
			line, err := json.Marshal(written)
			if err != nil {
				t.Fatalf("%+v: %v", event, err)
			}
			if _, err := read(append(line, '\n')); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
	})
}
