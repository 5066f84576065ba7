package run

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/place"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/task/glue"
	"github.com/metatt/metatt/pkg/task/own"
	"github.com/metatt/metatt/pkg/tuned"
)

// source is a task and where its examples are.
type source struct {
	task    task.Task
	from    task.Source       // of GLUE's tasks and the built-in one
	files   map[string]string // of own data, by the key that names each
	guessed string            // what is assumed of a checkpoint's classes that have no names; "": nothing
}

// newSource settles the task: of own data, by reading the labels of its training
// file, unless saved has decided them. saved may be nil.
func newSource(c *config.Config, name, glueDir string, saved *adapter.Saved, note func(string)) (s source, err error) {
	if name != own.TaskName {
		if s.task, err = task.Lookup(name); err != nil {
			return s, err
		}
		s.from, err = place.Examples(s.task, c.Data.GLUE, glueDir)
		return s, err
	}
	columns := task.Columns{Text: c.Data.Text, Pair: c.Data.TextPair, Label: c.Data.Label}
	if err := own.CheckColumns(columns); err != nil {
		return s, config.Invalid("data", err)
	}
	s.files = map[string]string{"data.train": c.Data.Train, "data.dev": c.Data.Dev, "data.test": c.Data.Test}
	for _, key := range slices.Sorted(maps.Keys(s.files)) {
		if path := s.files[key]; path != "" {
			if _, err := own.FormatOf(path); err != nil {
				return s, config.Invalid(key, err)
			}
		}
	}
	var labels []string
	if c.Data.Kind == "classification" {
		if labels = tuned.SavedLabels(saved, own.TaskName); labels == nil {
			if labels, err = own.Labels(c.Data.Train, columns); err != nil {
				return s, fmt.Errorf("data.train: %w", err)
			}
			note(fmt.Sprintf("%d labels: %s", len(labels), adapter.Few(labels)))
		}
	}
	if s.task, err = own.Task(columns, labels); err != nil { // of labels that were saved
		return s, fmt.Errorf("%s: %w", saved.Dir, err)
	}
	return s, nil
}

// orderClasses puts the task's classes in the order of the head's rows, see
// [tuned.OrderClasses].
func (s *source) orderClasses(modelDir string, saved *adapter.Saved, note func(string)) (err error) {
	s.task, s.guessed, err = tuned.OrderClasses(s.task, modelDir, saved, note)
	return err
}

// key is all that decides which examples are read, and as which classes.
func (s *source) key(c *config.Config) string {
	files := map[string]string{}
	for key, path := range s.files {
		files[key] = place.Absolute(path)
	}
	folder := ""
	if f, isGLUE := s.from.(glue.Folder); isGLUE {
		folder = place.Absolute(string(f))
	}
	return fmt.Sprintf("%q %q %q %t %q %q", s.task.Name, s.task.Labels, folder, c.Data.TrainSubset, s.task.Columns, files)
}

// readTraining reads the examples to train on; note is told what is left out.
func (s *source) readTraining(c *config.Config, note func(string)) ([]task.Example, error) {
	if s.files != nil {
		return s.readFile("data.train")
	}
	return s.from.Read(s.task, s.trainSplit(c.Data.TrainSubset), note)
}

// trainSplit is the split to train on; subset: the subset of the tasks that have one.
func (s *source) trainSplit(subset bool) task.Split {
	if subset && slices.Contains(s.task.Splits, task.TrainSubset) {
		return task.TrainSubset
	}
	return task.Train
}

// readDev reads the examples to evaluate on; note is told what is left out.
func (s *source) readDev(note func(string)) ([]task.Example, error) {
	if s.files != nil {
		return s.readFile("data.dev")
	}
	return s.from.Read(s.task, task.Dev, note)
}

// readFile reads one of the files of own data.
func (s *source) readFile(key string) ([]task.Example, error) {
	if s.files[key] == "" {
		return nil, config.Invalid(key, errors.New("is not set"))
	}
	examples, err := own.Read(s.files[key], s.task)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return examples, nil
}
