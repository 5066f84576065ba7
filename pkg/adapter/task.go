package adapter

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/torch"
)

// TaskAware is an adapter that may have a task mode: ΔW then differs from task
// to task, and Delta and Factors are the first one's. Tasks are counted as in
// Config's.
type TaskAware interface {
	Adapter
	// TaskDelta is [Adapter.Delta] of that task.
	TaskDelta(site Site, task int) *torch.Tensor
	// TaskFactors is [Factored.Factors] of that task.
	TaskFactors(site Site, task int) (in, out *torch.Tensor)
}

// ForTask is the adapter as one task sees it: Begin, Delta and Factors are that
// task's, whatever a step says. Without a task mode it is the adapter itself.
// Free releases the adapter.
func ForTask(a Adapter, task int) Adapter {
	if t, ok := a.(TaskAware); ok && slices.Contains(a.Config().Modes, TaskMode) {
		return taskView{t, task}
	}
	return a
}

type taskView struct {
	TaskAware
	task int
}

func (v taskView) Begin(step Step) Pass {
	step.Task = v.task
	return v.TaskAware.Begin(step)
}

func (v taskView) Delta(site Site) *torch.Tensor { return v.TaskDelta(site, v.task) }

func (v taskView) Factors(site Site) (in, out *torch.Tensor) { return v.TaskFactors(site, v.task) }

// FrozenTasks names the tasks that an adapter must keep as they are, bit for
// bit: all but the one that was appended last. Only what is that one's own is
// among its Parameters; no core may change its gauge or its rank. Without such
// tasks: none.
func FrozenTasks(a Adapter) []string { return a.Config().FrozenTasks }

// The starts of an appended task's slice beside a copy of another task's, which
// is called as that task.
const (
	StartZero = "zero" // ΔW = 0
	StartMean = "mean" // the mean of all slices
)

// Appending says how a task joins those that a saved adapter has.
type Appending struct {
	Task  string // its name
	Start string // of its slice of the task core: StartZero, StartMean or a task, as [SameTask] takes it
	// Grow is the number of components that the bonds on both sides of the task
	// core gain. The new task alone couples to them. They start at random, and
	// what couples to them at zero.
	Grow int
	Seed uint64 // of their start
}

// Check looks for what is wrong with appending to an adapter of that config.
// Nothing is read.
func (how Appending) Check(c Config) error {
	switch {
	case !slices.Contains(c.Modes, TaskMode):
		return fmt.Errorf("%s without a task mode: a task is appended to an adapter that was trained with one", c.Method)
	case c.taskNamed(how.Task) >= 0:
		return fmt.Errorf("the adapter has the task %s already; its tasks are %s", how.Task, strings.Join(c.Tasks, ", "))
	case how.Start != StartZero && how.Start != StartMean && c.taskNamed(how.Start) < 0:
		return fmt.Errorf("no slice to start from is called %q: there are %s, %s and the tasks %s", how.Start, StartZero, StartMean, strings.Join(c.Tasks, ", "))
	case how.Grow < 0:
		return fmt.Errorf("bonds cannot grow by %d", how.Grow)
	}
	return nil
}

// Append makes the saved adapter with one task more, for a model of that
// architecture. Its Parameters are what is the new task's own; everything else is
// frozen.
func (s *Saved) Append(model Architecture, how Appending, device torch.Device) (Adapter, error) {
	method, err := s.check(model)
	if err != nil {
		return nil, err
	}
	err = how.Check(s.Config)
	if err == nil && method.Append == nil {
		err = fmt.Errorf("no task can be appended to an adapter of %s", method.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(s.Dir, ConfigFile), err)
	}
	if i := s.Config.taskNamed(how.Start); i >= 0 {
		how.Start = s.Config.Tasks[i]
	}
	return method.Append(s, how, device)
}

// SameTask compares names of tasks as users write them: GLUE's STS-B is stsb.
func SameTask(a, b string) bool {
	plain := func(name string) string { return strings.ReplaceAll(strings.ToLower(name), "-", "") }
	return plain(a) == plain(b)
}

// taskNamed is the index of a task; -1 where there is none of that name.
func (c Config) taskNamed(name string) int {
	return slices.IndexFunc(c.Tasks, func(task string) bool { return SameTask(task, name) })
}

// Task is the index of a task, by its name as [SameTask] takes it; of the only
// one where that is empty.
func (c Config) Task(name string) (int, error) {
	switch i := c.taskNamed(name); {
	case i >= 0:
		return i, nil
	case name == "" && len(c.Tasks) == 1:
		return 0, nil
	case name == "" && len(c.Tasks) == 0:
		return 0, fmt.Errorf("the adapter names no task")
	case len(c.Tasks) == 0:
		return 0, fmt.Errorf("the adapter names no task, so none is called %q", name)
	case name == "":
		return 0, fmt.Errorf("the adapter has the tasks %s: one is needed", strings.Join(c.Tasks, ", "))
	}
	return 0, fmt.Errorf("the adapter has no task %q; it has %s", name, strings.Join(c.Tasks, ", "))
}

// LongestOf is the number of tokens that a task's examples were cut to; 0:
// unknown.
func (c Config) LongestOf(task string) int {
	if n, ok := c.MaxLengths[task]; ok {
		return n
	}
	return c.MaxLength
}

// perTask: heads are stored under the names of their tasks.
func (c Config) perTask() bool { return len(c.Tasks) > 1 || slices.Contains(c.Modes, TaskMode) }

// HeadsPrefix stands before the names of the heads of adapters with several tasks.
const HeadsPrefix = "heads."

// HeadPrefix stands before the names of a task's head.
func HeadPrefix(task string) string { return HeadsPrefix + task + "." }

// TaskHead is a task's head under the names that it has beside an adapter of that
// config: with a task mode or several tasks heads.TASK.NAME, else [StoredHead]'s.
func TaskHead(c Config, task string, head []Parameter) []Parameter {
	if !c.perTask() {
		return StoredHead(c, head)
	}
	stored := make([]Parameter, len(head))
	for i, p := range head {
		stored[i] = Parameter{HeadPrefix(task) + p.Name, p.Tensor}
	}
	return stored
}

// LoadTaskHead fills the tensors of a task's head from the folder. Of an adapter
// that PEFT wrote or that is [Saved.ForAnotherTask], which may have another task's head or none, it returns those
// that the folder does not have in their shape, and leaves them as they are.
func (s *Saved) LoadTaskHead(task string, head []Parameter) (missing []string, err error) {
	var have []Parameter
	for i, p := range TaskHead(s.Config, task, head) {
		if s.hasOfHead(p) {
			have = append(have, p)
			continue
		}
		if shape := s.Shape(p.Name); shape != nil && !s.headless {
			s.Note("%s has shape %v in the adapter, the model and the task ask for %v: it is not used", head[i].Name, shape, p.Tensor.Shape())
			s.taken[p.Name] = true
		}
		missing = append(missing, head[i].Name)
	}
	return missing, s.fill(have)
}

// BringsOfHead reports whether [Saved.LoadTaskHead] fills that tensor of a task's head.
func (s *Saved) BringsOfHead(task string, p Parameter) bool {
	return s.hasOfHead(TaskHead(s.Config, task, []Parameter{p})[0])
}

// ForAnotherTask lets a head that has other outputs than the folder's begin anew, as of an adapter that PEFT wrote: the
// adapter is to be trained further for another task.
func (s *Saved) ForAnotherTask() { s.elsewhere = true }

// hasOfHead: of an adapter that PEFT wrote, or that is for another task, the tensor, under its name on disk, is there in its
// shape; ours have all.
func (s *Saved) hasOfHead(p Parameter) bool {
	return !s.foreign && !s.elsewhere || !s.headless && slices.Equal(s.Shape(p.Name), p.Tensor.Shape())
}

// OtherHeads reads the heads of all tasks but those, under their names on disk, on
// the CPU. The caller frees them.
func (s *Saved) OtherHeads(tasks []string) (heads []Parameter, err error) {
	defer func() {
		if err != nil {
			for _, p := range heads {
				p.Tensor.Free()
			}
			heads = nil
		}
	}()
	for _, other := range s.Config.Tasks {
		if slices.Contains(tasks, other) || !s.Config.perTask() {
			continue
		}
		before := len(heads)
		for _, name := range s.Names() {
			if !strings.HasPrefix(name, HeadPrefix(other)) {
				continue
			}
			t, err := s.Tensor(name, torch.CPU, s.Shape(name)...)
			if err != nil {
				return heads, err
			}
			heads = append(heads, Parameter{name, t})
		}
		if len(heads) == before {
			return heads, fmt.Errorf("%s: no tensor is named %s…: the head of task %s is missing", filepath.Join(s.Dir, WeightsFile), HeadPrefix(other), other)
		}
	}
	return heads, nil
}

// ofListedTask: the tensor is of the head of one of the adapter's tasks.
func (s *Saved) ofListedTask(name string) bool {
	return s.Config.perTask() && slices.ContainsFunc(s.Config.Tasks, func(task string) bool { return strings.HasPrefix(name, HeadPrefix(task)) })
}

// WithTask is the config with what is to be known of one task beside what it
// says of others.
func (c Config) WithTask(task string, labels []string, columns *Columns, maxLength int) Config {
	c.Labels, c.Columns, c.MaxLengths = maps.Clone(c.Labels), maps.Clone(c.Columns), maps.Clone(c.MaxLengths)
	if c.Labels == nil {
		c.Labels = map[string][]string{}
	}
	c.Labels[task] = labels
	if columns != nil {
		if c.Columns == nil {
			c.Columns = map[string]Columns{}
		}
		c.Columns[task] = *columns
	}
	if !c.perTask() {
		c.MaxLength = maxLength
		return c
	}
	if c.MaxLengths == nil {
		c.MaxLengths = map[string]int{}
	}
	c.MaxLengths[task] = maxLength
	return c
}
