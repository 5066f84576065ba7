package run

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/folder"
	"github.com/metatt/metatt/pkg/glue"
	"github.com/metatt/metatt/pkg/hf/pickle"
	"github.com/metatt/metatt/pkg/lora"
	"github.com/metatt/metatt/pkg/safetensors"
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

// bareLoRA is how microsoft/LoRA's loralib names a site's matrices.
var bareLoRA = regexp.MustCompile(`^(?:bert|roberta)\.encoder\.layer\.\d+\.(.+)\.lora_([AB])$`)

// Import turns an adapter of microsoft/LoRA into a folder as PEFT stores it. The
// folder appears when it is whole and has been read back.
func Import(o ImportOptions) (*Imported, error) {
	task, err := glue.Lookup(o.Task)
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
	tensors, kinds, rank, err := renamed(file)
	if err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(map[string]any{
		"peft_type": "LORA", "task_type": "SEQ_CLS", "base_model_name_or_path": absoluteModel(o.Model),
		"r": rank, "lora_alpha": o.Alpha, "lora_dropout": 0, "bias": "none", "inference_mode": true,
		"target_modules": lora.TargetModules(kinds), "modules_to_save": []string{"classifier"},
		"tasks": []string{task.Name}, "labels": map[string][]string{task.Name: task.Labels},
	}, "", "  ")
	if err != nil {
		return nil, err
	}
	imported := &Imported{Rank: rank, Tensors: len(tensors)}
	err = folder.Make(o.Dir, func(partial string) error {
		if err := safetensors.Write(filepath.Join(partial, adapter.WeightsFile), tensors, map[string]string{"format": "pt"}); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(partial, adapter.ConfigFile), append(text, '\n'), 0o644); err != nil {
			return err
		}
		saved, err := adapter.Read(partial)
		if err != nil {
			return fmt.Errorf("%s: %w", o.File, err)
		}
		imported.Targets, imported.Layers = saved.Config.Targets, saved.Config.Layers
		return saved.Close()
	})
	if err != nil {
		return nil, err
	}
	return imported, nil
}

// renamed is the file's tensors under PEFT's names, what they adapt and at which
// rank.
func renamed(file *safetensors.Tensors) (tensors []safetensors.Tensor, kinds []adapter.Kind, rank int64, err error) {
	found := map[adapter.Kind]bool{}
	for _, name := range file.Names() {
		info, _ := file.Info(name)
		if info.DType != "F32" {
			return nil, nil, 0, fmt.Errorf("%s: tensor %s is %s, adapters are F32", file.Path(), name, info.DType)
		}
		stored := adapter.PEFTPrefix + name
		if match := bareLoRA.FindStringSubmatch(name); match != nil {
			kind := slices.IndexFunc(adapter.Kinds(), func(k adapter.Kind) bool { return k.Module() == match[1] })
			if kind < 0 || len(info.Shape) != 2 {
				return nil, nil, 0, fmt.Errorf("%s: tensor %s of shape %v adapts no matrix of a layer", file.Path(), name, info.Shape)
			}
			if match[2] == "A" {
				if rank != 0 && info.Shape[0] != rank {
					return nil, nil, 0, fmt.Errorf("%s: tensor %s has rank %d, others have %d", file.Path(), name, info.Shape[0], rank)
				}
				rank = info.Shape[0]
			}
			found[adapter.Kind(kind)] = true
			stored += ".weight"
		} else if !strings.HasPrefix(name, "classifier.") {
			return nil, nil, 0, fmt.Errorf("%s: tensor %s is neither ….lora_A, ….lora_B nor the classifier's: no adapter of microsoft/LoRA", file.Path(), name)
		}
		data := make([]byte, info.Size)
		if err := file.ReadInto(name, data); err != nil {
			return nil, nil, 0, err
		}
		tensors = append(tensors, safetensors.Tensor{Name: stored, DType: info.DType, Shape: info.Shape, Data: data})
	}
	for _, kind := range adapter.Kinds() {
		if found[kind] {
			kinds = append(kinds, kind)
		}
	}
	if rank == 0 {
		return nil, nil, 0, fmt.Errorf("%s: no tensor is named ….lora_A: no adapter of microsoft/LoRA", file.Path())
	}
	return tensors, kinds, rank, nil
}
