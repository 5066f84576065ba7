package adapter

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// PEFTPrefix stands before the name of every tensor that PEFT stores.
const PEFTPrefix = "base_model.model."

// MarshalJSON writes the keys of both worlds where PEFT can read the adapter.
func (c Config) MarshalJSON() ([]byte, error) {
	type plain Config
	text, err := json.Marshal(plain(c))
	if err != nil || c.PEFT == nil {
		return text, err
	}
	keys := map[string]any{}
	if err := json.Unmarshal(text, &keys); err != nil {
		return nil, err
	}
	keys[targetsKey] = keys[modulesKey]
	for name, value := range c.PEFT {
		keys[name] = value
	}
	if name, revision, both := strings.Cut(c.BaseModel, "@"); both && !filepath.IsAbs(c.BaseModel) {
		keys["base_model_name_or_path"], keys[revisionKey] = name, revision
	}
	return json.Marshal(keys)
}

// UnmarshalJSON is the inverse of MarshalJSON, and reads what PEFT wrote alone.
func (c *Config) UnmarshalJSON(text []byte) error {
	var keys map[string]any
	if err := json.Unmarshal(text, &keys); err != nil {
		return err
	}
	if keys == nil {
		return errors.New("null where an object belongs")
	}
	type plain Config
	others := maps.Clone(keys)
	for field := range reflect.TypeFor[Config]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		delete(others, name)
	}
	delete(others, targetsKey)
	targets, both := keys[targetsKey]
	if _, versioned := keys[versionKey]; both || !versioned {
		c.PEFT = others
		delete(keys, targetsKey)
		delete(keys, modulesKey)
		if both {
			keys[modulesKey] = targets
		}
		var err error
		if text, err = json.Marshal(keys); err != nil {
			return err
		}
	} else {
		for _, key := range slices.Sorted(maps.Keys(others)) {
			if !Empty(others[key]) {
				c.unknown = append(c.unknown, key)
			}
		}
	}
	return json.Unmarshal(text, (*plain)(c))
}

// Empty: a value that says nothing, whatever its key means: null, false, or a
// text, list or object with nothing in it.
func Empty(value any) bool {
	switch value := value.(type) {
	case nil:
		return true
	case bool:
		return !value
	case string:
		return value == ""
	case []any:
		return len(value) == 0
	case map[string]any:
		return len(value) == 0
	}
	return false
}

// modulesKey is PEFT's description of modules where PEFT can read the adapter,
// and our list of targets where it cannot; then that stands under targetsKey.
const modulesKey, targetsKey, versionKey = "target_modules", "targets", "format_version"

// revisionKey is PEFT's for the model's revision; ours stands behind its name.
const revisionKey = "revision"

// StoredHead is the head's tensors under the names they have beside an adapter
// of that config.
func StoredHead(c Config, head []Parameter) []Parameter {
	if c.PEFT == nil {
		return head
	}
	stored := make([]Parameter, len(head))
	for i, p := range head {
		stored[i] = Parameter{PEFTPrefix + p.Name, p.Tensor}
	}
	return stored
}

// adoptForeign completes the Config of an adapter that PEFT wrote, as far as the
// folder alone says it.
func (s *Saved) adoptForeign() error {
	if err := s.checkTaskType(); err != nil {
		return err
	}
	for _, m := range Methods() {
		if m.Adopt == nil || m.PEFTType != s.Config.PEFTType {
			continue
		}
		mine, err := m.Adopt(s)
		if err != nil {
			return err
		}
		if mine {
			s.Config.Method, s.Config.FormatVersion = m.Name, FormatVersion
			return nil
		}
	}
	return fmt.Errorf("no format_version, and peft_type %q is none that this build reads of PEFT's own", s.Config.PEFTType)
}

// otherTaskTypes are PEFT's for models whose head is none for whole examples,
// though it may have the same name.
var otherTaskTypes = []string{"SEQ_2_SEQ_LM", "CAUSAL_LM", "TOKEN_CLS", "QUESTION_ANS"}

// checkTaskType looks at what PEFT trained the adapter for.
func (s *Saved) checkTaskType() error {
	switch t := s.Config.TaskType; {
	case t == "" || t == "FEATURE_EXTRACTION":
		// Then PEFT says of which class the model was.
		mapping, _ := s.Config.PEFT["auto_mapping"].(map[string]any)
		class, _ := mapping["base_model_class"].(string)
		if strings.Contains(class, "For") && !strings.HasSuffix(class, "ForSequenceClassification") {
			s.headless = true
			s.Note("the adapter was trained on a %s: its layers are used, its head is not", class)
		}
	case t == "SEQ_CLS":
	case slices.Contains(otherTaskTypes, t):
		s.headless = true
		s.Note("the adapter was trained for %s: its layers are used, its head is not", t)
	default:
		return fmt.Errorf("task_type %q is none of PEFT's: SEQ_CLS, FEATURE_EXTRACTION, %s", t, strings.Join(otherTaskTypes, ", "))
	}
	return nil
}

// nameTensors gives the tensors the names that they have here. PEFT's differ from
// them with its version and with the class of the model: the whole prefix or that
// of the family, here modelType, may be missing; base_layer stands in the names of
// biases that were trained, and two copies of them beside a module of
// modules_to_save.
func (s *Saved) nameTensors(modelType string) error {
	s.names, s.stored = nil, map[string]string{}
	for _, stored := range s.weights.Names() {
		name := stored
		if s.Config.PEFT != nil && !(s.Config.perTask() && strings.HasPrefix(stored, HeadsPrefix)) {
			if copiedWeight.MatchString(stored) {
				return fmt.Errorf("%s: tensor %s: modules_to_save wraps a module inside another one, which PEFT cannot load either", s.weights.Path(), stored)
			}
			name = peftName(stored, modelType)
		}
		if _, twice := s.stored[name]; name == "" || twice && strings.Contains(stored, savedCopy) {
			continue
		} else if twice && !strings.Contains(s.stored[name], savedCopy) {
			return fmt.Errorf("%s: tensors %s and %s are the same one", s.weights.Path(), s.stored[name], stored)
		} else if !twice {
			s.names = append(s.names, name)
		}
		s.stored[name] = stored
	}
	return nil
}

// What PEFT puts into the names of tensors: of a trained copy of a module, of the
// original beside it, and of the module that an adapter is wrapped around.
const savedCopy, originalModule, wrapped = ".modules_to_save.", ".original_module.", ".base_layer."

// copiedWeight finds what PEFT stores of a module of modules_to_save inside another.
// Beside a single one it stores copies of biases alone, with bias: all.
var copiedWeight = regexp.MustCompile(`\.(modules_to_save|original_module)\..*weight$`)

// peftName is the name that a tensor has here; empty for one that is nobody's.
func peftName(stored, modelType string) string {
	if strings.Contains(stored, originalModule) {
		return ""
	}
	name := strings.TrimPrefix(stored, PEFTPrefix)
	if strings.HasPrefix(name, "base_model.") { // VeRA's matrices belong to no module
		return name
	}
	name = strings.Replace(name, savedCopy+"default.", ".", 1) // of a module in it, PEFT leaves the adapter's name there
	name = strings.Replace(strings.Replace(name, savedCopy, ".", 1), wrapped, ".", 1)
	return PEFTPrefix + familyName(name, modelType)
}

// familyName completes the name of a module or tensor of a bare encoder.
func familyName(name, modelType string) string {
	part, _, _ := strings.Cut(name, ".")
	if modelType != "" && slices.Contains([]string{"embeddings", "encoder", "pooler"}, part) {
		return modelType + "." + name
	}
	return name
}

// FindModules looks for the modules that have a tensor whose name ends with
// suffix, and puts into Config what that says before the model is known: which
// targets there are, and how many layers at least.
func (s *Saved) FindModules(suffix string) error {
	s.modules = nil
	have := map[Kind]bool{}
	for _, name := range s.names {
		module, ok := strings.CutSuffix(strings.TrimPrefix(name, PEFTPrefix), "."+suffix)
		if !ok {
			continue
		}
		s.modules = append(s.modules, module)
		if site, ok := parseModule(module); ok {
			have[site.Kind] = true
			s.Config.Layers = max(s.Config.Layers, site.Layer+1)
		}
	}
	for _, kind := range Kinds() {
		if have[kind] {
			s.Config.Targets = append(s.Config.Targets, kind.String())
		}
	}
	switch {
	case len(s.modules) == 0:
		return fmt.Errorf("no tensor is named ….%s", suffix)
	case len(have) == 0:
		return fmt.Errorf("tensor %s.%s adapts no matrix of a layer of BERT or RoBERTa, nor does another", s.modules[0], suffix)
	}
	return nil
}

// selectModules settles what is adapted in a model of that architecture: the
// modules that have tensors and that the configuration selects, as in PEFT.
func (s *Saved) selectModules(model Architecture) error {
	if err := s.nameTensors(model.ModelType); err != nil {
		return err
	}
	selected, err := readSelection(s)
	if err != nil {
		return err
	}
	s.bare = slices.ContainsFunc(s.modules, func(module string) bool { return familyName(module, model.ModelType) != module })
	have := map[string]bool{}
	s.others = nil
	for _, stored := range s.modules {
		name := familyName(stored, model.ModelType)
		if !selected.has(stored) {
			s.Note("%s has tensors, but target_modules does not select it: they are not used, as in PEFT", stored)
			s.drop(name)
			continue
		}
		site, ok := parseModule(name)
		switch {
		case !ok && (name == model.ModelType+".pooler.dense" || strings.HasPrefix(name, "classifier")):
			if s.modelHas != nil && !s.modelHas(name+".weight") {
				s.Note("%s is adapted, which the model does not have: not used", stored)
				s.drop(name)
				continue
			}
			s.others = append(s.others, name)
		case !ok && strings.HasPrefix(name, model.ModelType+"."):
			return fmt.Errorf("%s is adapted, which is neither a matrix of a layer nor one of the head", stored)
		case !ok:
			// Another head's, or another model's: CheckAllTaken tells of it.
		case name != model.Module(model.Site(site.Layer, site.Kind)):
			return fmt.Errorf("%s is adapted, the model is %s", stored, model)
		case site.Layer >= model.Layers:
			return fmt.Errorf("%s is adapted, the model has %d layers", stored, model.Layers)
		default:
			have[name] = true
		}
	}
	var adapted, without []string
	kinds := map[Kind]bool{}
	for layer := range model.Layers {
		for _, kind := range Kinds() {
			name := model.Module(model.Site(layer, kind))
			stored := s.PEFTModule(name)
			if have[name] {
				adapted, kinds[kind] = append(adapted, name), true
			} else if selected.known && selected.has(stored) {
				without = append(without, stored)
			}
		}
	}
	if len(adapted) == 0 {
		return fmt.Errorf("adapts nothing of the model, which is %s", model)
	}
	if len(without) > 0 {
		s.Note("target_modules selects modules that have no tensors, and stay as they are: %s", Few(without))
	}
	s.Config.Targets, s.Config.Modules = nil, nil
	for _, kind := range Kinds() {
		if kinds[kind] {
			s.Config.Targets = append(s.Config.Targets, kind.String())
		}
	}
	if len(adapted) < model.Layers*len(kinds) {
		s.Config.Modules = adapted
	}
	return nil
}

// PEFTModule is what PEFT calls a module of the model in this folder, which may
// be of a bare encoder.
func (s *Saved) PEFTModule(name string) string {
	if s.bare {
		return strings.TrimPrefix(name, s.Config.ModelType+".")
	}
	return name
}

// drop counts the adapter's tensors of a module as read.
func (s *Saved) drop(module string) {
	for _, name := range s.names {
		if strings.HasPrefix(name, PEFTPrefix+module+".") && adapterTensor.MatchString(name) {
			s.taken[name] = true
		}
	}
}

// OtherModules lists what is adapted beside sites: layers of the head, by their
// names in the model.
func (s *Saved) OtherModules() []string { return s.others }

// Few names the first few of many.
func Few(names []string) string {
	const shown = 4
	if len(names) <= shown {
		return fmt.Sprintf("%v", names)
	}
	return fmt.Sprintf("%v and %d more", names[:shown], len(names)-shown)
}

// largestLayer bounds the layer number in a tensor's name.
const largestLayer = 1000

// parseModule reads Layer and Kind of a name that ends like [Architecture.Module]'s.
func parseModule(name string) (Site, bool) {
	_, rest, ok := strings.Cut("."+name, ".encoder.layer.")
	number, module, both := strings.Cut(rest, ".")
	if !ok || !both {
		return Site{}, false
	}
	var layer int
	for _, digit := range number {
		if digit < '0' || digit > '9' || layer > largestLayer {
			return Site{}, false
		}
		layer = 10*layer + int(digit-'0')
	}
	for _, kind := range Kinds() {
		if kind.Module() == module && number != "" && layer <= largestLayer {
			return Site{Layer: layer, Kind: kind}, true
		}
	}
	return Site{}, false
}
