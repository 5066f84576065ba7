package config

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Tasks are what a run learns: one task, or several at once. It is never empty.
type Tasks []string

// MarshalYAML writes one task as a word, several as a list.
func (t Tasks) MarshalYAML() (any, error) {
	if len(t) == 1 {
		return t[0], nil
	}
	return []string(t), nil
}

// clause is of a message: "the task is mrpc".
func (t Tasks) clause() string {
	if len(t) == 1 {
		return "the task is " + t[0]
	}
	return "the tasks are " + strings.Join(t, ", ")
}

// Task is the run's task; of several, the first.
func (c *Config) Task() string { return c.Tasks[0] }

// taskName is the name of a task as the schema has it. GLUE itself writes SST-2 and STS-B.
func taskName(text string) string { return strings.ReplaceAll(strings.ToLower(text), "-", "") }

// checkTask finds keys that are set for another task than the run's, and those that its tasks lack. A key at its
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
		ours := slices.DeleteFunc(slices.Clone(c.Tasks), func(task string) bool { return !slices.Contains(key.tasks, task) })
		switch {
		case key.tasks == nil, wrong[key.Name]:
		case len(ours) == 0 && !reflect.DeepEqual(value, byDefault):
			problems = append(problems, c.problem(key.Name, "is for task %s; %s", strings.Join(key.tasks, ", "), c.Tasks.clause()))
		case len(ours) > 0 && key.must && reflect.ValueOf(value).IsZero():
			problems = append(problems, Problem{Where: cmp.Or(c.where[key.Name], c.where["task"]), Key: key.Name,
				Message: fmt.Sprintf("is missing; task %s needs it: %s", ours[0], key.Doc)})
		}
	}
	return append(problems, c.checkSeveral()...)
}
