package adapter

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/folder"
	"github.com/metatt/metatt/pkg/hf/pickle"
	"github.com/metatt/metatt/pkg/safetensors"
	"github.com/metatt/metatt/pkg/torch"
)

// The two files of an adapter folder, as PEFT names them.
const (
	ConfigFile  = "adapter_config.json"
	WeightsFile = "adapter_model.safetensors"
)

// olderWeightsFile is read where there is no WeightsFile.
const olderWeightsFile = "adapter_model.bin"

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
	// Modules is which modules are adapted, where that is not every target in
	// every layer, by their names as in [Architecture.Module]; none: all.
	Modules []string `json:"modules,omitempty"`
	// Pooler: BERT's pooler is stored with the head, as the head's own.
	Pooler bool `json:"pooler,omitempty"`
	// Replaced names the tensors of the backbone that stand beside the adapter and
	// take the place of the model's own: biases that were trained along, say.
	Replaced []string `json:"replaced,omitempty"`
	// TaskRanks is how many leading components of the bonds before and behind the
	// task core each task couples to; none: all of them.
	TaskRanks [][2]int64 `json:"task_ranks,omitempty"`

	// PEFT is what PEFT needs to load the adapter, by its own keys; nil where
	// it cannot. Numbers that were read are float64.
	PEFT map[string]any `json:"-"`

	unknown []string // keys of the file that are nobody's
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

// AdaptedSites lists what is adapted: by layer, and then in the order of the
// targets.
func (c Config) AdaptedSites() ([]Site, error) {
	kinds, err := ParseKinds(c.Targets)
	if err != nil {
		return nil, err
	}
	model := c.Architecture()
	listed := map[string]bool{}
	for _, module := range c.Modules {
		listed[module] = true
	}
	var sites []Site
	for layer := range model.Layers {
		for _, kind := range kinds {
			if site := model.Site(layer, kind); len(c.Modules) == 0 || listed[model.Module(site)] {
				delete(listed, model.Module(site))
				sites = append(sites, site)
			}
		}
	}
	for module := range listed {
		return nil, fmt.Errorf("modules: %s is none of the targets %v in %d layers of %s", module, c.Targets, model.Layers, model.ModelType)
	}
	return sites, nil
}

// Saved is an adapter folder that has been read and checked, not yet made into
// tensors.
type Saved struct {
	Dir    string
	Config Config

	weights   *safetensors.Tensors
	foreign   bool              // PEFT wrote it: nothing is known of the model
	elsewhere bool              // it is for another task: see ForAnotherTask
	text      []byte            // of adapter_config.json: the order of its keys can count
	names     []string          // of all tensors, in the file's order
	stored    map[string]string // a tensor's name to that in the file
	modules   []string          // that have tensors of the adapter, as PEFT calls them
	others    []string          // of those, what is no site
	bare      bool              // PEFT's names lack the family's prefix
	// headless: the head in the folder is none for whole examples.
	headless bool
	modelHas func(tensor string) bool // of the model that it is put on; nil: not known
	taken    map[string]bool          // tensors that were read
	notes    []string
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
	s := &Saved{Dir: dir, text: text, taken: map[string]bool{}}
	if err := json.Unmarshal(text, &s.Config); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s.foreign = s.Config.FormatVersion == 0 && s.Config.Method == ""
	if v := s.Config.FormatVersion; v != FormatVersion && !s.foreign {
		return nil, fmt.Errorf("%s: format_version is %d, this build reads %d", path, v, FormatVersion)
	}
	for _, key := range s.Config.unknown {
		s.Note("%s: the key %q is unknown to this build and changes nothing", ConfigFile, key)
	}
	if s.weights, err = openWeights(dir); err != nil {
		return nil, err
	}
	if err = s.weights.CheckNames(); err == nil {
		err = s.nameTensors("")
	}
	if err == nil && s.foreign {
		if err = s.adoptForeign(); err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Files are the two files that s was read from.
func (s *Saved) Files() []string { return []string{filepath.Join(s.Dir, ConfigFile), s.weights.Path()} }

// openWeights opens the tensors of an adapter folder: safetensors, or what older
// versions of PEFT wrote.
func openWeights(dir string) (*safetensors.Tensors, error) {
	file, err := safetensors.Open(filepath.Join(dir, WeightsFile))
	if err == nil {
		return file.Tensors, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	weights, older := pickle.Open(filepath.Join(dir, olderWeightsFile))
	if errors.Is(older, fs.ErrNotExist) {
		return nil, err
	}
	return weights, older
}

// Note remembers something that the user should know, once.
func (s *Saved) Note(format string, args ...any) {
	if note := fmt.Sprintf(format, args...); !slices.Contains(s.notes, note) {
		s.notes = append(s.notes, note)
	}
}

// Notes lists what the user should know of the folder: what is in it and not
// used, or not as it was meant.
func (s *Saved) Notes() []string { return s.notes }

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
	if a := s.Config.Architecture(); a.Hidden < 1 || a.Layers < 1 || a.Layers > largestLayer || a.Intermediate < 1 {
		return Method{}, fmt.Errorf("%s: a model of %s has nothing to adapt, or more than %d layers", path, a, largestLayer)
	}
	if len(s.Config.Modules) > 0 && method.Adopt == nil {
		return Method{}, fmt.Errorf("%s: modules: %s adapts every target in every layer", path, method.Name)
	}
	if s.Config.PEFTType != method.PEFTType || !slices.Equal(modes, method.Modes) {
		return Method{}, fmt.Errorf("%s: method %s is peft_type %s with modes [%s], the file says %s with [%s]", path, method.Name,
			method.PEFTType, strings.Join(method.Modes, " "), s.Config.PEFTType, strings.Join(s.Config.Modes, " "))
	}
	if s.Config.Alpha == 0 && !slices.Contains(method.Settings.Idle, "alpha") {
		return Method{}, fmt.Errorf("%s: alpha is missing, or 0: the update would be nothing", path)
	}
	if s.foreign {
		if err := s.selectModules(model); err != nil {
			return Method{}, fmt.Errorf("%s: %w", path, err)
		}
	}
	return method, nil
}

// Names lists the tensors of the folder, the head's among them.
func (s *Saved) Names() []string { return s.names }

// Shape is a tensor's shape; nil where there is no such tensor.
func (s *Saved) Shape(name string) []int64 {
	info, _ := s.weights.Info(s.stored[name])
	return info.Shape
}

// Left lists the tensors of the folder that nothing has asked for: once the
// adapter is opened, the head's.
func (s *Saved) Left() []string {
	return slices.DeleteFunc(slices.Clone(s.names), func(name string) bool { return s.taken[name] })
}

// adapterTensor finds the tensors of PEFT's methods behind a module's name.
var adapterTensor = regexp.MustCompile(`\.(lora_\w+|vera_\w+|token_adapter)(\.|$)`)

// CheckAllTaken fails where the folder has a tensor that neither the adapter nor
// the head asked for: it would be lost without a word. Of what PEFT wrote, which
// may hold the head of another task, it is noted.
func (s *Saved) CheckAllTaken() error {
	left := slices.DeleteFunc(s.Left(), s.ofListedTask)
	switch {
	case len(left) == 0:
		return nil
	case s.foreign:
		// A part of an update of the model's own layers cannot be left out.
		for _, name := range left {
			module, _ := strings.CutPrefix(name, PEFTPrefix)
			if part := adapterTensor.MatchString(module); part && (strings.HasPrefix(module, s.Config.ModelType+".") || strings.HasPrefix(module, "classifier.")) {
				return fmt.Errorf("%s: tensor %s changes the model in a way that %s of this build does not have", s.weights.Path(), name, s.Config.Method)
			}
		}
		s.Note("in the adapter, not used: %s", Few(left))
		return nil
	}
	return fmt.Errorf("%s: tensor %s is neither %s's nor the head's", s.weights.Path(), left[0], s.Config.Method)
}

// elementTypes are those of an adapter's tensors: of others than the first,
// values are rounded to it or widened.
var elementTypes = map[safetensors.DType]torch.DType{"F32": torch.Float32, "F16": torch.Float16, "BF16": torch.BFloat16, "F64": torch.Float64}

// Tensor reads a tensor of that shape into a new kept fp32 tensor on device.
func (s *Saved) Tensor(name string, device torch.Device, shape ...int64) (*torch.Tensor, error) {
	info, ok := s.weights.Info(s.stored[name])
	dtype, number := elementTypes[info.DType]
	switch {
	case !ok:
		return nil, fmt.Errorf("%s: tensor %s is missing", s.weights.Path(), name)
	case !number:
		return nil, fmt.Errorf("%s: tensor %s is %s; adapters are F32, F16, BF16 or F64", s.weights.Path(), name, info.DType)
	case !slices.Equal(info.Shape, shape):
		return nil, fmt.Errorf("%s: tensor %s has shape %v, %v is needed", s.weights.Path(), name, info.Shape, shape)
	}
	var t *torch.Tensor
	err := torch.Do(func() error {
		cpu := torch.Empty(dtype, torch.CPU, shape...)
		if err := s.weights.ReadInto(s.stored[name], cpu.Bytes()); err != nil {
			return err
		}
		s.taken[name] = true
		t = cpu.ToDType(torch.Float32).To(device).Keep()
		return nil
	})
	return t, err
}

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
