package config

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// checkTask finds keys that are set for another task than the run's, and those that its task lacks. A key at its
// default is as good as unset: a resolved file holds every key. Nothing is said of a key that is among the problems
// already known, nor of any where the task is.
func (c *Config) checkTask(known []Problem) []Problem {
	wrong := map[string]bool{}
	for _, problem := range known {
		wrong[problem.Key] = true
	}
	if wrong["task"] {
		return nil
	}
	var problems []Problem
	for i := range schema().keys {
		key := &schema().keys[i]
		byDefault, _ := key.parse(key.Default)
		value := key.of(c)
		switch ours := slices.Contains(key.tasks, c.Task); {
		case key.tasks == nil, wrong[key.Name]:
		case !ours && !reflect.DeepEqual(value, byDefault):
			problems = append(problems, Problem{Where: c.where[key.Name], Key: key.Name,
				Message: fmt.Sprintf("is for task %s; the task is %s", strings.Join(key.tasks, ", "), c.Task)})
		case ours && key.must && reflect.ValueOf(value).IsZero():
			problems = append(problems, Problem{Where: cmp.Or(c.where[key.Name], c.where["task"]), Key: key.Name,
				Message: fmt.Sprintf("is missing; task %s needs it: %s", c.Task, key.Doc)})
		}
	}
	return problems
}
