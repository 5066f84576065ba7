package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Values are the values of the keys that the run has a use for, as they are written on the command line: without those
// of other methods, tasks and modes of dmrg.
func (c *Config) Values() map[string]string {
	values := map[string]string{}
	for i := range schema().keys {
		if key := &schema().keys[i]; key.isFor(c) {
			values[key.Name] = written(key.of(c))
		}
	}
	return values
}

func (k *Key) isFor(c *Config) bool {
	switch {
	case k.task != "":
		return len(c.Tasks) > 1 && slices.Contains(c.Tasks, k.task)
	case !k.Concerns(c.Adapter.Method), k.modes != nil && !slices.Contains(k.modes, c.DMRG.Mode):
		return false
	}
	return k.tasks == nil || slices.ContainsFunc(c.Tasks, func(task string) bool { return slices.Contains(k.tasks, task) })
}

// written is a value as [Load] reads it.
func written(value any) string {
	v := reflect.ValueOf(value)
	switch {
	case v.Kind() == reflect.Pointer && v.IsNil():
		return "null"
	case v.Kind() == reflect.Pointer:
		return written(v.Elem().Interface())
	case v.Kind() == reflect.Slice:
		items := make([]string, v.Len())
		for i := range items {
			items[i] = written(v.Index(i).Interface())
		}
		if len(items) == 1 {
			return items[0]
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	return fmt.Sprint(value)
}
