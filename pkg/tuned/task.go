package tuned

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/task/own"
)

// ChooseTask is the index of the task that --task names, or of the only one.
func ChooseTask(saved *adapter.Saved, name string) (int, error) {
	index, err := saved.Config.Task(name)
	switch {
	case err != nil && name == "" && len(saved.Config.Tasks) > 1:
		return 0, fmt.Errorf("%s: %w: choose it by --task", saved.Dir, err)
	case err != nil:
		return 0, fmt.Errorf("%s: %w", filepath.Join(saved.Dir, adapter.ConfigFile), err)
	}
	return index, nil
}

// savedTask is a task that an adapter was trained on, its classes in the order of
// the head's rows.
func savedTask(c adapter.Config, index int) (task.Task, error) {
	name := c.Tasks[index]
	labels := c.Labels[name]
	if name == own.TaskName {
		columns := task.Columns(c.Columns[name])
		if err := own.CheckColumns(columns); err != nil {
			return task.Task{}, fmt.Errorf("columns of task %s: %w", name, err)
		}
		return own.Task(columns, labels)
	}
	t, err := task.Lookup(name)
	if err != nil || labels == nil {
		return t, err
	}
	return t.WithLabels(labels)
}

// NameTask settles the task of an adapter that names none: the one of that name,
// with the classes in the order of the checkpoint's names, or where that is empty
// none. outputs is the number of the head's, 0 where nothing says it.
func NameTask(saved *adapter.Saved, name, modelDir string, note func(string)) (t task.Task, outputs int, err error) {
	model, err := hf.ReadConfig(modelDir)
	if err != nil {
		return t, 0, err
	}
	if outputs, err = saved.Outputs(int64(model.HiddenSize)); err != nil || name == "" {
		return t, outputs, err
	}
	if name == own.TaskName {
		return t, 0, fmt.Errorf("%s does not say what the labels and columns of own data are: it cannot be used for task %s", filepath.Join(saved.Dir, adapter.ConfigFile), name)
	}
	if note == nil {
		note = func(string) {}
	}
	if t, err = task.Lookup(name); err != nil {
		return task.Task{}, 0, err
	}
	t, guessed, err := OrderClasses(t, modelDir, nil, note)
	if err != nil {
		return task.Task{}, 0, err
	}
	if guessed != "" {
		note(guessed)
	}
	if want := t.Outputs(); outputs != 0 && outputs != want {
		return task.Task{}, 0, fmt.Errorf("%s: the adapter's classifier has %d outputs, %s has %d", saved.Dir, outputs, t.Name, want)
	}
	return t, t.Outputs(), nil
}

// SavedLabels are the classes of a saved head for that task, in its rows' order;
// saved may be nil.
func SavedLabels(saved *adapter.Saved, name string) []string {
	if saved == nil {
		return nil
	}
	return saved.Config.Labels[name]
}

// OrderClasses puts a task's classes in the order of the head's rows: that of a
// saved head for the task, else that of a checkpoint whose classes have the
// labels' names. A note says when it is not the task's own; guessed is what is
// assumed of a checkpoint's classes that have no names, "" where nothing is. saved
// may be nil.
func OrderClasses(t task.Task, modelDir string, saved *adapter.Saved, note func(string)) (ordered task.Task, guessed string, err error) {
	if t.Regression {
		return t, "", nil
	}
	if labels := SavedLabels(saved, t.Name); labels != nil {
		if t, err = t.WithLabels(labels); err != nil {
			return t, "", fmt.Errorf("%s: %w", saved.Dir, err)
		}
		return t, "", nil
	}
	if saved != nil && len(saved.Config.Tasks) > 0 { // a head that was trained on another task
		return t, "", nil
	}
	model, err := hf.ReadConfig(modelDir)
	if err != nil {
		return t, "", err
	}
	for _, text := range model.Notes() {
		note(filepath.Join(modelDir, "config.json") + ": " + text)
	}
	names := model.ID2Label
	labels, same := t.LikeNames(names)
	switch {
	case !same && len(names) == len(t.Labels) && strings.HasPrefix(names[0], "LABEL_"):
		return t, fmt.Sprintf("the checkpoint's classes have no names but %s: that they are %s, in this order, is a guess", adapter.Few(names), adapter.Few(t.Labels)), nil
	case !same && len(names) == len(t.Labels):
		note(fmt.Sprintf("the checkpoint calls its classes %s; they are taken for %s in this order", adapter.Few(names), adapter.Few(t.Labels)))
		return t, "", nil
	case !same || slices.Equal(labels, t.Labels):
		return t, "", nil
	}
	note(fmt.Sprintf("classes in the checkpoint's order: %s", adapter.Few(labels)))
	t, err = t.WithLabels(labels)
	return t, "", err
}
