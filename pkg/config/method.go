package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Idle are the keys of all methods that are not at their defaults, though the run's method has no use for them: of a base,
// say, that other runs have too.
func (c *Config) Idle() (names []string) {
	for i := range schema().keys {
		key := &schema().keys[i]
		if byDefault, _ := key.parse(key.Default); key.methods == nil && !key.Concerns(c.Adapter.Method) && !reflect.DeepEqual(key.of(c), byDefault) {
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
			if byDefault, _ := key.parse(key.Default); !reflect.DeepEqual(key.of(c), byDefault) {
				problems = append(problems, Problem{Where: c.where[key.Name], Key: key.Name,
					Message: fmt.Sprintf("is for %s %s; the %s is %s", choice.what, strings.Join(choice.legal, ", "), choice.what, choice.ours)})
			}
		}
	}
	return problems
}
