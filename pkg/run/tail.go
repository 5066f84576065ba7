package run

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/metatt/metatt/pkg/train"
)

// tail is the part of a journal that has not been read yet. Who writes the journal does
// so on the same goroutine, an event at a time.
type tail struct {
	file *os.File
	read int64 // bytes
}

func openTail(path string) (*tail, error) {
	file, err := os.Open(path)
	return &tail{file: file}, err
}

// rest is what is new, which is then read.
func (t *tail) rest() (io.Reader, error) {
	info, err := t.file.Stat()
	if err != nil {
		return nil, err
	}
	from := t.read
	t.read = info.Size()
	return io.NewSectionReader(t.file, from, t.read-from), nil
}

// events calls take with the new events of a metrics.jsonl.
func (t *tail) events(take func(train.Event) error) error {
	rest, err := t.rest()
	if err != nil {
		return err
	}
	for event, err := range train.Events(rest, t.file.Name()) {
		if err == nil {
			err = take(event)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// evaluations calls take with the new ones of a timings.jsonl.
func (t *tail) evaluations(take func(train.EvalTiming) error) error {
	rest, err := t.rest()
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(rest)
	for lines.Scan() {
		var e train.EvalTiming
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("%s: %w", t.file.Name(), err)
		}
		if e.Event != "eval" {
			continue
		}
		if err := take(e); err != nil {
			return err
		}
	}
	return lines.Err()
}
