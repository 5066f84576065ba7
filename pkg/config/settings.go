package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/metatt/metatt/pkg/adapter/setting"
)

// method is an adapter method as the schema knows it.
type method struct {
	name string
	setting.Declaration
}

var (
	methods []method
	sealed  bool // the schema has been read off them
)

// Declare tells the schema of an adapter method. It is for what starts a program: a method that comes after a
// configuration was read, or one whose name or keys are another's, is a mistake in the program and panics.
func Declare(name string, declaration setting.Declaration) {
	if sealed || slices.ContainsFunc(methods, func(m method) bool { return m.name == name }) {
		panic("config: method " + name + " is declared twice or too late")
	}
	methods = append(methods, method{name, declaration})
}

// declared is the method of that name, one without settings where there is none.
func declared(name string) method {
	for _, m := range methods {
		if m.name == name {
			return m
		}
	}
	return method{name: name}
}

// keys are those that the method declares.
func (m method) keys() []Key {
	own := &keySet{}
	if m.Keys != nil {
		own.collect(reflect.TypeOf(m.Keys), adapterSection+".", nil)
	}
	return own.keys
}

// adapterSection is where methods have their keys.
const adapterSection = "adapter"

// addMethods adds all methods and what they declare.
func (s *keySet) addMethods() {
	of := map[string]*Key{}
	for i := range s.keys {
		of[s.keys[i].Name] = &s.keys[i]
	}
	choice, rank, budget := of[adapterSection+".method"], of[adapterSection+".rank"], of[adapterSection+".budget"]
	for _, m := range methods {
		choice.enum = append(choice.enum, m.name)
		if m.Rank > 0 {
			rank.Doc += fmt.Sprintf("; by default %d for %s", m.Rank, m.name)
		}
		if m.Size != "" {
			budget.Doc += fmt.Sprintf("; for %s %s.%s", m.name, adapterSection, m.Size)
		}
	}
	choice.Type = choice.typeName()
	for _, m := range methods {
		for _, key := range m.keys() {
			s.addSetting(m.name, key)
		}
	}
}

func (s *keySet) addSetting(method string, key Key) {
	key.setting, key.index = true, nil
	at := 0 // behind the keys of the section, or behind the one that is named
	for i, known := range s.keys {
		switch {
		case known.Name == key.Name:
			if known.methods = append(known.methods, method); !known.declaredAs(key) {
				panic("config: " + method + " declares " + key.Name + " otherwise than " + known.methods[0])
			}
			s.keys[i] = known
			return
		case key.after == "" && strings.HasPrefix(known.Name, adapterSection+"."),
			key.after != "" && (known.Name == adapterSection+"."+key.after || known.after == key.after):
			at = i + 1
		}
	}
	if at == 0 {
		panic("config: " + method + " declares " + key.Name + " behind " + key.after + ", which is no key")
	}
	key.methods = []string{method}
	s.keys = slices.Insert(s.keys, at, key)
	if section, _ := splitKey(key.Name); !slices.Contains(s.sections, section) {
		s.sections = append(s.sections, section)
	}
}

// declaredAs: two methods say the same of the key that they share.
func (k *Key) declaredAs(other Key) bool {
	return k.tags == other.tags && k.kind == other.kind && k.setting
}

// Setting is the value of a key that a method declares, by its name under adapter: "ranks", "adalora.hold". nil: no
// method does.
func (a *Adapter) Setting(name string) any { return a.settings[adapterSection+"."+name] }

// Settings are the keys that a method declares as it has them, a struct of its Declaration's Keys; nil: it has none.
func (a *Adapter) Settings(method string) any {
	if pointer := a.pointer(declared(method)); pointer != nil {
		return reflect.ValueOf(pointer).Elem().Interface()
	}
	return nil
}

func (a *Adapter) pointer(m method) any {
	if m.Keys == nil {
		return nil
	}
	filled := reflect.New(reflect.TypeOf(m.Keys))
	for _, key := range m.keys() {
		if value, ok := a.settings[key.Name]; ok {
			filled.Elem().FieldByIndex(key.index).Set(reflect.ValueOf(value))
		}
	}
	return filled.Interface()
}

// Adopt makes a method the adapter's, with those settings. What other methods declare goes back to its default.
func (a *Adapter) Adopt(method string, settings any) {
	a.Method, a.settings = method, maps.Clone(a.settings)
	for i := range schema().keys {
		if key := &schema().keys[i]; key.setting && !slices.Contains(key.methods, method) {
			a.settings[key.Name], _ = key.parse(key.Default)
		}
	}
	a.put(declared(method), settings)
}

// Adopt makes a saved adapter's method and settings the configuration's, but for those of its training that are set here.
func (c *Config) Adopt(method string, settings any) {
	asked := c.Adapter.settings
	c.Adapter.Adopt(method, settings)
	for _, name := range declared(method).Training {
		if key := adapterSection + "." + name; c.where[key] != "" {
			c.Adapter.settings[key] = asked[key]
		}
	}
}

func (a *Adapter) put(m method, settings any) {
	for _, key := range m.keys() {
		a.settings[key.Name] = reflect.ValueOf(settings).FieldByIndex(key.index).Interface()
	}
}

// Overruled lists the settings of the command line that are not what adopting a method with its settings makes of
// them.
func (c *Config) Overruled(method string, settings any) (keys []string, theirs []any) {
	after := *c
	after.Adopt(method, settings)
	for i := range schema().keys {
		key := &schema().keys[i]
		if !key.setting || !c.Overrides(key.Name) || reflect.DeepEqual(key.of(c), key.of(&after)) {
			continue
		}
		keys = append(keys, key.Name)
		if value := key.of(&after); slices.Contains(key.methods, method) && !reflect.DeepEqual(value, "") {
			theirs = append(theirs, value)
		} else {
			theirs = append(theirs, "none")
		}
	}
	return keys, theirs
}

// settleMethod fills in and checks what a method makes depend on other keys.
func (c *Config) settleMethod() (problems []Problem) {
	a, m := &c.Adapter, declared(c.Adapter.Method)
	if c.where["adapter.rank"] == "" && m.Rank > 0 {
		a.Rank = m.Rank
	}
	if m.Settle == nil {
		return nil
	}
	asked := &setting.Asked{
		Method: m.name, Settings: a.pointer(m), Rank: a.Rank, Budget: a.Budget, Saved: c.fromSaved(),
		Counts: func(key, other string) bool {
			key, other = adapterSection+"."+key, adapterSection+"."+other
			return c.where[key] != "" && c.from[key] >= c.from[other]
		},
	}
	for _, fault := range m.Settle(asked) {
		problems = append(problems, c.problem(adapterSection+"."+fault.Key, "%s", fault.Message))
	}
	a.Rank = asked.Rank
	if asked.Settings != nil {
		a.put(m, reflect.ValueOf(asked.Settings).Elem().Interface())
	}
	return problems
}

// MarshalYAML writes the keys of methods among the others, in the schema's order.
func (a Adapter) MarshalYAML() (any, error) {
	section := &yaml.Node{Kind: yaml.MappingNode}
	for i := range schema().keys {
		key := &schema().keys[i]
		name, ours := strings.CutPrefix(key.Name, adapterSection+".")
		if !ours {
			continue
		}
		var value yaml.Node
		if err := value.Encode(key.of(&Config{Adapter: a})); err != nil {
			return nil, fmt.Errorf("%s: %w", key.Name, err)
		}
		if value.Kind == yaml.SequenceNode {
			value.Style = yaml.FlowStyle
		}
		path, last := splitKey(name)
		into := section
		if path != "" {
			into = subsection(section, path)
		}
		into.Content = append(into.Content, word(last), &value)
	}
	return section, nil
}

// subsection is the section of that name, which is added where there is none.
func subsection(section *yaml.Node, name string) *yaml.Node {
	for i := 0; i < len(section.Content); i += 2 {
		if section.Content[i].Value == name {
			return section.Content[i+1]
		}
	}
	added := &yaml.Node{Kind: yaml.MappingNode}
	section.Content = append(section.Content, word(name), added)
	return added
}

func word(text string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: text} }
