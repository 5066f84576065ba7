// Package place knows where things are: a run's configuration and adapter, the
// model that an adapter is for, a task's examples.
//
// What a run or an adapter records is read in any folder: of what stands in the
// file system it is the absolute path.
package place

import (
	"os"
	"path/filepath"

	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/task/glue"
	"github.com/metatt/metatt/pkg/task/sample"
)

// Absolute is the absolute path of what is there, also of a pattern that something
// matches, and anything else as it is.
func Absolute(path string) string {
	_, err := os.Stat(path)
	if matches, _ := filepath.Glob(path); path == "" || err != nil && len(matches) == 0 {
		return path
	}
	if whole, err := filepath.Abs(path); err == nil {
		return whole
	}
	return path
}

// AbsoluteModel is the absolute path of a model's folder; a name stays one.
func AbsoluteModel(ref string) string {
	if dir, err := hf.Resolve(ref); err == nil && dir == ref {
		return Absolute(ref)
	}
	return ref
}

// Examples is where the examples of a task that has a name are: in the GLUE
// folder, see [glue.Find], those of the built-in task in none.
func Examples(t task.Task, configured, env string) (task.Source, error) {
	if t.Name == task.Sample {
		return sample.Source{}, nil
	}
	return glue.Find(configured, env, glue.StandardFolder)
}
