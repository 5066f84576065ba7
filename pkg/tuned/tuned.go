// Package tuned opens a fine-tuned model: a saved adapter and the head of one of its
// tasks, put on the frozen model that they were trained on.
package tuned

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/models"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/place"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/torch"

	_ "github.com/metatt/metatt/pkg/methods" // a saved adapter names its own
)

// Options say what an adapter is put on. Empty fields are the defaults.
type Options struct {
	Task     string       // of an adapter for several; by default the only one
	Model    string       // folder or name; by default what the adapter recorded
	Device   string       // "cpu" by default; "auto", "cuda:1"
	DType    string       // of the frozen model: "fp32" by default, or "bf16"
	Taskless bool         // an adapter may name no task, and the options none either
	Note     func(string) // is told what the user should know; nil: nobody is
}

// Model is a saved adapter and head on their frozen model.
type Model struct {
	Dir       string    // of the adapter
	ModelDir  string    // of what it is put on
	Task      task.Task // its labels in the order of the logits
	MaxLength int       // of an example, in tokens
	DTypeName string
	DType     torch.DType
	Device    torch.Device
	Encoder   *encoder.Model
	Adapter   adapter.Adapter // as the task sees it
}

// Open reads an adapter and the model it was trained on. The folder is an
// adapter's, or a run directory, of which the best adapter is taken. One that PEFT
// wrote names no task: o.Task does.
func Open(dir string, o Options) (m *Model, err error) {
	dir, err = place.Adapter(dir)
	if err != nil {
		return nil, err
	}
	saved, err := adapter.Read(dir)
	if err != nil {
		return nil, err
	}
	defer saved.Close()
	m = &Model{Dir: dir, DTypeName: cmp.Or(o.DType, "fp32")}
	defer func() {
		if err != nil {
			m.Free()
			m = nil
		}
	}()
	defer func() { Notes(saved, o.Note) }()
	index := 0
	switch {
	case len(saved.Config.Tasks) > 0:
		if index, err = ChooseTask(saved, o.Task); err != nil {
			return m, err
		}
		if m.Task, err = savedTask(saved.Config, index); err != nil {
			return m, fmt.Errorf("%s: %w", filepath.Join(dir, adapter.ConfigFile), err)
		}
	case o.Task == "" && !o.Taskless:
		return m, fmt.Errorf("%s names no task: --task NAME says what its classifier is for", filepath.Join(dir, adapter.ConfigFile))
	}
	if m.Device, err = torch.ParseDevice(cmp.Or(o.Device, "cpu")); err != nil {
		return m, config.Invalid("device", err)
	}
	if m.DType, err = UseDType(m.DTypeName, m.Device); err != nil {
		return m, err
	}
	if m.ModelDir, err = FindModel(o.Model, saved); err != nil {
		return m, err
	}
	outputs := m.Task.Outputs()
	if len(saved.Config.Tasks) == 0 {
		if m.Task, outputs, err = NameTask(saved, o.Task, m.ModelDir, o.Note); err != nil {
			return m, err
		}
	}
	if m.Encoder, err = models.Load(m.ModelDir, encoder.Options{Labels: outputs, DType: m.DType, Device: m.Device, TrainPooler: saved.BringsPooler()}); err != nil {
		return m, err
	}
	m.MaxLength = m.Encoder.MaxLength()
	name := ""
	if len(saved.Config.Tasks) > 0 {
		name = saved.Config.Tasks[index]
	}
	if trained := saved.Config.LongestOf(name); trained > 0 {
		m.MaxLength = min(m.MaxLength, trained)
	}
	opened, err := PutOn(saved, name, m.Encoder, m.Device, o.Note)
	if err != nil {
		return m, err
	}
	m.Adapter = adapter.ForTask(opened, index)
	return m, nil
}

// Free releases the model and the adapter.
func (m *Model) Free() {
	if m.Adapter != nil {
		m.Adapter.Free()
	}
	if m.Encoder != nil {
		m.Encoder.Free()
	}
}

// UseDType is the dtype that model.dtype names. A CUDA device makes products of fp32
// as it says from here on, of all runs in the process.
func UseDType(name string, device torch.Device) (torch.DType, error) {
	rounds := name == "tf32"
	switch name {
	case "bf16":
		return torch.BFloat16, nil
	case "fp32", "tf32":
		switch {
		case device == torch.CPU && rounds:
			return 0, config.Invalid("model.dtype", errors.New("tf32 is of CUDA devices; legal on the CPU: fp32, bf16"))
		case device != torch.CPU && !torch.TF32(rounds) && rounds:
			_, err := torch.Helper()
			return 0, config.Invalid("model.dtype", fmt.Errorf("tf32: %w", err))
		}
		return torch.Float32, nil
	}
	return 0, config.Invalid("model.dtype", fmt.Errorf("%q is unknown; legal: fp32, bf16, and tf32 on CUDA devices", name))
}

// PutOn puts a saved adapter and the head of one of its tasks on a model;
// of an adapter with one task, its own, whatever the name. What of the head is not
// in the folder is said.
func PutOn(saved *adapter.Saved, task string, model *encoder.Model, device torch.Device, note func(string)) (adapter.Adapter, error) {
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

// Notes passes on what reading a folder has found; either may be nil.
func Notes(saved *adapter.Saved, note func(string)) {
	if saved == nil || note == nil {
		return
	}
	for _, text := range saved.Notes() {
		note(saved.Dir + ": " + text)
	}
}
