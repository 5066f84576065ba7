package config

import (
	"errors"
	"reflect"
	"slices"
	"strings"
)

// Lookup is the key of a name; the error says which was probably meant.
func Lookup(name string) (Key, error) {
	name = canonical(name)
	if key := schema().byName[name]; key != nil {
		return *key, nil
	}
	return Key{}, errors.New(schema().unknown(name))
}

// Concerns reports whether a method looks at the key.
func (k Key) Concerns(method string) bool {
	if short, ofAdapter := strings.CutPrefix(k.Name, "adapter."); ofAdapter && slices.Contains(declared(method).Idle, short) {
		return false
	}
	return k.methods == nil || slices.Contains(k.methods, method)
}

// IsList: the value is several, with commas between.
func (k Key) IsList() bool { return k.kind.Kind() == reflect.Slice }

// Check says what is wrong with a value of the key as it is written; "" where nothing is.
func (k Key) Check(text string) string {
	_, problem := k.read(text)
	return problem
}

// Has reports whether the key's value in c is the one that is written so.
func (k Key) Has(c *Config, text string) bool {
	value, problem := k.read(text)
	return problem == "" && reflect.DeepEqual(value, k.of(c))
}

// Same reports whether two texts are the same value of the key.
func (k Key) Same(a, b string) bool {
	one, problem := k.read(a)
	other, wrong := k.read(b)
	return problem == "" && wrong == "" && reflect.DeepEqual(one, other)
}

// read is the value that is written so, also as a list in brackets.
func (k Key) read(text string) (any, string) {
	l := newLayer()
	l.set("", k.Name, text)
	if len(l.problems) > 0 {
		return nil, l.problems[0].Message
	}
	return l.values[k.Name], ""
}

// Neutral: the key changes no number of a run: where it goes, how it is watched, how often its state is saved, how many
// threads compute it, where GLUE is.
func (k Key) Neutral() bool { return k.same }

// WithoutNeutral is a copy of c whose neutral keys have their defaults: equal for runs that make the same numbers.
func (c *Config) WithoutNeutral() *Config {
	n := *c
	n.setNeutral(func(key *Key) reflect.Value {
		value, _ := key.parse(key.Default)
		return reflect.ValueOf(value)
	})
	return &n
}

// TakeNeutral sets the neutral keys, but for the run's folder, to what they are in other: of a run that goes on
// these may change.
func (c *Config) TakeNeutral(other *Config) {
	dir := c.Run.Dir
	c.setNeutral(func(key *Key) reflect.Value { return reflect.ValueOf(other).Elem().FieldByIndex(key.index) })
	c.Run.Dir = dir
}

func (c *Config) setNeutral(value func(*Key) reflect.Value) {
	for i := range schema().keys {
		if key := &schema().keys[i]; key.same {
			reflect.ValueOf(c).Elem().FieldByIndex(key.index).Set(value(key))
		}
	}
}
