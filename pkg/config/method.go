package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// changed: the key is not at its default.
func (k *Key) changed(c *Config) bool {
	byDefault, _ := k.parse(k.Default)
	return !reflect.DeepEqual(k.of(c), byDefault)
}

// Changed reports whether a key ("dmrg.rewarm") is not at its default; false where there is no such key.
func (c *Config) Changed(key string) bool {
	k := schema().byName[key]
	return k != nil && k.changed(c)
}

// Idle are the keys of all methods that are not at their defaults, though the run's method has no use for them: of a base,
// say, that other runs have too.
func (c *Config) Idle() (names []string) {
	for i := range schema().keys {
		key := &schema().keys[i]
		if key.methods == nil && !key.Concerns(c.Adapter.Method) && key.changed(c) {
			names = append(names, key.Name)
		}
	}
	return names
}

// checkMethod finds keys that are set for another method, or another dmrg.mode, than the run's. A key at its default is
// as good as unset: a resolved file holds every key.
func (c *Config) checkMethod() []Problem {
	var problems []Problem
	for i := range schema().keys {
		key := &schema().keys[i]
		for _, choice := range []struct {
			what, ours string
			legal      []string
		}{{"method", c.Adapter.Method, key.methods}, {"dmrg.mode", c.DMRG.Mode, key.modes}} {
			if choice.legal == nil || slices.Contains(choice.legal, choice.ours) {
				continue
			}
			if key.changed(c) {
				problems = append(problems, Problem{Where: c.where[key.Name], Key: key.Name,
					Message: fmt.Sprintf("is for %s %s; the %s is %s", choice.what, strings.Join(choice.legal, ", "), choice.what, choice.ours)})
			}
		}
	}
	return problems
}
