package run

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/torch"
)

// otherTasks is what an adapter holds for tasks that the run does not train:
// it is saved again as it was.
type otherTasks struct {
	saved adapter.Config
	names []string
	heads []adapter.Parameter // under their names on disk
}

func readOtherTasks(saved *adapter.Saved, tasks []string, appends bool) (o otherTasks, err error) {
	if len(saved.Config.Tasks) < 2 && !appends {
		return o, nil // its head is the one that goes on
	}
	if o.heads, err = saved.OtherHeads(tasks); err != nil {
		return o, err
	}
	o.saved = saved.Config
	o.names = slices.DeleteFunc(slices.Clone(saved.Config.Tasks), func(name string) bool { return slices.Contains(tasks, name) })
	return o, nil
}

// describe is a config with what is to be known of the other tasks.
func (o otherTasks) describe(c adapter.Config) adapter.Config {
	for _, name := range o.names {
		var columns *adapter.Columns
		if own, ok := o.saved.Columns[name]; ok {
			columns = &own
		}
		c = c.WithTask(name, o.saved.Labels[name], columns, o.saved.LongestOf(name))
	}
	return c
}

func (o otherTasks) free() {
	for _, p := range o.heads {
		p.Tensor.Free()
	}
}

// appending is what adapter.append says.
func appending(c *config.Config, task string) adapter.Appending {
	how := c.Adapter.Append
	return adapter.Appending{Task: task, Start: how.Start, Grow: how.Grow, Seed: uint64(c.Train.Seed)}
}

// checkTasks looks for what stands between the run's task and those of a saved
// adapter, which is to be trained further or, with appends, to gain the task.
func checkTasks(c *config.Config, saved *adapter.Saved, appends bool) error {
	tasks, frozen := saved.Config.Tasks, saved.Config.FrozenTasks
	if appends {
		if err := appending(c, c.Task()).Check(saved.Config); err != nil {
			return config.Invalid("adapter.append", fmt.Errorf("%s: %w", saved.Dir, err))
		}
		return nil
	}
	if len(tasks) < 2 && len(c.Tasks) < 2 {
		return nil
	}
	at := filepath.Join(saved.Dir, adapter.ConfigFile)
	wrong := func(format string, args ...any) error {
		has := "names no task"
		if len(tasks) > 0 {
			has = "has the tasks " + strings.Join(tasks, ", ")
		}
		return fmt.Errorf("%s: the adapter %s: %s", at, has, fmt.Sprintf(format, args...))
	}
	if len(c.Tasks) > 1 {
		same := len(tasks) == len(c.Tasks)
		for _, name := range c.Tasks {
			if _, err := saved.Config.Task(name); err != nil {
				same = false
			}
		}
		switch {
		case !same:
			return wrong("a run of %s goes on from one of the same tasks", strings.Join(c.Tasks, ", "))
		case len(frozen) > 0:
			return wrong("%s are frozen, only %s can be trained further", strings.Join(frozen, ", "), tasks[len(tasks)-1])
		}
		return nil
	}
	switch i, err := saved.Config.Task(c.Task()); {
	case err != nil:
		return wrong("%s is appended by adapter.append.to", c.Task())
	case len(frozen) == 0:
		return wrong("training it for %s alone would change the others", c.Task())
	case i < len(tasks)-1:
		return wrong("%s is frozen, only %s can be trained further", tasks[i], tasks[len(tasks)-1])
	}
	return nil
}

// checkBackbone fails where the model is not the one that the saved adapter's
// tasks were trained on: they would be lost.
func (a *assembly) checkBackbone(saved *adapter.Saved) error {
	base := saved.Config.BaseModel
	same, err := a.isBackbone(base)
	if err != nil {
		return config.Invalid("model.path", fmt.Errorf("%s: the tasks of the adapter in %s were trained on %s, which is not here to be compared: %w", a.config.Model.Path, saved.Dir, base, err))
	}
	if !same {
		return config.Invalid("model.path", fmt.Errorf("%s: the tasks of the adapter in %s were trained on %s, and need it", a.config.Model.Path, saved.Dir, base))
	}
	return nil
}

// isBackbone: a model of that name or folder is the run's. The error is of one that is not here.
func (a *assembly) isBackbone(base string) (bool, error) {
	if base == a.config.Model.Path {
		return true, nil
	}
	dir, err := hf.Resolve(base)
	if err != nil {
		return false, err
	}
	here, err := filepath.EvalSymlinks(a.modelDir)
	there, err2 := filepath.EvalSymlinks(dir)
	return here == there, errors.Join(err, err2)
}

// appendTask puts a saved adapter with the run's task as one more on the model,
// whose head is the task's.
func (a *assembly) appendTask(saved *adapter.Saved) (adapter.Adapter, error) {
	appended, err := saved.Append(a.first().Architecture(), appending(a.config, a.tasks[0].task.Name), a.device)
	if err != nil {
		return nil, err
	}
	if err = adapter.Bind(appended, a.first()); err == nil {
		err = saved.CheckAllTaken()
	}
	if err != nil {
		appended.Free()
		return nil, err
	}
	return appended, nil
}

// wholeAdapter counts an adapter with frozen tasks, as it is stored; 0 where none
// is frozen.
func (a *assembly) wholeAdapter() (count int64, err error) {
	if len(adapter.FrozenTasks(a.adapter)) == 0 {
		return 0, nil
	}
	err = torch.Do(func() error { count = adapter.Count(adapter.State(a.adapter)); return nil })
	return count, err
}

// eachRank is a rank for each bond of a tensor train, or each mode, where they differ; nil where one
// number says all.
func (a *assembly) eachRank() []int64 {
	ranks := a.adapter.Config().Ranks
	if slices.Min(ranks) == slices.Max(ranks) {
		return nil
	}
	return ranks
}
