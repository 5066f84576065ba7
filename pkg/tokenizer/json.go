package tokenizer

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/metatt/metatt/pkg/internal/rawjson"
)

// object is a JSON object read field by field, so that a field that nobody read is an error and not a silent difference.
// Unlike encoding/json's structs it takes the case of names seriously. The first error stays until [object.done].
type object struct {
	path   string   // where it stands in the file: "model."
	names  []string // of the fields, in their order
	fields map[string]jsontext.Value
	err    error
}

// maxFields bounds an object, so that one of nonsense takes no memory; the widest of the format has a dozen.
const maxFields = 256

// parseObject finds the fields of an object, which are parts of data.
func parseObject(path string, data []byte) (*object, error) {
	o := &object{fields: make(map[string]jsontext.Value)}
	if err := o.parse(path, data); err != nil {
		return nil, err
	}
	return o, nil
}

// parse takes another object in the place of this one.
func (o *object) parse(path string, data []byte) error {
	o.path, o.err, o.names = path, nil, o.names[:0]
	clear(o.fields)
	if rawjson.Kind(data) == "null" {
		return o.fail("", "null instead of an object")
	}
	err := rawjson.Members(data, func(name string, value []byte) error {
		if _, twice := o.fields[name]; twice {
			return fmt.Errorf("the field %.40q comes twice", name)
		}
		if len(o.fields) == maxFields {
			return fmt.Errorf("more than %d fields", maxFields)
		}
		o.fields[name] = value
		o.names = append(o.names, name)
		return nil
	})
	if err != nil {
		return o.fail("", "%w", err)
	}
	return nil
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
func (o *object) take(name string) jsontext.Value {
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

func (o *object) decode(name string, raw jsontext.Value, value any) {
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
// takes no memory.
func (o *object) elements(name string, read func(i int, element jsontext.Value)) {
	raw := o.take(name)
	if raw == nil {
		return
	}
	err := rawjson.Elements(raw, func(i int, element []byte) error {
		read(i, element)
		return o.err
	})
	if wrongKind := (*rawjson.KindError)(nil); errors.As(err, &wrongKind) {
		o.fail(name, "%s where an array belongs", excerpt(raw))
	} else if err != nil && o.err == nil {
		o.fail(name, "%w", err)
	}
}

// element is the place of an array's i-th element.
func element(name string, i int) string { return fmt.Sprintf("%s[%d]", name, i) }

// vocabulary reads a map of tokens to ids.
func (o *object) vocabulary(name string) vocabulary {
	raw := o.take(name)
	if raw == nil {
		o.fail(name, "the field is missing")
		return nil
	}
	ids := make(vocabulary, rawjson.Len(raw))
	err := rawjson.Members(raw, func(token string, value []byte) error {
		id, err := strconv.Atoi(string(value))
		if err != nil {
			o.decode(name, value, &id) // for its error
		}
		o.checkID(name, token, id)
		ids[token] = id
		return o.err
	})
	if err != nil && o.err == nil {
		o.fail(name, "%w", jsonError(err))
	}
	return ids
}

func (o *object) checkID(field, token string, id int) {
	if id < 0 || id > math.MaxInt32 {
		o.fail(field, "the id of %q, %d, is outside 0…%d", token, id, math.MaxInt32)
	}
}

// excerpt returns the beginning of a value, on one line.
func excerpt(raw jsontext.Value) string {
	return fmt.Sprintf("%.40s", strings.Join(strings.Fields(string(raw[:min(len(raw), 200)])), " "))
}

// jsonError puts a type error into the words of the file.
func jsonError(err error) error {
	var wrongType *json.SemanticError
	if !errors.As(err, &wrongType) {
		return err
	}
	kind := rawjson.Kind(wrongType.JSONValue)
	if len(wrongType.JSONValue) == 0 {
		kind = wrongType.JSONKind.String()
	}
	if kind == "number" {
		kind += " " + excerpt(wrongType.JSONValue)
	}
	return fmt.Errorf("%s where a value of type %s belongs", kind, wrongType.GoType)
}
