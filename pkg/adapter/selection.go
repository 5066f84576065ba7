package adapter

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/metatt/metatt/pkg/internal/rawjson"
)

// selection is which modules PEFT adapts, by the keys of adapter_config.json.
type selection struct {
	known    bool           // false: only the tensors say it
	all      bool           // every linear layer but the classifier
	names    []string       // whole names, or what they end with behind a dot
	whole    *regexp.Regexp // of names; nil: as listed
	layers   []int          // nil: every one
	numbered []*regexp.Regexp
	excluded func(module string) bool
}

// readSelection reads target_modules, exclude_modules, layers_to_transform,
// layers_pattern and modules_to_save.
func readSelection(s *Saved) (selection, error) {
	selected := selection{}
	texts := func(key string) (list []string, single bool, err error) {
		switch value := s.Raw(key); rawjson.Kind(value) {
		case "nothing", "null":
		case "string":
			list, single = make([]string, 1), true
			err = json.Unmarshal(value, &list[0])
		default:
			if json.Unmarshal(value, &list) != nil {
				err = fmt.Errorf("%s is neither a text nor a list of texts", key)
			}
		}
		return list, single, err
	}
	targets, single, err := texts(modulesKey)
	if err != nil {
		return selected, err
	}
	selected.known = len(targets) > 0
	switch {
	case single && strings.EqualFold(targets[0], "all-linear"):
		selected.all = true
	case single:
		if selected.whole, err = regexp.Compile("^(?:" + targets[0] + ")$"); err != nil {
			selected.known = false
			s.Note("target_modules is an expression of Python's that this build cannot read: every module that has tensors is taken for selected")
		}
	default:
		selected.names = targets
	}
	excluded, single, err := texts("exclude_modules")
	if err != nil {
		return selected, err
	}
	saved, _, err := texts("modules_to_save")
	if err != nil {
		return selected, err
	}
	var outside []*regexp.Regexp
	exclude := func(key, expression string) {
		if e, err := regexp.Compile(expression); err == nil {
			outside = append(outside, e)
		} else { // PEFT stores no tensors of what is excluded
			s.Note("%s is an expression of Python's that this build cannot read: every module that has tensors is taken for selected", key)
		}
	}
	if single {
		exclude("exclude_modules", "^(?:"+excluded[0]+")$")
		excluded = nil
	}
	for _, module := range saved { // PEFT takes the name for an expression, too
		exclude("modules_to_save", `^(?:|.*\.)(?:`+module+`)(?:$|\..*)`)
	}
	selected.excluded = func(module string) bool {
		return endsLikeOne(module, excluded) || slices.ContainsFunc(outside, func(e *regexp.Regexp) bool { return e.MatchString(module) })
	}
	return selected, selected.readLayers(s, texts)
}

// readLayers reads in which layers modules of a list are adapted.
func (selected *selection) readLayers(s *Saved, texts func(string) ([]string, bool, error)) error {
	const key = "layers_to_transform"
	switch value := s.Raw(key); rawjson.Kind(value) {
	case "nothing", "null":
		return nil
	case "number":
		n, err := strconv.Atoi(string(value))
		if err != nil {
			return fmt.Errorf("%s is %.40s, not the number of a layer", key, value)
		}
		selected.layers = []int{n}
	default:
		if json.Unmarshal(value, &selected.layers) != nil {
			return fmt.Errorf("%s is neither the number of a layer nor a list of them", key)
		}
	}
	if len(selected.layers) == 0 || selected.whole != nil {
		selected.layers = nil
		return nil
	}
	patterns, _, err := texts("layers_pattern")
	if err != nil {
		return err
	}
	if len(patterns) == 0 || patterns[0] == "" {
		patterns = []string{`.*?\.[^.]*`}
	}
	for _, pattern := range patterns {
		expression, err := regexp.Compile(`^(?:|.*?\.)(?:` + pattern + `)\.(\d+)\.`)
		if err != nil {
			return fmt.Errorf("layers_pattern: %w", err)
		}
		selected.numbered = append(selected.numbered, expression)
	}
	return nil
}

// has: the module is selected.
func (selected selection) has(module string) bool {
	switch {
	case selected.excluded(module):
		return false
	case !selected.known:
		return true
	case selected.all:
		return !strings.HasPrefix(module, "classifier")
	case selected.whole != nil:
		return selected.whole.MatchString(module)
	case !endsLikeOne(module, selected.names):
		return false
	case selected.layers == nil:
		return true
	}
	for _, expression := range selected.numbered {
		if match := expression.FindStringSubmatch(module); match != nil {
			layer, err := strconv.Atoi(match[len(match)-1])
			return err == nil && slices.Contains(selected.layers, layer)
		}
	}
	return false
}

// endsLikeOne: the module is one of the names, or ends with one behind a dot.
func endsLikeOne(module string, names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return module == name || strings.HasSuffix(module, "."+name) })
}

// Raw is the value of a key of adapter_config.json as it stands; nil where it is
// absent. As in Python, the last of several counts.
func (s *Saved) Raw(key string) (value []byte) {
	rawjson.Members(s.text, func(name string, v []byte) error { // the text has been decoded: it is an object
		if name == key {
			value = v
		}
		return nil
	})
	return value
}

// Member is a name in an object of adapter_config.json with its value.
type Member struct {
	Name  string
	Value []byte // JSON
}

// Members lists an object of adapter_config.json in the file's order, which a map
// does not keep; none where it is absent or null. As in Python, a name that comes
// again keeps its place and has the later value.
func (s *Saved) Members(key string) (members []Member, err error) {
	value := s.Raw(key)
	if kind := rawjson.Kind(value); kind == "null" || kind == "nothing" {
		return nil, nil
	}
	err = rawjson.Members(value, func(name string, v []byte) error {
		if i := slices.IndexFunc(members, func(m Member) bool { return m.Name == name }); i >= 0 {
			members[i].Value = v
		} else {
			members = append(members, Member{name, v})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return members, nil
}
