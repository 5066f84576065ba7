package tensorboard

import (
	"bufio"
	"io"
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Times is when each step of an event file had its first event, as far as the file is
// whole: it may break off, or be anything at all.
func Times(r io.Reader) map[int]time.Time {
	times := map[int]time.Time{}
	buffered := bufio.NewReader(r)
	for {
		record, err := readRecord(buffered)
		if err != nil {
			return times
		}
		at, step, ok := headerOf(record)
		if _, known := times[step]; ok && !known {
			times[step] = at
		}
	}
}

// headerOf is the inverse of header.
func headerOf(event []byte) (at time.Time, step int, ok bool) {
	for len(event) > 0 {
		field, kind, n := protowire.ConsumeTag(event)
		if n < 0 {
			return at, step, false
		}
		event = event[n:]
		switch {
		case field == 1 && kind == protowire.Fixed64Type:
			bits, size := protowire.ConsumeFixed64(event)
			if size < 0 {
				return at, step, false
			}
			whole, part := math.Modf(math.Float64frombits(bits))
			at, ok = time.Unix(int64(whole), int64(part*float64(time.Second))), true
		case field == 2 && kind == protowire.VarintType:
			value, _ := protowire.ConsumeVarint(event)
			step = int(int64(value))
		}
		if n = protowire.ConsumeFieldValue(field, kind, event); n < 0 {
			return at, step, false
		}
		event = event[n:]
	}
	return at, step, ok
}
