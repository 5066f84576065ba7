package lora

import (
	"encoding/json"
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
	biasSuffix   = ".lora_B.bias"
)

// Config implements [adapter.Adapter].
func (l *lowRank) Config() adapter.Config {
	c := l.describe("LORA", l.rank, l.alpha)
	ranks, alphas := map[string]any{}, map[string]any{}
	for _, p := range l.sites {
		// PEFT looks a pattern's key up as it is, or since 0.15 as a regular
		// expression of the name's end: this matches no other module's.
		if module := l.model.Module(p.site); p.down != nil {
			if r := p.rank; r != l.rank {
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

// module is what a LoRA is of: a site, or where that has no kind another layer of
// the model.
type module struct {
	adapter.Site
	name string // in the model
}

const noKind adapter.Kind = -1

// modulesOf lists all targets of every layer.
func modulesOf(model adapter.Architecture, targets []adapter.Kind) []module {
	var all []module
	for layer := range model.Layers {
		for _, kind := range targets {
			site := model.Site(layer, kind)
			all = append(all, module{site, model.Module(site)})
		}
	}
	return all
}

// savedModules lists what is adapted in a file. The sizes of what is no site are
// those of its tensors: of in (r, In) and out (Out, r) or (Out).
func savedModules(s *adapter.Saved, in, out string) ([]module, error) {
	sites, err := s.Config.AdaptedSites()
	if err != nil {
		return nil, err
	}
	var all []module
	for _, site := range sites {
		all = append(all, module{site, s.Config.Architecture().Module(site)})
	}
	for _, name := range s.OtherModules() {
		m := module{adapter.Site{Kind: noKind}, name}
		if shape := s.Shape(adapter.PEFTPrefix + name + out); len(shape) > 0 {
			m.Out = shape[0]
		}
		if shape := s.Shape(adapter.PEFTPrefix + name + in); len(shape) == 2 {
			m.In = shape[1]
		} else {
			m.In = s.Config.Hidden // of every layer of a head
		}
		all = append(all, m)
	}
	return all, nil
}

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
	if err := checkKeys(s, loraKeys); err != nil {
		return false, err
	}
	keys := s.Config.PEFT
	root, _ := keys["use_rslora"].(bool)
	dora, _ := keys["use_dora"].(bool)
	if dora != v.magnitudes || !dora && root != v.rootScale {
		return false, nil
	}
	if bias, _ := keys["lora_bias"].(bool); bias && dora {
		return false, errors.New("lora_bias is set, which PEFT does not have with use_dora")
	}
	// PiSSA, OLoRA and the like change the backbone's weights too, which the
	// file does not hold.
	switch start := keys["init_lora_weights"].(type) {
	case nil, bool:
	case string:
		if start != "gaussian" && start != "orthogonal" && start != "eva" {
			return false, fmt.Errorf("init_lora_weights %q changes the backbone: have PEFT convert the adapter to a plain LoRA first", start)
		}
	default:
		return false, fmt.Errorf("init_lora_weights is %s, neither true or false nor a name", brief(start))
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
	return s.FindModules(tensor)
}

func readRank(keys map[string]any, name string) (int64, error) {
	rank, ok := keys[name].(float64)
	if !ok || rank < 1 || rank != float64(int64(rank)) {
		return 0, fmt.Errorf("%s is %v, not a rank", name, keys[name])
	}
	return int64(rank), nil
}

// pattern is PEFT's rank_pattern or alpha_pattern: values for the modules whose
// name, or its end behind a dot, matches an expression. The first in the file's
// order counts.
type pattern struct {
	key     string
	entries []patternEntry
}

type patternEntry struct {
	expression string
	module     *regexp.Regexp
	value      float64
	used       bool
}

// readPattern reads the pattern under a key.
func readPattern(s *adapter.Saved, key string) (*pattern, error) {
	members, err := s.Members(key)
	if err != nil {
		return nil, err
	}
	p := &pattern{key: key}
	for _, m := range members {
		entry := patternEntry{expression: m.Name}
		if err := json.Unmarshal(m.Value, &entry.value); err != nil || !(entry.value > 0) {
			return nil, fmt.Errorf("%s: %.200q is %.40s, not a number above 0", key, m.Name, m.Value)
		}
		if entry.module, err = regexp.Compile(`^(.*\.)?(` + m.Name + `)$`); err != nil {
			return nil, fmt.Errorf("%s: %.200q is no expression, or one of Python's that this build cannot read", key, m.Name)
		}
		p.entries = append(p.entries, entry)
	}
	return p, nil
}

// of is the module's value, or otherwise where nothing matches.
func (p *pattern) of(module string, otherwise float64) float64 {
	for i := range p.entries {
		if p.entries[i].module.MatchString(module) {
			p.entries[i].used = true
			return p.entries[i].value
		}
	}
	return otherwise
}

// noteUnused tells of the expressions that gave no module its value.
func (p *pattern) noteUnused(s *adapter.Saved) {
	for _, entry := range p.entries {
		if !entry.used {
			s.Note("%s: %.200q gives no adapted module its value", p.key, entry.expression)
		}
	}
}
