package run

import (
	"fmt"
	"slices"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/torch"
)

// loadAdapter opens the saved adapter and its head, appends a task to it, or
// makes a fresh one.
func (a *assembly) loadAdapter(from start) (err error) {
	if from.saved == nil {
		a.adapter, err = a.newAdapter()
		return err
	}
	defer noteAll(from.saved, a.observer.Note)
	if a.others, err = readOtherTasks(from.saved, a.task.Name, from.appends); err != nil {
		return err
	}
	if from.appends {
		a.adapter, err = a.appendTask(from.saved)
	} else {
		a.adapter, err = openAdapter(from.saved, a.task.Name, a.model, a.device, a.observer.Note)
	}
	return err
}

// openAdapter puts a saved adapter and the head of one of its tasks on a model;
// of an adapter with one task, its own, whatever the name. What of the head is not
// in the folder is said.
func openAdapter(saved *adapter.Saved, task string, model *encoder.Model, device torch.Device, note func(string)) (adapter.Adapter, error) {
	opened, missing, err := saved.PutOn(model, task, device)
	if err != nil || note == nil {
		return opened, err
	}
	var made, kept []string
	for _, name := range missing {
		if slices.Contains(model.Report().New, name) {
			made = append(made, name)
		} else {
			kept = append(kept, name)
		}
	}
	if len(made) > 0 {
		note(fmt.Sprintf("newly initialised, in neither the adapter nor the checkpoint: %s", adapter.Few(made)))
	}
	if len(kept) > 0 {
		note(fmt.Sprintf("not in the adapter, taken from the checkpoint: %s", adapter.Few(kept)))
	}
	return opened, nil
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
		own := adapter.Columns(a.columns)
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
