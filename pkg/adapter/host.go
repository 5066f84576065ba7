package adapter

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/torch"
)

// Host is a model that a saved adapter is put on.
type Host interface {
	Backbone
	Architecture() Architecture
	// Head is the tensors of the head that are trained, in fp32.
	Head() []Parameter
	// Original is a new fp32 tensor, of the current scope, with what the checkpoint
	// has of the backbone's tensor of that name, or what has replaced it. It runs
	// inside [torch.Do].
	Original(name string) (*torch.Tensor, error)
	// Replace puts a tensor in the place of the backbone's of that name and shape,
	// for as long as the model lives; a backbone that others share stays as it is.
	Replace(name string, value *torch.Tensor) error
}

// Folding is an adapter that was read with updates of what is no site: of the
// head's layers, or of biases. They are made once, when it is put on a model, and
// are the model's from then on.
type Folding interface {
	Adapter
	// Fold calls add with what comes on top of a tensor of the model, in fp32 and
	// its shape; weight gives the model's, fp32. It is called once, inside
	// [torch.Do].
	Fold(weight func(name string) (*torch.Tensor, error), add func(name string, update *torch.Tensor) error) error
}

// PutOn makes the saved adapter for the model and puts it there with all that
// stands beside it: the task's head, tensors of the backbone that it replaces,
// updates of what is no site. Of an adapter with several tasks, [Saved.LoadTaskHead]
// fills the heads of the others then, on models that share the backbone. made names the tensors of the head that the folder
// does not have, which only one that PEFT wrote may lack. On an error there is no
// adapter, and the model is not to be used.
func (s *Saved) PutOn(model Host, task string, device torch.Device) (a Adapter, made []string, err error) {
	s.modelHas = func(tensor string) bool {
		return Find(tensor, model.Head()) != nil || Find(tensor, model.Backbone()) != nil
	}
	if a, err = s.Open(model.Architecture(), device); err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			a.Free()
			a = nil
		}
	}()
	if tasks := s.Config.Tasks; len(tasks) == 1 {
		task = tasks[0]
	}
	if made, err = s.LoadTaskHead(task, model.Head()); err != nil {
		return a, made, err
	}
	if err = s.replace(model); err != nil {
		return a, made, err
	}
	if f, ok := a.(Folding); ok { // before Bind, which may keep tensors of the model
		if err = torch.Do(func() error { return s.fold(f, model) }); err != nil {
			return a, made, fmt.Errorf("%s: %w", s.Dir, err)
		}
	}
	if err = Bind(a, model); err != nil {
		return a, made, err
	}
	return a, made, s.CheckAllTaken()
}

// replace puts the tensors of the backbone that stand beside the adapter into the
// model: those that the configuration lists, or that PEFT stored.
func (s *Saved) replace(model Host) error {
	names := s.Config.Replaced
	if s.foreign {
		for _, p := range model.Backbone() {
			if name := PEFTPrefix + p.Name; s.Shape(name) != nil && !s.taken[name] {
				names = append(names, p.Name)
			}
		}
		if bias, _ := s.Config.PEFT["bias"].(string); bias != "" && bias != "none" && len(names) == 0 {
			s.Note("bias is %q, and the folder has no bias: the model's own are used", bias)
		}
	}
	for _, name := range names {
		stored := PEFTPrefix + name
		value, err := s.Tensor(stored, torch.CPU, s.Shape(stored)...)
		if err != nil {
			return err
		}
		err = model.Replace(name, value)
		value.Free()
		if err != nil {
			return fmt.Errorf("%s: %w", s.weights.Path(), err)
		}
	}
	if s.foreign && len(names) > 0 {
		s.Note("tensors of the backbone that the adapter brings, and keeps frozen: %s", Few(names))
	}
	return nil
}

// fold puts updates of what is no site into the model's tensors.
func (s *Saved) fold(a Folding, model Host) error {
	weight := func(name string) (*torch.Tensor, error) {
		if t := Find(name, model.Head()); t != nil {
			return t.Detach(), nil
		}
		return model.Original(name)
	}
	var folded []string
	err := a.Fold(weight, func(name string, update *torch.Tensor) error {
		folded = append(folded, name)
		if t := Find(name, model.Head()); t != nil {
			torch.NoGrad(func() { t.AddInPlace(update) })
			return nil
		}
		own, err := model.Original(name)
		if err != nil {
			return err
		}
		return model.Replace(name, own.To(update.Device()).Add(update))
	})
	if err == nil && len(folded) > 0 {
		s.Note("updates of what is no matrix of a layer are put into the model's tensors: %s", Few(folded))
	}
	return err
}

// Find is the tensor of that name; nil where there is none.
func Find(name string, among []Parameter) *torch.Tensor {
	if i := slices.IndexFunc(among, func(p Parameter) bool { return p.Name == name }); i >= 0 {
		return among[i].Tensor
	}
	return nil
}

// BringsPooler: the folder has a pooler, or updates of one, so that the model is
// to have one that is the head's.
func (s *Saved) BringsPooler() bool {
	if !s.foreign {
		return s.Config.Pooler
	}
	const pooler = "pooler.dense"
	if slices.ContainsFunc(s.names, func(name string) bool { return strings.HasSuffix(name, pooler+".weight") }) {
		return true
	}
	selected, err := readSelection(s)
	return err == nil && slices.ContainsFunc(s.modules, func(module string) bool { // an error is found again when it is opened
		return strings.HasSuffix(module, pooler) && selected.has(module)
	})
}

// Outputs is the number of outputs of the head in the folder of an adapter that
// names no task, on a model of that width; 0 where there is no head.
func (s *Saved) Outputs(hidden int64) (int, error) {
	for _, layer := range []string{"classifier", "classifier.out_proj"} {
		weight, bias := s.Shape(PEFTPrefix+layer+".weight"), s.Shape(PEFTPrefix+layer+".bias")
		switch {
		case weight == nil || s.headless:
		case len(weight) != 2 || weight[0] < 1 || weight[1] != hidden || bias != nil && !slices.Equal(bias, weight[:1]):
			return 0, fmt.Errorf("%s: %s has a weight of shape %v and a bias of %v, the model is %d wide", s.weights.Path(), layer, weight, bias, hidden)
		default:
			return int(weight[0]), nil
		}
	}
	return 0, nil
}

// ModelRef is the folder or name of the model that the adapter recorded, with the
// revision where that stands in a key of its own, as PEFT writes it.
func (c Config) ModelRef() string {
	if revision, _ := c.PEFT[revisionKey].(string); revision != "" && c.BaseModel != "" && !strings.Contains(c.BaseModel, "@") {
		if stat, err := os.Stat(c.BaseModel); err != nil || !stat.IsDir() { // a folder has none
			return c.BaseModel + "@" + revision
		}
	}
	return c.BaseModel
}

// WithModel is the config of what is stored with those tensors of the model
// beside the adapter: of the head, and those of the backbone that were replaced.
func (c Config) WithModel(head, replaced []Parameter) Config {
	c.Replaced, c.Pooler = nil, false
	saved, bias := []string{"classifier", "score"}, "none" // what PEFT trains for whole examples
	if c.Pooler = slices.ContainsFunc(head, func(p Parameter) bool { return strings.Contains(p.Name, ".pooler.") }); c.Pooler {
		saved = append(saved, "pooler")
	}
	for _, p := range replaced {
		c.Replaced = append(c.Replaced, p.Name)
		if module, isWeight := strings.CutSuffix(p.Name, ".weight"); isWeight {
			saved = append(saved, module)
		} else {
			bias = "all"
		}
	}
	if c.PEFT != nil {
		c.PEFT = maps.Clone(c.PEFT)
		c.PEFT["modules_to_save"], c.PEFT["bias"] = saved, bias
	}
	return c
}

// StoredReplaced is tensors that were replaced under the names that they have
// beside an adapter of that config: PEFT's, for which the bias of an adapted
// module is that of what the adapter is wrapped around.
func StoredReplaced(c Config, replaced []Parameter) ([]Parameter, error) {
	sites, err := c.AdaptedSites()
	if err != nil {
		return nil, err
	}
	adapted := map[string]bool{}
	for _, site := range sites {
		adapted[c.Architecture().Module(site)] = true
	}
	stored := make([]Parameter, len(replaced))
	for i, p := range replaced {
		name := p.Name
		if module, isBias := strings.CutSuffix(name, ".bias"); isBias && adapted[module] {
			name = module + wrapped + "bias"
		}
		stored[i] = Parameter{PEFTPrefix + name, p.Tensor}
	}
	return stored, nil
}
