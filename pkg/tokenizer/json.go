package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// object is a JSON object read field by field, so that a field that nobody read is an error and not a silent difference.
// Unlike encoding/json's structs it takes the case of names seriously. The first error stays until [object.done].
type object struct {
	path   string // where it stands in the file: "model."
	fields map[string]json.RawMessage
	err    error
}

func parseObject(path string, data []byte) (*object, error) {
	o := &object{path: path}
	if err := json.Unmarshal(data, &o.fields); err != nil {
		return nil, o.fail("", "%w", jsonError(err))
	}
	if o.fields == nil {
		return nil, o.fail("", "null instead of an object")
	}
	return o, nil
}

// fail records an error about a field, or about the object itself.
func (o *object) fail(field, format string, args ...any) error {
	if o.err == nil {
		o.err = fmt.Errorf(format, args...)
		if place := strings.TrimSuffix(o.path+field, "."); place != "" {
			quoted := strconv.Quote(place) // names come from the file too, and an error is one line
			o.err = fmt.Errorf("%s: %w", quoted[1:len(quoted)-1], o.err)
		}
	}
	return o.err
}

// take returns a field's bytes and counts it as read. They are nil where it is absent or null.
func (o *object) take(name string) json.RawMessage {
	raw := o.fields[name]
	delete(o.fields, name)
	if string(bytes.TrimSpace(raw)) == "null" {
		return nil
	}
	return raw
}

// ignore counts fields as read that change no ids.
func (o *object) ignore(names ...string) {
	for _, name := range names {
		delete(o.fields, name)
	}
}

// read decodes a field. One that is absent or null leaves value as it is.
func (o *object) read(name string, value any) {
	if raw := o.take(name); raw != nil {
		o.decode(name, raw, value)
	}
}

// need is read for a field that must be there.
func (o *object) need(name string, value any) {
	if raw := o.take(name); raw != nil {
		o.decode(name, raw, value)
	} else {
		o.fail(name, "the field is missing")
	}
}

func (o *object) decode(name string, raw json.RawMessage, value any) {
	if err := json.Unmarshal(raw, value); err != nil {
		o.fail(name, "%w", jsonError(err))
	}
}

// only accepts a field that is absent, null or has one of the supported values.
func (o *object) only(name string, supported ...string) {
	if raw := o.take(name); raw != nil && !slices.Contains(supported, string(bytes.TrimSpace(raw))) {
		o.fail(name, "%s is not supported, only %s", excerpt(raw), strings.Join(supported, " or "))
	}
}

// child reads a field that is an object with a type, and that type. Both are zero where the field is absent or null.
func (o *object) child(name string) (c *object, kind string) {
	raw := o.take(name)
	if raw == nil {
		return nil, ""
	}
	c, err := parseObject(o.path+name+".", raw)
	if err == nil {
		c.need("type", &kind)
		err = c.err
	}
	if err != nil && o.err == nil {
		o.err = err
	}
	return c, kind
}

// done returns the first error, or one about a field that nothing has read.
func (o *object) done() error {
	for _, name := range slices.Sorted(maps.Keys(o.fields)) {
		o.fail(name, "the field is not supported")
	}
	return o.err
}

// elements calls read with each element of an array, in turn and until the first error, so that an array of nonsense
// takes no memory. The element is valid during the call only.
func (o *object) elements(name string, read func(place string, element json.RawMessage)) {
	raw := o.take(name)
	if raw == nil {
		return
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	if start, _ := decoder.Token(); start != json.Delim('[') {
		o.fail(name, "%s where an array belongs", excerpt(raw))
		return
	}
	var element json.RawMessage
	for i := 0; o.err == nil && decoder.More(); i++ {
		if err := decoder.Decode(&element); err != nil {
			o.fail(name, "%w", err)
			return
		}
		read(fmt.Sprintf("%s[%d]", name, i), element)
	}
}

// vocabulary reads a map of tokens to ids.
func (o *object) vocabulary(name string) vocabulary {
	var ids map[string]int
	o.need(name, &ids)
	for token, id := range ids {
		o.checkID(name, token, id)
	}
	return ids
}

func (o *object) checkID(field, token string, id int) {
	if id < 0 || id > math.MaxInt32 {
		o.fail(field, "the id of %q, %d, is outside 0…%d", token, id, math.MaxInt32)
	}
}

// excerpt returns the beginning of a value, on one line.
func excerpt(raw json.RawMessage) string {
	return fmt.Sprintf("%.40s", strings.Join(strings.Fields(string(raw[:min(len(raw), 200)])), " "))
}

// jsonError puts a type error into the words of the file.
func jsonError(err error) error {
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		return fmt.Errorf("%s where a value of type %s belongs", wrongType.Value, wrongType.Type)
	}
	return err
}
