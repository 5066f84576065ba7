package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/metatt/metatt/pkg/spelling"
)

// Key describes one key of the schema.
type Key struct {
	Name    string // "train.lr"
	Type    string // "number > 0", "fp32|bf16"
	Default string // as it would be written; empty for an empty text
	Doc     string

	index  []int  // of the field in Config, or in TaskSettings
	task   string // in whose section of tasks the key is; empty: in none
	kind   reflect.Type
	enum   []string
	limits interval
	aka    []string
	tasks  []string // that the key is for; nil: all
	must   bool     // these tasks do not go without
	place  bool     // a file or folder, or a name that stands for one
	same   bool     // it changes no number of a run

	setting bool              // a method declares it
	tags    reflect.StructTag // all that is said of it
	after   string            // the key under adapter behind which it is listed
	methods []string          // that the key is for; nil: all
	modes   []string          // of dmrg.mode that the key is for; nil: all
}

// Methods are those that the key is for; nil: all.
func (k Key) Methods() []string { return k.methods }

// Values are the words that can stand as the key's value, or in its list; nil: numbers or any text.
func (k Key) Values() []string {
	switch k.kind {
	case reflect.TypeFor[bool]():
		return []string{"true", "false"}
	case reflect.TypeFor[Interval]():
		if k.Name == evalEvery {
			return []string{"epoch"}
		}
		return []string{"epoch", "never"}
	case reflect.TypeFor[Mixture]():
		words := make([]string, len(mixtures))
		for i, named := range mixtures {
			words[i] = named.name
		}
		return words
	case reflect.TypeFor[*float64](), reflect.TypeFor[*int]():
		return []string{"null"}
	}
	switch k.Name {
	case "device":
		return []string{"auto", "cpu", "cuda"}
	case bestMetric:
		return slices.Clone(metrics)
	}
	return slices.DeleteFunc(slices.Clone(k.enum), func(word string) bool { return word == "" })
}

// IsPlace: the value is a file or folder, or a name that stands for one.
func (k Key) IsPlace() bool { return k.place }

// Keys lists the schema in the order in which a resolved configuration is written. Keys that every task has are listed
// once, as tasks.<task>.lr.
func Keys() (keys []Key) {
	for _, key := range schema().keys {
		if key.task == "" {
			keys = append(keys, key)
		} else if key.task == schema().taskNames()[0] {
			key.Name = ofAnyTask(key.Name)
			keys = append(keys, key)
		}
	}
	return keys
}

type keySet struct {
	keys     []Key
	byName   map[string]*Key
	sections []string
}

var schema = sync.OnceValue(func() *keySet {
	set := &keySet{byName: map[string]*Key{}}
	sealed = true
	set.collect(reflect.TypeFor[Config](), "", nil)
	set.addMethods()
	for i := range set.keys {
		set.byName[set.keys[i].Name] = &set.keys[i]
	}
	return set
})

// taskNames are the legal tasks: the first key is task.
func (s *keySet) taskNames() []string { return s.keys[0].enum }

func (s *keySet) collect(t reflect.Type, prefix string, section []int) {
	for i := range t.NumField() {
		field := t.Field(i)
		if !field.IsExported() {
			continue
		}
		if field.Anonymous {
			s.collect(field.Type, prefix, append(slices.Clone(section), i))
			continue
		}
		local, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		name, index := prefix+local, append(slices.Clone(section), i)
		if _, leaf := field.Tag.Lookup("doc"); !leaf {
			s.sections = append(s.sections, name)
			if field.Type == reflect.TypeFor[PerTask]() {
				s.collectPerTask()
			} else {
				s.collect(field.Type, name+".", index)
			}
			continue
		}
		key := Key{
			Name:    name,
			Default: field.Tag.Get("default"),
			Doc:     field.Tag.Get("doc"),
			index:   index,
			tags:    field.Tag,
			after:   field.Tag.Get("after"),
			kind:    field.Type,
			limits:  parseLimits(field.Tag.Get("range")),
			must:    field.Tag.Get("must") == "true",
			place:   field.Tag.Get("place") == "true",
			same:    field.Tag.Get("neutral") == "true",
		}
		if tasks, ok := field.Tag.Lookup("for"); ok {
			key.tasks = strings.Split(tasks, ",")
		}
		if modes, ok := field.Tag.Lookup("modes"); ok {
			key.modes = strings.Split(modes, ",")
		}
		if enum, ok := field.Tag.Lookup("enum"); ok {
			key.enum = strings.Split(enum, ",")
		}
		if aka, ok := field.Tag.Lookup("aka"); ok {
			key.aka = strings.Split(aka, ",")
		}
		key.Type = key.typeName()
		s.keys = append(s.keys, key)
	}
}

// collectPerTask adds the settings of every task.
func (s *keySet) collectPerTask() {
	for _, task := range s.taskNames() {
		section, first := perTask+"."+task, len(s.keys)
		s.sections = append(s.sections, section)
		s.collect(reflect.TypeFor[TaskSettings](), section+".", nil)
		for i := range s.keys[first:] {
			s.keys[first+i].task = task
		}
	}
}

func (k *Key) typeName() string {
	legal := strings.TrimPrefix(strings.Join(k.enum, "|"), "|")
	switch k.kind {
	case reflect.TypeFor[bool]():
		return "true|false"
	case reflect.TypeFor[int](), reflect.TypeFor[*int]():
		return strings.TrimSpace("integer " + k.limits.String())
	case reflect.TypeFor[float64](), reflect.TypeFor[*float64]():
		return strings.TrimSpace("number " + k.limits.String())
	case reflect.TypeFor[Interval]():
		if k.Name == evalEvery {
			return "epoch|integer"
		}
		return "epoch|never|integer"
	case reflect.TypeFor[Mixture]():
		return "size|sqrt|uniform|round-robin|number >= 1"
	case reflect.TypeFor[Tasks]():
		return legal + ", one or a list"
	case reflect.TypeFor[[]string]():
		return "list of " + legal
	case reflect.TypeFor[[]int]():
		return strings.TrimSpace("list of integers " + k.limits.String())
	case reflect.TypeFor[[]float64]():
		return strings.TrimSpace("list of numbers " + k.limits.String())
	}
	if legal != "" {
		return legal
	}
	return "text"
}

// unknown is the problem of a key that the schema lacks, with the nearest that it has.
func (s *keySet) unknown(name string) string {
	if slices.Contains(s.sections, name) {
		return "is a section: set a key in it, such as " + s.firstOf(name)
	}
	if best := s.nearestKey(name); best != "" {
		return fmt.Sprintf("unknown key; did you mean %s?", best)
	}
	return "unknown key"
}

func (s *keySet) firstOf(section string) string {
	for _, key := range s.keys {
		if strings.HasPrefix(key.Name, section+".") {
			return key.Name
		}
	}
	return section
}

// nearestKey compares the whole name, its last part and the names that other frameworks use. Where several
// keys are as near, one of the same section wins.
func (s *keySet) nearestKey(name string) string {
	section, last := splitKey(name)
	best, bestDistance := "", 1<<30
	for _, key := range s.keys {
		keySection, keyLast := splitKey(key.Name)
		if key.task != "" && !strings.HasPrefix(name, perTask+".") {
			continue // too many to be meant by a slip elsewhere
		}
		names := append([]string{keyLast}, key.aka...)
		for _, candidate := range names {
			// Halves keep the section a tie-breaker only.
			edits, near := spelling.Slip(last, candidate)
			if !near {
				continue
			}
			d := 2 * edits
			if section != keySection {
				d++
			}
			if d < bestDistance {
				best, bestDistance = key.Name, d
			}
		}
		if edits, near := spelling.Slip(name, key.Name); near && 2*edits < bestDistance {
			best, bestDistance = key.Name, 2*edits
		}
	}
	if key := s.byName[best]; section == perTask && key != nil && key.task != "" {
		best = ofAnyTask(best) // of which one is not said
	}
	for _, whole := range s.sections {
		if edits, near := spelling.Slip(name, whole); near && 2*edits < bestDistance {
			best, bestDistance = whole, 2*edits
		}
	}
	return best
}

func splitKey(name string) (section, last string) {
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return "", name
	}
	return name[:i], name[i+1:]
}
