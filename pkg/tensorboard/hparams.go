package tensorboard

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// HParam is a hyper-parameter of a run: a string, bool, int or float64.
type HParam struct {
	Name  string
	Value any
}

// Hyper is the hyper-parameters of a run and the tags of the scalars, of the same
// file, whose last values are what came of them.
func Hyper(params []HParam, metrics []string) []Value {
	var experiment, session []byte
	for _, p := range params {
		value, kind := p.value()
		experiment = message(experiment, 4, number(text(nil, 1, p.Name), 4, kind))
		session = message(session, 1, message(text(nil, 1, p.Name), 2, value)) // an entry of a map
	}
	for _, tag := range metrics {
		experiment = message(experiment, 5, message(nil, 1, text(nil, 2, tag)))
	}
	return []Value{hyper("experiment", 2, experiment), hyper("session_start_info", 3, session)}
}

// Ended is when a run with hyper-parameters came to its end.
func Ended(at time.Time) Value {
	const success = 1
	return hyper("session_end_info", 4, float(number(nil, 1, success), 2, seconds(at)))
}

// value is a google.protobuf.Value, and which type of hyper-parameter it is.
func (p HParam) value() (value []byte, kind int) {
	switch x := p.Value.(type) {
	case bool:
		n := 0
		if x {
			n = 1
		}
		return number(nil, 4, n), 2
	case int:
		return float(nil, 2, float64(x)), 3
	case float64:
		return float(nil, 2, x), 3
	}
	s, _ := p.Value.(string)
	return text(nil, 3, s), 1
}

// hyper is a summary without a value of its own: what it says is its metadata's.
func hyper(tag string, field protowire.Number, content []byte) Value {
	const dtFloat = 1
	tensor := message(number(nil, 1, dtFloat), 2, nil)
	tensor = message(tensor, 5, make([]byte, 4)) // a zero
	m := message(text(nil, 1, "_hparams_/"+tag), 8, tensor)
	return Value{message(m, 9, metadata("hparams", message(nil, field, content)))}
}
