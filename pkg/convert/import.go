package convert

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/folder"
	"github.com/metatt/metatt/pkg/hf/pickle"
	"github.com/metatt/metatt/pkg/lora"
	"github.com/metatt/metatt/pkg/place"
	"github.com/metatt/metatt/pkg/safetensors"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/torch"
)

// ImportOptions say what a file of tensors does not.
type ImportOptions struct {
	File  string  // a .bin of microsoft/LoRA: LoRA and head tensors under their bare names
	Dir   string  // adapter folder to make; it must not exist yet
	Task  string  // the GLUE task that the head is for
	Model string  // the backbone, recorded in the adapter
	Alpha float64 // α of the scale α/r that it was trained with
}

// Imported is what an import came to.
type Imported struct {
	Targets []string
	Layers  int
	Rank    int64
	Tensors int // the head's included
}

// Import turns an adapter of microsoft/LoRA into a folder as PEFT stores it. The
// folder appears when it is whole and can be used: the adapter has been opened from
// it, with the head of the task.
func Import(o ImportOptions) (*Imported, error) {
	task, err := task.Lookup(o.Task)
	if err != nil {
		return nil, err
	}
	if !(o.Alpha > 0) {
		return nil, fmt.Errorf("alpha %g: must be above 0", o.Alpha)
	}
	if err := folder.CheckNew(o.Dir); err != nil {
		return nil, err
	}
	file, err := pickle.Open(o.File)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	bare, err := readBare(file)
	if err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(map[string]any{
		"peft_type": "LORA", "task_type": "SEQ_CLS", "base_model_name_or_path": place.AbsoluteModel(o.Model),
		"r": bare.rank, "lora_alpha": o.Alpha, "lora_dropout": 0, "bias": "none", "inference_mode": true,
		"target_modules": lora.TargetModules(bare.kinds()), "modules_to_save": []string{"classifier"},
		"tasks": []string{task.Name}, "labels": map[string][]string{task.Name: task.Labels},
	}, "", "  ")
	if err != nil {
		return nil, err
	}
	imported := &Imported{Rank: bare.rank, Tensors: len(bare.tensors)}
	err = folder.Make(o.Dir, func(partial string) error {
		if err := safetensors.Write(filepath.Join(partial, adapter.WeightsFile), bare.tensors, map[string]string{"format": "pt"}); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(partial, adapter.ConfigFile), append(text, '\n'), 0o644); err != nil {
			return err
		}
		if err := imported.tryOut(partial, bare.model, task); err != nil {
			// What is wrong is wrong with the file: the folder goes away.
			return fmt.Errorf("%s: %s", o.File, strings.NewReplacer(partial+"/", "", partial+": ", "").Replace(err.Error()))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return imported, nil
}

// tryOut opens what was written as whoever uses it does, on a model like the one
// that it was made for. What would only be noted then is an error now.
func (i *Imported) tryOut(dir string, model adapter.Architecture, task task.Task) error {
	saved, err := adapter.Read(dir)
	if err != nil {
		return err
	}
	defer saved.Close()
	i.Targets, i.Layers = saved.Config.Targets, saved.Config.Layers
	model.Layers = saved.Config.Layers
	opened, err := saved.Open(model, torch.CPU)
	if err != nil {
		return err
	}
	defer opened.Free()
	return torch.Do(func() error {
		head := headOf(model, int64(max(1, len(task.Labels))))
		missing, err := saved.LoadTaskHead(task.Name, head)
		if err != nil {
			return err
		}
		if err := saved.CheckAllTaken(); err != nil {
			return err
		}
		if len(missing) > 0 {
			p := head[slices.IndexFunc(head, func(p adapter.Parameter) bool { return p.Name == missing[0] })]
			have := "is missing"
			if shape := saved.Shape(adapter.PEFTPrefix + p.Name); shape != nil {
				have = fmt.Sprintf("has shape %v", shape)
			}
			return fmt.Errorf("tensor %s %s, the head of %s on a %s of width %d has it in shape %v", p.Name, have, task.Name, model.ModelType, model.Hidden, p.Tensor.Shape())
		}
		if notes := saved.Notes(); len(notes) > 0 {
			return errors.New(notes[0])
		}
		return nil
	})
}

// headOf is the tensors of a classifier as the family has it, but for BERT's
// pooler, which is the checkpoint's.
func headOf(model adapter.Architecture, outputs int64) []adapter.Parameter {
	layer := func(name string, out int64) []adapter.Parameter {
		return []adapter.Parameter{
			{Name: name + ".weight", Tensor: torch.Zeros(torch.Float32, torch.CPU, out, model.Hidden)},
			{Name: name + ".bias", Tensor: torch.Zeros(torch.Float32, torch.CPU, out)},
		}
	}
	if model.ModelType == "roberta" {
		return append(layer("classifier.dense", model.Hidden), layer("classifier.out_proj", outputs)...)
	}
	return layer("classifier", outputs)
}
