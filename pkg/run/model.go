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

// settleTask finds the task with its classes in the head's order, its files, and
// the model's folder.
func (a *assembly) settleTask(glueDir string, from start) (err error) {
	c := a.config
	if a.source, err = newSource(c, glueDir, from.trained(), a.observer.Note); err != nil {
		return err
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
	return a.orderClasses(a.modelDir, from.trained(), a.observer.Note)
}

// loadModel puts a head behind the backbone: what of it the start does not bring is
// the checkpoint's, or made.
func (a *assembly) loadModel(from start) (err error) {
	trained := from.trained()
	a.model, err = a.session.model(a.modelDir, a.dtype, a.device, encoder.HeadOptions{
		Labels: max(1, len(a.task.Labels)), Seed: uint64(a.config.Train.Seed), TrainPooler: trained != nil && trained.BringsPooler(),
	})
	if err != nil {
		return err
	}
	report := a.model.Report()
	if trained == nil && len(report.New) > 0 { // else openAdapter says what is left of it
		a.observer.Note(fmt.Sprintf("newly initialised, not in the checkpoint: %s; trained and stored with the adapter", adapter.Few(report.New)))
	}
	if a.guessed != "" && !slices.ContainsFunc(report.New, func(name string) bool { return strings.HasPrefix(name, "classifier.") }) {
		a.observer.Note(a.guessed) // of a head that goes on from the checkpoint's
	}
	if len(report.Tied) > 0 {
		a.observer.Note(fmt.Sprintf("shared tensors of the checkpoint: %s", adapter.Few(report.Tied)))
	}
	if p := a.model.Config().ProblemType; p == "multi_label_classification" {
		a.observer.Note(fmt.Sprintf("the checkpoint's problem_type is %s; %s has one label for each example, and is trained so", p, a.task.Name))
	}
	if len(report.Unexpected) > 0 {
		a.observer.Note(fmt.Sprintf("in the checkpoint, not used: %s", adapter.Few(report.Unexpected)))
	}
	return nil
}
