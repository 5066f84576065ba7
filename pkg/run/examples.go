package run

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/glue"
	"github.com/metatt/metatt/pkg/glue/own"
	"github.com/metatt/metatt/pkg/hf"
)

// source is a task and where its examples are.
type source struct {
	task    glue.Task
	folder  string            // of GLUE
	columns own.Columns       // of own data
	files   map[string]string // of own data, by the key that names each
	guessed string            // what is assumed of a checkpoint's classes that have no names; "": nothing
}

// newSource settles the task: of own data, by reading the labels of its training
// file, unless saved has decided them. saved may be nil.
func newSource(c *config.Config, glueDir string, saved *adapter.Saved, note func(string)) (s source, err error) {
	if c.Task != own.TaskName {
		if s.task, err = glue.Lookup(c.Task); err != nil {
			return s, err
		}
		if s.task.Name != glue.SampleName { // which needs no files
			s.folder, err = glue.Find(c.Data.GLUE, glueDir, glue.StandardFolder)
		}
		return s, err
	}
	s.columns = own.Columns{Text: c.Data.Text, Pair: c.Data.TextPair, Label: c.Data.Label}
	if err := s.columns.Check(); err != nil {
		return s, invalid("data", err)
	}
	s.files = map[string]string{"data.train": c.Data.Train, "data.dev": c.Data.Dev, "data.test": c.Data.Test}
	for _, key := range slices.Sorted(maps.Keys(s.files)) {
		if path := s.files[key]; path != "" {
			if _, err := own.FormatOf(path); err != nil {
				return s, invalid(key, err)
			}
		}
	}
	var labels []string
	if c.Data.Kind == "classification" {
		if labels = savedLabels(saved, own.TaskName); labels == nil {
			if labels, err = own.Labels(c.Data.Train, s.columns); err != nil {
				return s, fmt.Errorf("data.train: %w", err)
			}
			note(fmt.Sprintf("%d labels: %s", len(labels), adapter.Few(labels)))
		}
	}
	if s.task, err = own.Task(s.columns.Pair != "", labels); err != nil { // of labels that were saved
		return s, fmt.Errorf("%s: %w", saved.Dir, err)
	}
	return s, nil
}

// savedLabels are the classes of a saved head for that task, in its rows' order.
func savedLabels(saved *adapter.Saved, task string) []string {
	if saved == nil {
		return nil
	}
	return saved.Config.Labels[task]
}

// orderClasses puts the task's classes in the order of the head's rows: that of a
// saved head for the task, else that of a checkpoint whose classes have the
// labels' names. A note says when it is not the task's own.
func (s *source) orderClasses(modelDir string, saved *adapter.Saved, note func(string)) (err error) {
	if s.task.Regression {
		return nil
	}
	if labels := savedLabels(saved, s.task.Name); labels != nil {
		if s.task, err = s.task.WithLabels(labels); err != nil {
			return fmt.Errorf("%s: %w", saved.Dir, err)
		}
		return nil
	}
	if saved != nil && len(saved.Config.Tasks) > 0 { // a head that was trained on another task
		return nil
	}
	model, err := hf.ReadConfig(modelDir)
	if err != nil {
		return err
	}
	for _, text := range model.Notes() {
		note(filepath.Join(modelDir, "config.json") + ": " + text)
	}
	names := model.ID2Label
	labels, same := s.task.LikeNames(names)
	switch {
	case !same && len(names) == len(s.task.Labels) && strings.HasPrefix(names[0], "LABEL_"):
		s.guessed = fmt.Sprintf("the checkpoint's classes have no names but %s: that they are %s, in this order, is a guess", adapter.Few(names), adapter.Few(s.task.Labels))
		return nil
	case !same && len(names) == len(s.task.Labels):
		note(fmt.Sprintf("the checkpoint calls its classes %s; they are taken for %s in this order", adapter.Few(names), adapter.Few(s.task.Labels)))
		return nil
	case !same || slices.Equal(labels, s.task.Labels):
		return nil
	}
	note(fmt.Sprintf("classes in the checkpoint's order: %s", adapter.Few(labels)))
	s.task, err = s.task.WithLabels(labels)
	return err
}

// key is all that decides which examples are read, and as which classes.
func (s *source) key(c *config.Config) string {
	files := map[string]string{}
	for key, path := range s.files {
		files[key] = absolute(path)
	}
	return fmt.Sprintf("%q %q %q %t %q %q", s.task.Name, s.task.Labels, absolute(s.folder), c.Data.TrainSubset, s.columns, files)
}

// readTraining reads the examples to train on; note is told what is left out.
func (s *source) readTraining(c *config.Config, note func(string)) ([]glue.Example, error) {
	switch {
	case s.files != nil:
		return s.readFile("data.train")
	case c.Data.TrainSubset:
		return s.task.ReadNoting(s.folder, glue.TrainSubset, note)
	}
	return s.task.ReadNoting(s.folder, glue.Train, note)
}

// readDev reads the examples to evaluate on; note is told what is left out.
func (s *source) readDev(note func(string)) ([]glue.Example, error) {
	if s.files != nil {
		return s.readFile("data.dev")
	}
	return s.task.ReadNoting(s.folder, glue.Dev, note)
}

// readFile reads one of the files of own data.
func (s *source) readFile(key string) ([]glue.Example, error) {
	if s.files[key] == "" {
		return nil, invalid(key, errors.New("is not set"))
	}
	examples, err := own.Read(s.files[key], s.task, s.columns)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return examples, nil
}
