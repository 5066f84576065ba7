package run

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/place"
	"github.com/metatt/metatt/pkg/tuned"
)

// loadAdapter opens the saved adapter and its heads, appends a task to it, or
// makes a fresh one.
func (a *assembly) loadAdapter(from start) (err error) {
	if from.saved == nil {
		for i, t := range a.tasks {
			t.index = i
		}
		a.adapter, err = a.newAdapter()
		return err
	}
	defer tuned.Notes(from.saved, a.observer.Note)
	if a.others, err = readOtherTasks(from.saved, a.names(), from.appends); err != nil {
		return err
	}
	if from.appends {
		a.tasks[0].index = len(from.saved.Config.Tasks)
		a.noteFormat(from.saved)
		a.adapter, err = a.appendTask(from.saved)
		return err
	}
	another := len(from.saved.Config.Tasks) == 1 && from.saved.Config.Tasks[0] != a.tasks[0].task.Name
	if another && !from.resumes {
		from.saved.ForAnotherTask()
	}
	if a.adapter, err = tuned.PutOn(from.saved, a.tasks[0].task.Name, a.first(), a.device, a.observer.Note); err != nil {
		return err
	}
	if !from.resumes {
		a.noteStart(from.saved)
	}
	if err = a.tune(); err != nil {
		return err
	}
	for _, t := range a.tasks[1:] {
		if _, err = from.saved.LoadTaskHead(t.task.Name, t.model.Head()); err != nil {
			return err
		}
	}
	for _, t := range a.tasks {
		t.index = max(0, slices.Index(from.saved.Config.Tasks, t.task.Name)) // of one task, its adapter may have had another
	}
	return nil
}

// noteFormat says where the tasks before were trained in another format than that in which they are judged beside the
// appended one. An adapter folder alone does not record it.
func (a *assembly) noteFormat(saved *adapter.Saved) {
	dir := filepath.Join(saved.Dir, "..", "..")
	if !place.IsRun(dir) {
		return
	}
	c, err := config.Load([]string{filepath.Join(dir, place.ConfigFile)}, nil, nil)
	if err != nil || c.Model.DType == a.config.Model.DType {
		return // an adapter needs no run directory that can be read
	}
	a.observer.Note(fmt.Sprintf("%s was trained in %s, and this run computes in %s: beside the appended task its logits are rounded otherwise",
		strings.Join(saved.Config.Tasks, ", "), c.Model.DType, a.config.Model.DType))
}

// noteStart says what a saved adapter was trained for that this run is not: its classifier, and the update, mean
// something else here. Ranks that have fallen do not fall again.
func (a *assembly) noteStart(saved *adapter.Saved) {
	c, task := saved.Config, a.tasks[0].task.Name
	if len(c.Tasks) == 1 && c.Tasks[0] != task {
		head := a.first().Head()
		text := "%s goes on with the classifier of %s, for which the adapter in %s was trained"
		if slices.ContainsFunc(head, func(p adapter.Parameter) bool { return !saved.BringsOfHead(c.Tasks[0], p) }) {
			text = "%s begins with outputs of its own: the classifier of %s, for which the adapter in %s was trained, has another number of them"
		}
		a.observer.Note(fmt.Sprintf(text, task, c.Tasks[0], saved.Dir))
	}
	if same, _ := a.isBackbone(c.BaseModel); !same && c.BaseModel != "" {
		a.observer.Note(fmt.Sprintf("the adapter in %s was trained on %s, the model of this run is %s", saved.Dir, c.BaseModel, a.config.Model.Path))
	}
	if r, ok := a.adapter.(adapter.RankAdapter); ok && len(r.Progress()) == 0 {
		a.observer.Note(fmt.Sprintf("%s: the ranks of the adapter to start from have fallen already, and stay as they are", a.config.Adapter.Method))
	}
}

// tune trains a saved adapter as this run says, which need not be as another run before it did.
func (a *assembly) tune() error {
	t, ok := a.adapter.(adapter.Tunable)
	if !ok {
		return nil
	}
	return t.Tune(a.config.Adapter.Settings(a.config.Adapter.Method))
}

// saveAdapter writes adapter and heads, as they are, into a folder. It runs
// inside [torch.Do].
func (a *assembly) saveAdapter(dir string) error {
	config := a.others.describe(a.adapter.Config())
	config.BaseModel = hf.HubName(a.config.Model.Path) // by which PEFT finds it, too
	config.TaskType = "SEQ_CLS"
	if len(config.Tasks) < 2 { // it may have been another one's
		config.Tasks = namesOf(slices.SortedFunc(slices.Values(a.tasks), func(x, y *learned) int { return x.index - y.index }))
	}
	for _, t := range a.tasks {
		config = config.WithTask(t.task.Name, t.task.Labels, t.savedColumns(), a.config.Data.MaxLength)
	}
	config = config.WithModel(a.first().Head(), a.first().Replaced())
	replaced, err := adapter.StoredReplaced(config, a.first().Replaced())
	if err != nil {
		return err
	}
	stored := adapter.State(a.adapter)
	for _, t := range a.tasks {
		stored = slices.Concat(stored, adapter.TaskHead(config, t.task.Name, t.model.Head()))
	}
	return adapter.Save(dir, config, slices.Concat(stored, a.others.heads, replaced))
}

// savedColumns are those of own data; nil for other tasks.
func (t *learned) savedColumns() *adapter.Columns {
	if t.files == nil {
		return nil
	}
	columns := adapter.Columns(t.task.Columns)
	return &columns
}
