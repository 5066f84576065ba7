package adapter

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/folder"
	"github.com/metatt/metatt/pkg/safetensors"
	"github.com/metatt/metatt/pkg/torch"
)

// The two files of an adapter folder, as PEFT names them.
const (
	ConfigFile  = "adapter_config.json"
	WeightsFile = "adapter_model.safetensors"
)

// TaskMode names, among a config's modes, the one that a method does not have by
// itself: its place is the adapter's choice.
const TaskMode = "task"

// FormatVersion is the version of Config that this build writes and reads.
const FormatVersion = 1

// Config is adapter_config.json. Method, modes, ranks, α, init and targets come
// from the adapter; the rest from the model and the run.
type Config struct {
	FormatVersion int      `json:"format_version"`
	PEFTType      string   `json:"peft_type"`
	Method        string   `json:"method"`
	Modes         []string `json:"modes,omitempty"`
	Ranks         []int64  `json:"ranks,omitempty"`
	TTRank        int64    `json:"tt_rank,omitempty"`
	Alpha         float64  `json:"alpha"`
	Init          string   `json:"init,omitempty"`
	Dropout       float64  `json:"dropout,omitempty"`
	Targets       []string `json:"target_modules"`

	BaseModel    string `json:"base_model_name_or_path"`
	ModelType    string `json:"model_type"`
	Hidden       int64  `json:"hidden_size"`
	Layers       int    `json:"num_hidden_layers"`
	Heads        int    `json:"num_attention_heads"`
	Intermediate int64  `json:"intermediate_size"`

	TaskType  string              `json:"task_type,omitempty"`
	Tasks     []string            `json:"tasks,omitempty"`      // order = task index
	Labels    map[string][]string `json:"labels,omitempty"`     // task → label names in order; regression: none
	Columns   map[string]Columns  `json:"columns,omitempty"`    // task → where own data has what it learned from
	MaxLength int                 `json:"max_length,omitempty"` // tokens an example was cut to; 0: unknown
	// MaxLengths is MaxLength of each task, where heads are stored by task.
	MaxLengths map[string]int `json:"max_lengths,omitempty"`
	// FrozenTasks are kept bit for bit: all but the last, where that was appended.
	FrozenTasks []string `json:"frozen_tasks,omitempty"`
	// TaskRanks is how many leading components of the bonds before and behind the
	// task core each task couples to; none: all of them.
	TaskRanks [][2]int64 `json:"task_ranks,omitempty"`

	// PEFT is what PEFT needs to load the adapter, by its own keys; nil where
	// it cannot. Numbers that were read are float64.
	PEFT map[string]any `json:"-"`
}

// Columns name what an example of own data is made of: columns of a header, or
// keys of JSON objects.
type Columns struct {
	Text  string `json:"text"`
	Pair  string `json:"text_pair,omitempty"` // empty: one text an example
	Label string `json:"label"`
}

// Architecture is the part of the config that describes the model.
func (c Config) Architecture() Architecture {
	return Architecture{c.ModelType, c.Hidden, c.Layers, c.Heads, c.Intermediate}
}

// SetArchitecture fills that part in.
func (c *Config) SetArchitecture(a Architecture) {
	c.ModelType, c.Hidden, c.Layers, c.Heads, c.Intermediate = a.ModelType, a.Hidden, a.Layers, a.Heads, a.Intermediate
}

// Saved is an adapter folder that has been read and checked, not yet made into
// tensors.
type Saved struct {
	Dir    string
	Config Config

	weights *safetensors.File
	foreign bool            // PEFT wrote it: nothing is known of the model
	taken   map[string]bool // tensors that were read
}

// Save makes dir an adapter folder: the configuration, and the adapter's and the
// head's parameters. It takes the place of a folder that is there at once and as a
// whole; a failure leaves that one.
func Save(dir string, config Config, parameters []Parameter) error {
	tensors := make([]safetensors.Tensor, 0, len(parameters))
	err := torch.Do(func() error {
		for _, p := range parameters {
			cpu := p.Tensor.Detach().To(torch.CPU).ToDType(torch.Float32).Contiguous()
			tensors = append(tensors, safetensors.Tensor{
				Name: p.Name, DType: "F32", Shape: cpu.Shape(), Data: slices.Clone(cpu.Bytes()),
			})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("save adapter: %w", err)
	}
	text, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return fmt.Errorf("save adapter: %w", err)
	}
	err = folder.Replace(dir, func(partial string) error {
		if err := safetensors.Write(filepath.Join(partial, WeightsFile), tensors, map[string]string{"format": "pt"}); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(partial, ConfigFile), append(text, '\n'), 0o644)
	})
	if err != nil {
		return fmt.Errorf("save adapter: %w", err)
	}
	return nil
}

// Read opens an adapter folder. The caller closes it.
func Read(dir string) (*Saved, error) {
	path := filepath.Join(dir, ConfigFile)
	text, err := os.ReadFile(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s: no adapter here: %s is missing", dir, ConfigFile)
		}
		return nil, err
	}
	s := &Saved{Dir: dir, taken: map[string]bool{}}
	if err := json.Unmarshal(text, &s.Config); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s.foreign = s.Config.FormatVersion == 0 && s.Config.Method == ""
	if v := s.Config.FormatVersion; v != FormatVersion && !s.foreign {
		return nil, fmt.Errorf("%s: format_version is %d, this build reads %d", path, v, FormatVersion)
	}
	if s.weights, err = safetensors.Open(filepath.Join(dir, WeightsFile)); err != nil {
		return nil, err
	}
	if s.foreign {
		if err := s.adoptForeign(); err != nil {
			s.Close()
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return s, nil
}

// Close closes the weights.
func (s *Saved) Close() error { return s.weights.Close() }

// Open makes the saved adapter, for a model of that architecture.
func (s *Saved) Open(model Architecture, device torch.Device) (Adapter, error) {
	method, err := s.check(model)
	if err != nil {
		return nil, err
	}
	return method.Open(s, device)
}

// check finds the method of an adapter that is for a model of that architecture.
func (s *Saved) check(model Architecture) (Method, error) {
	path := filepath.Join(s.Dir, ConfigFile)
	if s.foreign {
		if s.Config.Layers != model.Layers {
			return Method{}, fmt.Errorf("%s: adapts %d layers, the model is %s", path, s.Config.Layers, model)
		}
		s.Config.SetArchitecture(model)
	}
	if have := s.Config.Architecture(); have != model {
		return Method{}, fmt.Errorf("%s: made for a model of %s, not of %s", path, have, model)
	}
	method, err := Lookup(s.Config.Method)
	if err != nil {
		return Method{}, fmt.Errorf("%s: %w", path, err)
	}
	modes := s.Config.Modes
	if i := slices.Index(modes, TaskMode); i >= 0 && method.Append != nil { // one, of a method that can have it
		modes = slices.Delete(slices.Clone(modes), i, i+1)
	}
	if a := s.Config.Architecture(); a.Hidden < 1 || a.Layers < 1 || a.Intermediate < 1 {
		return Method{}, fmt.Errorf("%s: a model of %s has nothing to adapt", path, a)
	}
	if s.Config.PEFTType != method.PEFTType || !slices.Equal(modes, method.Modes) {
		return Method{}, fmt.Errorf("%s: method %s is peft_type %s with modes [%s], the file says %s with [%s]", path, method.Name,
			method.PEFTType, strings.Join(method.Modes, " "), s.Config.PEFTType, strings.Join(s.Config.Modes, " "))
	}
	return method, nil
}

// Names lists the tensors of the folder, the head's among them.
func (s *Saved) Names() []string { return s.weights.Names() }

// Shape is a tensor's shape; nil where there is no such tensor.
func (s *Saved) Shape(name string) []int64 {
	info, _ := s.weights.Info(name)
	return info.Shape
}

// Left lists the tensors of the folder that nothing has asked for: once the
// adapter is opened, the head's.
func (s *Saved) Left() []string {
	return slices.DeleteFunc(slices.Clone(s.weights.Names()), func(name string) bool { return s.taken[name] })
}

// CheckAllTaken fails where the folder has a tensor that neither the adapter nor
// the head asked for: it would be lost without a word.
func (s *Saved) CheckAllTaken() error {
	if left := slices.DeleteFunc(s.Left(), s.ofListedTask); len(left) > 0 {
		return fmt.Errorf("%s: tensor %s is neither %s's nor the head's", filepath.Join(s.Dir, WeightsFile), left[0], s.Config.Method)
	}
	return nil
}

// Tensor reads an F32 tensor of that shape into a new kept tensor on device.
func (s *Saved) Tensor(name string, device torch.Device, shape ...int64) (*torch.Tensor, error) {
	path := filepath.Join(s.Dir, WeightsFile)
	info, ok := s.weights.Info(name)
	switch {
	case !ok:
		return nil, fmt.Errorf("%s: tensor %s is missing", path, name)
	case info.DType != "F32":
		return nil, fmt.Errorf("%s: tensor %s is %s, adapters are F32", path, name, info.DType)
	case !slices.Equal(info.Shape, shape):
		return nil, fmt.Errorf("%s: tensor %s has shape %v, %v is needed", path, name, info.Shape, shape)
	}
	var t *torch.Tensor
	err := torch.Do(func() error {
		cpu := torch.Empty(torch.Float32, torch.CPU, shape...)
		if err := s.weights.ReadInto(name, cpu.Bytes()); err != nil {
			return err
		}
		s.taken[name] = true
		t = cpu.To(device).Keep()
		return nil
	})
	return t, err
}

// LoadHead fills the head's tensors from the folder, by their names.
func (s *Saved) LoadHead(head []Parameter) error { return s.fill(StoredHead(s.Config, head)) }

// fill overwrites tensors by those of the folder, by their names on disk.
func (s *Saved) fill(stored []Parameter) error {
	for _, p := range stored {
		t, err := s.Tensor(p.Name, torch.CPU, p.Tensor.Shape()...)
		if err != nil {
			return err
		}
		err = torch.Do(func() error {
			torch.NoGrad(func() { p.Tensor.CopyFrom(t) })
			return nil
		})
		t.Free()
		if err != nil {
			return err
		}
	}
	return nil
}

func (a Architecture) String() string {
	return fmt.Sprintf("type %s, width %d, %d layers, %d heads, feed-forward %d", a.ModelType, a.Hidden, a.Layers, a.Heads, a.Intermediate)
}
