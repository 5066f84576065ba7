package lora

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
)

// What PEFT calls the tensors, behind a module's name.
const (
	downSuffix   = ".lora_A.weight"
	upSuffix     = ".lora_B.weight"
	lengthSuffix = ".lora_magnitude_vector"
)

// Config implements [adapter.Adapter].
func (l *lowRank) Config() adapter.Config {
	c := describe(l.name, "LORA", l.model, l.targets, l.rank, l.alpha, l.dropout)
	ranks, alphas := map[string]any{}, map[string]any{}
	for _, p := range l.pairs {
		// PEFT looks a pattern's key up as it is, or since 0.15 as a regular
		// expression of the name's end: this matches no other module's.
		if module := l.model.Module(p.site); p.down != nil {
			if r := p.rank(); r != l.rank {
				ranks[module] = r
			}
			if p.alpha != l.alpha {
				alphas[module] = p.alpha
			}
		}
	}
	for key, value := range map[string]any{
		"lora_alpha": l.alpha, "lora_dropout": l.dropout, "lora_bias": false, "init_lora_weights": true,
		"use_rslora": l.rootScale, "use_dora": l.magnitudes, "rank_pattern": ranks, "alpha_pattern": alphas,
	} {
		c.PEFT[key] = value
	}
	return c
}

// describe is the part of the config that the family shares.
func describe(method, peftType string, model adapter.Architecture, targets []adapter.Kind, rank int64, alpha, dropout float64) adapter.Config {
	c := adapter.Config{
		FormatVersion: adapter.FormatVersion, PEFTType: peftType, Method: method,
		Ranks: []int64{rank}, Alpha: alpha, Dropout: dropout,
		PEFT: map[string]any{
			"r": rank, "target_modules": TargetModules(targets), "bias": "none", "fan_in_fan_out": false,
			"inference_mode": true, "modules_to_save": Head,
		},
	}
	c.SetArchitecture(model)
	for _, kind := range targets {
		c.Targets = append(c.Targets, kind.String())
	}
	return c
}

// Head is what PEFT trains beside an adapter for sequence classification, and
// stores with it.
var Head = []string{"classifier", "score"}

// TargetModules says in PEFT's way which modules are adapted: the ends of their
// names, in a list. FFNDown's "output.dense" is the end of Output's name too:
// without Output a regular expression, of the whole name, is needed.
func TargetModules(targets []adapter.Kind) any {
	names := make([]string, len(targets))
	for i, kind := range targets {
		names[i] = kind.Module()
	}
	if slices.Contains(targets, adapter.FFNDown) && !slices.Contains(targets, adapter.Output) {
		for i, name := range names {
			names[i] = regexp.QuoteMeta(name)
		}
		return `.*\.layer\.\d+\.(` + strings.Join(names, "|") + ")"
	}
	for i, kind := range targets {
		// query, key and value alone are what everybody writes.
		if kind <= adapter.Value {
			names[i] = kind.String()
		}
	}
	return names
}

// adopt takes a LoRA, rsLoRA or DoRA that PEFT wrote.
func (v variant) adopt(s *adapter.Saved) (bool, error) {
	keys := s.Config.PEFT
	root, _ := keys["use_rslora"].(bool)
	dora, _ := keys["use_dora"].(bool)
	if root && dora {
		return false, errors.New("use_dora with use_rslora is none of this build's methods")
	}
	if root != v.rootScale || dora != v.magnitudes {
		return false, nil
	}
	// PiSSA, OLoRA and the like change the backbone's weights too, which the
	// file does not hold.
	if start, ok := keys["init_lora_weights"].(string); ok && start != "gaussian" && start != "orthogonal" && start != "eva" {
		return false, fmt.Errorf("init_lora_weights %q changes the backbone: have PEFT convert the adapter to a plain LoRA first", start)
	}
	return true, adoptKeys(s, "r", "lora_alpha", "lora_dropout", strings.TrimPrefix(downSuffix, "."))
}

// adoptKeys reads the keys that the family shares. tensor is the end of a name
// that every adapted module has.
func adoptKeys(s *adapter.Saved, rankKey, alphaKey, dropoutKey, tensor string) error {
	c := &s.Config
	rank, err := readRank(c.PEFT, rankKey)
	if err != nil {
		return err
	}
	var ok bool
	c.Ranks, c.Alpha = []int64{rank}, 1
	if alphaKey != "" {
		if c.Alpha, ok = c.PEFT[alphaKey].(float64); !ok || c.Alpha <= 0 {
			return fmt.Errorf("%s is %v, not a number above 0", alphaKey, c.PEFT[alphaKey])
		}
	}
	c.Dropout, _ = c.PEFT[dropoutKey].(float64)
	if c.Dropout < 0 || c.Dropout >= 1 {
		return fmt.Errorf("%s is %v, not in [0, 1)", dropoutKey, c.Dropout)
	}
	c.Targets, c.Layers, err = s.AdaptedModules(tensor)
	return err
}

func readRank(keys map[string]any, name string) (int64, error) {
	rank, ok := keys[name].(float64)
	if !ok || rank < 1 || rank != float64(int64(rank)) {
		return 0, fmt.Errorf("%s is %v, not a rank", name, keys[name])
	}
	return int64(rank), nil
}

// pattern is PEFT's alpha_pattern: a value for the modules whose
// name, or its end behind a dot, matches an expression.
type pattern []struct {
	module *regexp.Regexp
	value  float64
}

func readAlphas(keys map[string]any) (pattern, error) {
	const name = "alpha_pattern"
	table, _ := keys[name].(map[string]any)
	var p pattern
	for expression, value := range table {
		number, ok := value.(float64)
		if !ok || number <= 0 {
			return nil, fmt.Errorf("%s: %s is %v, not a number above 0", name, expression, value)
		}
		module, err := regexp.Compile(`^(.*\.)?(` + expression + `)$`)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		p = append(p, struct {
			module *regexp.Regexp
			value  float64
		}{module, number})
	}
	return p, nil
}

// of is the module's value, or otherwise where none matches. PEFT takes the
// first match in the file's order, which is lost here, so matches must agree.
func (p pattern) of(module string, otherwise float64) (float64, error) {
	value, found := otherwise, false
	for _, entry := range p {
		if !entry.module.MatchString(module) {
			continue
		}
		if found && entry.value != value {
			return 0, fmt.Errorf("alpha_pattern gives %s both %v and %v", module, value, entry.value)
		}
		value, found = entry.value, true
	}
	return value, nil
}
