package tensorboard

import (
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Event is what is known of one step.
type Event struct {
	Time   time.Time
	Step   int
	Values []Value
}

// Value is a summary that [Scalar], [Text] or one of the hyper-parameters' made.
type Value struct{ message []byte }

// Append adds the event as one record.
func Append(to []byte, e Event) []byte {
	var summary []byte
	for _, v := range e.Values {
		summary = message(summary, 1, v.message)
	}
	return appendRecord(to, message(header(e.Time, e.Step), 5, summary))
}

// Begin adds the records that an event file begins with. Who has read another file of
// the run forgets what that said.
func Begin(to []byte, at time.Time) []byte {
	to = appendRecord(to, text(header(at, 0), 3, "brain.Event:2"))
	const started = 1
	return appendRecord(to, message(header(at, 0), 7, number(nil, 1, started)))
}

// header is the fields that every event has.
func header(at time.Time, step int) []byte {
	h := float(nil, 1, seconds(at))
	if step != 0 {
		h = number(h, 2, step)
	}
	return h
}

func seconds(t time.Time) float64 {
	return float64(t.Unix()) + float64(t.Nanosecond())/float64(time.Second)
}

// Scalar is a number under a name with parts, as in "train/loss".
func Scalar(tag string, value float64) Value {
	m := text(nil, 1, tag)
	m = protowire.AppendTag(m, 2, protowire.Fixed32Type)
	return Value{protowire.AppendFixed32(m, math.Float32bits(float32(value)))}
}

// Text is a text in Markdown.
func Text(tag, markdown string) Value {
	const dtString = 7
	tensor := text(message(number(nil, 1, dtString), 2, nil), 8, markdown) // of no dimensions
	m := message(text(nil, 1, tag), 8, tensor)
	return Value{message(m, 9, metadata("text", nil))}
}

// metadata says which of TensorBoard's plug-ins a summary is for.
func metadata(plugin string, content []byte) []byte {
	const tensor = 2
	data := text(nil, 1, plugin)
	if content != nil {
		data = message(data, 2, content)
	}
	return number(message(nil, 1, data), 4, tensor)
}

// Fields of messages, by their numbers.

func message(to []byte, field protowire.Number, m []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(to, field, protowire.BytesType), m)
}

func text(to []byte, field protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(to, field, protowire.BytesType), s)
}

func number(to []byte, field protowire.Number, n int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(to, field, protowire.VarintType), uint64(n))
}

func float(to []byte, field protowire.Number, x float64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(to, field, protowire.Fixed64Type), math.Float64bits(x))
}
