// Package rawjson walks over JSON that is in memory, without copying it: what it takes is in proportion to what its
// caller keeps, whatever a file from outside holds.
package rawjson

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// KindError is a value of another kind than the one that was asked for.
type KindError struct {
	Got, Want string // "array", "object"
}

func (e *KindError) Error() string { return fmt.Sprintf("%s where an %s belongs", e.Got, e.Want) }

// Members calls member for each member of an object, in their order. A name may come several times; value is a part of
// data. The first error ends it.
func Members(data []byte, member func(name string, value []byte) error) error {
	d, err := open(data, '{', "object")
	if err != nil {
		return err
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return readable(err)
		}
		text := name.String() // before the token is overwritten
		value, err := next(d, data)
		if err != nil {
			return err
		}
		if err := member(text, value); err != nil {
			return err
		}
	}
	return end(d)
}

// Elements is Members for an array.
func Elements(data []byte, element func(i int, value []byte) error) error {
	d, err := open(data, '[', "array")
	if err != nil {
		return err
	}
	for i := 0; d.PeekKind() != ']'; i++ {
		value, err := next(d, data)
		if err != nil {
			return err
		}
		if err := element(i, value); err != nil {
			return err
		}
	}
	return end(d)
}

// Len counts the members of an object or the elements of an array, as far as it is well formed, so that what they are
// kept in need not grow step by step. Of anything else there are none.
func Len(data []byte) int {
	d := decoder(data)
	start, err := d.ReadToken()
	if err != nil {
		return 0
	}
	kind := start.Kind() // before the token is overwritten
	if kind != '{' && kind != '[' {
		return 0
	}
	values := 0
	for d.PeekKind() != '}' && d.PeekKind() != ']' && d.SkipValue() == nil {
		values++
	}
	if kind == '{' {
		return values / 2 // names are values, too
	}
	return values
}

func decoder(data []byte) *jsontext.Decoder {
	// To know that no name comes twice, the decoder would keep them all.
	return jsontext.NewDecoder(bytes.NewBuffer(data), jsontext.AllowDuplicateNames(true))
}

func open(data []byte, start jsontext.Kind, want string) (*jsontext.Decoder, error) {
	d := decoder(data)
	token, err := d.ReadToken()
	if err != nil {
		return nil, readable(err)
	}
	if token.Kind() != start {
		return nil, &KindError{Kind(data), want}
	}
	return d, nil
}

// next reads a value and returns where it stands in data: what the decoder returns is valid for a moment only.
func next(d *jsontext.Decoder, data []byte) ([]byte, error) {
	value, err := d.ReadValue()
	if err != nil {
		return nil, readable(err)
	}
	stop := int(d.InputOffset())
	return data[stop-len(value) : stop : stop], nil
}

// end reads what closes the value, and nothing may follow.
func end(d *jsontext.Decoder) error {
	if _, err := d.ReadToken(); err != nil {
		return readable(err)
	}
	_, err := d.ReadToken()
	switch {
	case err == io.EOF:
		return nil
	case err == nil:
		return fmt.Errorf("byte %d: more than one value", d.InputOffset())
	}
	return readable(err)
}

// readable says where an error is, and says it in a line.
func readable(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	if syntax := (*jsontext.SyntacticError)(nil); errors.As(err, &syntax) {
		return fmt.Errorf("byte %d: %w", syntax.ByteOffset, syntax.Err)
	}
	return err
}

// Kind names what kind of value data begins with.
func Kind(data []byte) string {
	data = bytes.TrimLeft(data, " \t\r\n")
	if len(data) == 0 {
		return "nothing"
	}
	switch jsontext.Value(data).Kind() {
	case '{':
		return "object"
	case '[':
		return "array"
	case '"':
		return "string"
	case 'n':
		return "null"
	case 't', 'f':
		return "bool"
	}
	return "number"
}
