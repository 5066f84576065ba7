package convert

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/folder"
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/lora"
	"github.com/metatt/metatt/pkg/models"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/place"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/train"
	"github.com/metatt/metatt/pkg/tuned"
)

// ExportOptions say what is exported. Empty fields are the defaults.
type ExportOptions struct {
	Dir   string       // adapter folder, or a run directory, of which the best adapter is taken
	Out   string       // folder to make; it must not exist yet
	Task  string       // whose updates and head; by default the only one
	Model string       // folder or name; by default what the adapter recorded. Only PEFT's own adapters need it
	Note  func(string) // is told what the user should know; nil: nobody is
}

// Exported is what an export came to.
type Exported struct {
	Method     string // that was converted
	Task       string // empty: the adapter names none
	Targets    []string
	Layers     int
	Lowest     int64 // rank of a matrix
	Highest    int64
	Parameters int64 // the head's not counted
}

// Export writes a saved adapter as a LoRA with its head, as PEFT stores it: the
// same updates exactly, α folded in, each matrix at the rank that they have. An
// adapter that is no LoRA is an error that says why. The model is loaded for what
// PEFT wrote alone. When ctx ends before the folder is there, the error is
// [train.ErrInterrupted] and there is none.
func Export(ctx context.Context, o ExportOptions) (*Exported, error) {
	if err := folder.CheckNew(o.Out); err != nil {
		return nil, err
	}
	dir, err := place.Adapter(o.Dir)
	if err != nil {
		return nil, err
	}
	saved, err := adapter.Read(dir)
	if err != nil {
		return nil, err
	}
	defer saved.Close()
	task, err := exportedTask(saved.Config, o.Task)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, adapter.ConfigFile), err)
	}
	name := "" // of the task
	if len(saved.Config.Tasks) > 0 {
		name = saved.Config.Tasks[task]
	}
	source, err := o.open(saved, name)
	if err != nil {
		return nil, err
	}
	defer source.free()
	if ctx.Err() != nil {
		return nil, train.ErrInterrupted
	}
	if name == "" {
		name = source.task.Name
	}
	converted, err := convert(source.adapter, task)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	defer converted.Free()
	config := converted.Config()
	exported := &Exported{
		Method: saved.Config.Method, Task: name, Targets: config.Targets, Layers: config.Layers, Parameters: adapter.Count(converted.Parameters()),
	}
	exported.Lowest, exported.Highest = rankRange(converted)
	if describeExport(&config, saved.Config, name, place.AbsoluteModel(o.Model)); source.task.Name != "" {
		config = config.WithTask(name, source.task.Labels, nil, 0)
	}
	config = config.WithModel(source.head, source.replaced)
	replaced, err := adapter.StoredReplaced(config, source.replaced)
	if err != nil {
		return nil, err
	}
	return exported, folder.Make(o.Out, func(partial string) error {
		if err := adapter.Save(partial, config, slices.Concat(converted.Parameters(), adapter.StoredHead(config, source.head), replaced)); err != nil {
			return err
		}
		again, err := adapter.Read(partial) // what was written can be read
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			err = train.ErrInterrupted
		}
		return errors.Join(err, again.Close())
	})
}

// exportedTask is the index of the task that is exported.
func exportedTask(c adapter.Config, name string) (int, error) {
	switch {
	case len(c.Tasks) == 0:
		return 0, nil // what PEFT wrote names none; see tuned.NameTask
	case name == "" && len(c.Tasks) > 1:
		return 0, fmt.Errorf("the adapter has the tasks %s, and a LoRA is for one: choose it by --task", strings.Join(c.Tasks, ", "))
	}
	return c.Task(name)
}

// exportSource is what is exported, with what stands beside it.
type exportSource struct {
	adapter        adapter.Adapter
	task           task.Task           // that the options name for an adapter that names none
	head, replaced []adapter.Parameter // under the names of the model
	model          *encoder.Model      // that they are of; nil: they are the source's own
}

func (e exportSource) free() {
	if e.adapter != nil {
		e.adapter.Free()
	}
	if e.model != nil {
		e.model.Free()
		return
	}
	for _, p := range slices.Concat(e.head, e.replaced) {
		p.Tensor.Free()
	}
}

// open makes the adapter and the task's head. What PEFT wrote may change the
// model's own tensors, which takes the model.
func (o ExportOptions) open(saved *adapter.Saved, task string) (e exportSource, err error) {
	defer func() {
		tuned.Notes(saved, o.Note)
		if err != nil {
			e.free()
		}
	}()
	if saved.Config.Hidden > 0 { // this build's own
		architecture, err := tuned.Architecture(o.Model, saved)
		if err != nil {
			return e, err
		}
		if e.adapter, err = saved.Open(architecture, torch.CPU); err != nil {
			return e, err
		}
		e.head, e.replaced, err = beside(saved, task)
		return e, err
	}
	dir, err := tuned.FindModel(o.Model, saved)
	if err != nil {
		return e, err
	}
	var labels int
	if e.task, labels, err = tuned.NameTask(saved, o.Task, dir, o.Note); err != nil {
		return e, err
	}
	if e.model, err = models.Load(dir, encoder.Options{Labels: labels, DType: torch.Float32, Device: torch.CPU, TrainPooler: saved.BringsPooler()}); err != nil {
		return e, err
	}
	if e.adapter, err = tuned.PutOn(saved, task, e.model, torch.CPU, o.Note); err != nil {
		return e, err
	}
	e.head, e.replaced = e.model.Head(), e.model.Replaced()
	return e, nil
}

// convert is one task's updates as a LoRA.
func convert(a adapter.Adapter, task int) (adapter.Adapter, error) {
	if err := adapter.CheckConvertible(a); err != nil {
		return nil, err
	}
	config := a.Config()
	targets, err := adapter.ParseKinds(config.Targets)
	if err != nil {
		return nil, err
	}
	return lora.Convert(config.Architecture(), targets, adapter.ForTask(a, task).(adapter.Factored).Factors)
}

// beside reads what stands beside one of this build's own adapters: the task's
// head, and tensors of the backbone. The caller frees them, also on an error.
func beside(saved *adapter.Saved, task string) (head, replaced []adapter.Parameter, err error) {
	ours := adapter.HeadPrefix(task)
	for _, name := range saved.Left() {
		if strings.HasPrefix(name, adapter.HeadsPrefix) && !strings.HasPrefix(name, ours) {
			continue // another task's
		}
		bare := strings.TrimPrefix(strings.TrimPrefix(name, adapter.PEFTPrefix), ours)
		among := &head
		if slices.Contains(saved.Config.Replaced, bare) {
			among = &replaced
		} else if module, _, _ := strings.Cut(bare, "."); module != "classifier" && !(saved.Config.Pooler && strings.HasPrefix(bare, saved.Config.ModelType+".pooler.")) {
			return head, replaced, fmt.Errorf("%s: tensor %s is neither %s's nor a head's", saved.Dir, name, saved.Config.Method)
		}
		t, err := saved.Tensor(name, torch.CPU, saved.Shape(name)...)
		if err != nil {
			return head, replaced, err
		}
		*among = append(*among, adapter.Parameter{Name: bare, Tensor: t})
	}
	if head == nil {
		return nil, replaced, fmt.Errorf("%s: no tensor of a classifier is in it", saved.Dir)
	}
	return head, replaced, nil
}

// describeExport fills in what the LoRA's config keeps of the adapter's.
func describeExport(c *adapter.Config, from adapter.Config, task, model string) {
	c.BaseModel, c.TaskType, c.MaxLength = hf.HubName(cmp.Or(model, from.ModelRef())), "SEQ_CLS", from.LongestOf(task)
	if task == "" {
		return
	}
	c.Tasks = []string{task}
	if labels, ok := from.Labels[task]; ok {
		c.Labels = map[string][]string{task: labels}
	}
	if columns, ok := from.Columns[task]; ok {
		c.Columns = map[string]adapter.Columns{task: columns}
	}
}

// rankRange is the smallest and the largest rank of a LoRA's modules.
func rankRange(a adapter.Adapter) (lowest, highest int64) {
	for _, p := range a.Parameters() {
		if strings.HasSuffix(p.Name, ".lora_A.weight") {
			rank := p.Tensor.Size(0)
			if lowest == 0 || rank < lowest {
				lowest = rank
			}
			highest = max(highest, rank)
		}
	}
	return lowest, highest
}
