package run

import (
	"slices"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/tuned"
)

// loadAdapter opens the saved adapter and its head, appends a task to it, or
// makes a fresh one.
func (a *assembly) loadAdapter(from start) (err error) {
	if from.saved == nil {
		a.adapter, err = a.newAdapter()
		return err
	}
	defer tuned.Notes(from.saved, a.observer.Note)
	if a.others, err = readOtherTasks(from.saved, a.task.Name, from.appends); err != nil {
		return err
	}
	if from.appends {
		a.adapter, err = a.appendTask(from.saved)
	} else {
		a.adapter, err = tuned.PutOn(from.saved, a.task.Name, a.model, a.device, a.observer.Note)
	}
	return err
}

// saveAdapter writes adapter and heads, as they are, into a folder. It runs
// inside [torch.Do].
func (a *assembly) saveAdapter(dir string) error {
	config := a.others.describe(a.adapter.Config())
	config.BaseModel = a.config.Model.Path
	config.TaskType = "SEQ_CLS"
	if len(config.Tasks) < 2 { // it may have been another one's
		config.Tasks = []string{a.task.Name}
	}
	var columns *adapter.Columns
	if a.files != nil {
		own := adapter.Columns(a.task.Columns)
		columns = &own
	}
	config = config.WithTask(a.task.Name, a.task.Labels, columns, a.config.Data.MaxLength).WithModel(a.model.Head(), a.model.Replaced())
	replaced, err := adapter.StoredReplaced(config, a.model.Replaced())
	if err != nil {
		return err
	}
	return adapter.Save(dir, config, slices.Concat(
		adapter.State(a.adapter), adapter.TaskHead(config, a.task.Name, a.model.Head()), a.others.heads, replaced))
}
