package run

import (
	"fmt"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/place"
)

// settleTasks finds the tasks with their classes in the heads' order, their files, and
// the model's folder.
func (a *assembly) settleTasks(glueDir string, from start) (err error) {
	c := a.config
	for _, name := range c.Tasks {
		t := &learned{}
		a.tasks = append(a.tasks, t)
		if t.source, err = newSource(c, name, glueDir, from.trained(), a.observer.Note); err != nil {
			return err
		}
	}
	c.Model.Path = place.AbsoluteModel(c.Model.Path)
	if a.modelDir, err = hf.Resolve(c.Model.Path); err != nil {
		return err
	}
	if from.needsBackbone() {
		if err = a.checkBackbone(from.saved); err != nil {
			return err
		}
	}
	for _, t := range a.tasks {
		if err = t.orderClasses(a.modelDir, from.trained(), a.observer.Note); err != nil {
			return err
		}
	}
	return nil
}

// loadModels puts a head for each task behind the backbone: what of it the start does
// not bring is the checkpoint's, or made.
func (a *assembly) loadModels(from start) (err error) {
	trained := from.trained()
	for i, t := range a.tasks {
		options := encoder.HeadOptions{
			Labels: t.task.Outputs(), Seed: uint64(a.config.Train.Seed) + uint64(i), TrainPooler: trained != nil && trained.BringsPooler(),
		}
		if i == 0 {
			t.model, err = a.session.model(a.modelDir, a.dtype, a.device, options)
		} else {
			t.model, err = a.first().Beside(options)
		}
		if err != nil {
			return err
		}
		a.noteHead(t, trained == nil)
	}
	report := a.first().Report()
	if len(report.Tied) > 0 {
		a.observer.Note(fmt.Sprintf("shared tensors of the checkpoint: %s", adapter.Few(report.Tied)))
	}
	if p := a.first().Config().ProblemType; p == "multi_label_classification" {
		a.observer.Note(fmt.Sprintf("the checkpoint's problem_type is %s; %s has one label for each example, and is trained so", p, strings.Join(a.names(), ", ")))
	}
	unused := slices.DeleteFunc(slices.Clone(report.Unexpected), func(name string) bool { // that no task uses
		return slices.ContainsFunc(a.tasks[1:], func(t *learned) bool { return !slices.Contains(t.model.Report().Unexpected, name) })
	})
	if len(unused) > 0 {
		a.observer.Note(fmt.Sprintf("in the checkpoint, not used: %s", adapter.Few(unused)))
	}
	return nil
}

// noteHead says where a task's head comes from; fresh: no saved adapter has it.
func (a *assembly) noteHead(t *learned, fresh bool) {
	of := ""
	if len(a.tasks) > 1 {
		of = t.task.Name + ": "
	}
	made := t.model.Report().New
	if fresh && len(made) > 0 { // else tuned.PutOn says what is left of it
		a.observer.Note(fmt.Sprintf("%snewly initialised, not in the checkpoint: %s; trained and stored with the adapter", of, adapter.Few(made)))
	}
	if t.guessed != "" && !slices.ContainsFunc(made, func(name string) bool { return strings.HasPrefix(name, "classifier.") }) {
		a.observer.Note(of + t.guessed) // of a head that goes on from the checkpoint's
	}
}
