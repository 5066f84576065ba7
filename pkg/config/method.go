package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// checkMethod finds keys that are set for another method than the run's. A key at its default is as good as unset: a
// resolved file holds every key.
func (c *Config) checkMethod() []Problem {
	var problems []Problem
	for i := range schema().keys {
		key := &schema().keys[i]
		if key.methods == nil || slices.Contains(key.methods, c.Adapter.Method) {
			continue
		}
		if byDefault, _ := key.parse(key.Default); !reflect.DeepEqual(key.of(c), byDefault) {
			problems = append(problems, Problem{Where: c.where[key.Name], Key: key.Name,
				Message: fmt.Sprintf("is for method %s; the method is %s", strings.Join(key.methods, ", "), c.Adapter.Method)})
		}
	}
	return problems
}
