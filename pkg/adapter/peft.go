package adapter

import (
	"encoding/json"
	"fmt"
	"reflect"
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
	return json.Marshal(keys)
}

// UnmarshalJSON is the inverse of MarshalJSON, and reads what PEFT wrote alone.
func (c *Config) UnmarshalJSON(text []byte) error {
	var keys map[string]any
	if err := json.Unmarshal(text, &keys); err != nil {
		return err
	}
	type plain Config
	targets, both := keys[targetsKey]
	if _, versioned := keys[versionKey]; both || !versioned {
		delete(keys, targetsKey)
		delete(keys, modulesKey)
		if both {
			keys[modulesKey] = targets
		}
		var err error
		if text, err = json.Marshal(keys); err != nil {
			return err
		}
		c.PEFT = keys
		for field := range reflect.TypeFor[Config]().Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			delete(c.PEFT, name)
		}
	}
	return json.Unmarshal(text, (*plain)(c))
}

// modulesKey is PEFT's description of modules where PEFT can read the adapter,
// and our list of targets where it cannot; then that stands under targetsKey.
const modulesKey, targetsKey, versionKey = "target_modules", "targets", "format_version"

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

// adoptForeign completes the Config of an adapter that PEFT wrote.
func (s *Saved) adoptForeign() error {
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

// AdaptedModules lists the targets, in the order of [Kinds], and the number of
// layers of an adapter whose tensors are named PREFIX.layer.N.MODULE.suffix.
// Every layer must have the same targets.
func (s *Saved) AdaptedModules(suffix string) (targets []string, layers int, err error) {
	have := map[Site]bool{}
	for _, name := range s.weights.Names() {
		module, ok := strings.CutSuffix(name, "."+suffix)
		if !ok {
			continue
		}
		site, ok := parseModule(module)
		if !ok {
			return nil, 0, fmt.Errorf("tensor %s adapts no matrix of a layer of BERT or RoBERTa", name)
		}
		have[site] = true
		layers = max(layers, site.Layer+1)
	}
	for _, kind := range Kinds() {
		count := 0
		for layer := range layers {
			if have[Site{Layer: layer, Kind: kind}] {
				count++
			}
		}
		switch count {
		case 0:
		case layers:
			targets = append(targets, kind.String())
		default:
			return nil, 0, fmt.Errorf("%s is adapted in %d of %d layers; all or none is needed", kind, count, layers)
		}
	}
	if len(targets) == 0 {
		return nil, 0, fmt.Errorf("no tensor is named ….%s", suffix)
	}
	return targets, layers, nil
}

// largestLayer bounds the layer number in a tensor's name.
const largestLayer = 1000

// parseModule reads Layer and Kind of a name that ends like [Architecture.Module]'s.
func parseModule(name string) (Site, bool) {
	_, rest, ok := strings.Cut(name, ".encoder.layer.")
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
