package predict

import (
	"path/filepath"
	"strings"

	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/place"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/task/glue"
	"github.com/metatt/metatt/pkg/task/own"
)

// RunTasks are the tasks that o, which names none, is for in a run directory that has
// several: those that have a split of the kind, can be submitted, or are what a file of
// own data is of. The others are told of. Where none is, all are, so that each can say
// why; nil for any other folder.
func RunTasks(o EvalOptions) ([]string, error) {
	if !place.IsRun(o.Dir) {
		return nil, nil
	}
	c, err := config.Load([]string{filepath.Join(o.Dir, place.ConfigFile)}, nil, nil)
	if err != nil || len(c.Tasks) < 2 {
		return nil, err
	}
	var asked, others []string
	for _, name := range c.Tasks {
		if o.isFor(c, name) {
			asked = append(asked, name)
		} else {
			others = append(others, name)
		}
	}
	if len(asked) == 0 {
		return c.Tasks, nil
	}
	if len(others) > 0 {
		o.note("left out, without what is asked for: %s", strings.Join(others, ", "))
	}
	return asked, nil
}

// isFor: what is asked for can be had of that task of a run.
func (o EvalOptions) isFor(c *config.Config, name string) bool {
	if name == own.TaskName {
		return o.Submission == "" && (o.Split != string(task.Test) || o.Data != "" || c.Data.Test != "")
	}
	t, err := task.Lookup(name)
	switch {
	case err != nil || o.Data != "":
		return false
	case o.Submission != "":
		return len(glue.SubmissionSplits(t)) > 0
	}
	return o.Split != string(task.Test) // whose labels are hidden, or which there is none of
}
