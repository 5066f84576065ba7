package own

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// objects are the rows of a file of JSON lines. Keys that are not asked for may
// hold anything.
type objects struct {
	buffer *bufio.Reader
	keys   []string
	line   int
}

func newObjects(r io.Reader, keys []string) *objects {
	return &objects{buffer: bufio.NewReader(r), keys: keys}
}

func (o *objects) next() (int, []string, error) {
	for {
		text, err := readLine(o.buffer)
		o.line++
		if err != nil {
			return o.line, nil, err
		}
		if o.line == 1 {
			text = strings.TrimPrefix(text, "\ufeff")
		}
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		cells, err := o.cells(text)
		return o.line, cells, err
	}
}

func (o *objects) cells(text string) ([]string, error) {
	if !utf8.ValidString(text) { // which encoding/json would replace
		return nil, errors.New("not UTF-8 text")
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		var kind *json.UnmarshalTypeError
		if errors.As(err, &kind) || text[0] == '[' {
			return nil, errors.New("not a JSON object; the file should hold one object a line")
		}
		return nil, fmt.Errorf("not a JSON object on one line: %w", err)
	}
	cells := make([]string, len(o.keys))
	for i, key := range o.keys {
		value, ok := object[key]
		if !ok {
			return nil, fmt.Errorf("no key %.40q in the object, which has %s", key, list(slices.Sorted(maps.Keys(object))))
		}
		var err error
		if cells[i], err = scalar(value); err != nil {
			return nil, fmt.Errorf("%.40q: %w", key, err)
		}
	}
	return cells, nil
}

// scalar is a text as it is; a number, true or false as it is written: labels
// are often numbers.
func scalar(value json.RawMessage) (string, error) {
	switch value[0] {
	case '"':
		var text string
		err := json.Unmarshal(value, &text)
		return text, err
	case '{', '[', 'n':
		return "", fmt.Errorf("%.40q is not a text, number, true or false", string(value))
	}
	return string(value), nil
}
