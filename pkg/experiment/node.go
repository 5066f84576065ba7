package experiment

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/spelling"
)

// reader reads the file's nodes and collects what is wrong with them.
type reader struct {
	path     string
	problems []config.Problem
}

func (r *reader) fail(n *yaml.Node, key, format string, args ...any) {
	r.problems = append(r.problems, config.Problem{Where: r.where(n), Key: key, Message: fmt.Sprintf(format, args...)})
}

func (r *reader) where(n *yaml.Node) string { return r.path + ":" + strconv.Itoa(n.Line) }

// section calls the reader of each entry of a mapping.
func (r *reader) section(n *yaml.Node, name string, entries map[string]func(*yaml.Node)) {
	r.entries(n, name, func(key string, at, value *yaml.Node) {
		read, known := entries[key]
		if !known {
			message := "unknown key"
			var names []string
			for name := range entries {
				names = append(names, name)
			}
			slices.Sort(names)
			if near := spelling.Nearest(key, names); near != "" {
				message += "; did you mean " + near + "?"
			} else {
				message += "; there are " + strings.Join(names, ", ")
			}
			r.fail(at, strings.TrimPrefix(name+"."+key, "."), "%s", message)
			return
		}
		read(value)
	})
}

// entries calls take for each entry of a mapping.
func (r *reader) entries(n *yaml.Node, name string, take func(key string, at, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		r.fail(n, name, "expected keys and values")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode || key.Tag == "!!merge" || value.Kind == yaml.AliasNode:
			r.fail(key, name, "a key is a plain word, and a value no alias")
		case seen[key.Value]:
			r.fail(key, key.Value, "set twice")
		default:
			seen[key.Value] = true
			take(key.Value, key, value)
		}
	}
}

func (r *reader) text(n *yaml.Node, key string) string {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || n.Value == "" {
		r.fail(n, key, "expected a text")
		return ""
	}
	return n.Value
}

func (r *reader) integer(n *yaml.Node, key string, least int) int {
	i, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || i < least {
		r.fail(n, key, "expected an integer >= %d", least)
	}
	return i
}

func (r *reader) number(n *yaml.Node, key string) float64 {
	x, err := strconv.ParseFloat(n.Value, 64)
	if n.Kind != yaml.ScalarNode || err != nil {
		r.fail(n, key, "expected a number")
	}
	return x
}

// value is what a key is set to, as on the command line.
func (r *reader) value(key config.Key, n *yaml.Node) (text string, ok bool) {
	switch {
	case n.Kind == yaml.SequenceNode && key.IsList():
		words := make([]string, len(n.Content))
		for i, word := range n.Content {
			if word.Kind != yaml.ScalarNode || word.Tag == "!!null" {
				r.fail(word, key.Name, "expected %s", key.Type)
				return "", false
			}
			words[i] = word.Value
		}
		text = "[" + strings.Join(words, ", ") + "]"
	case n.Kind == yaml.ScalarNode:
		if text = n.Value; n.Tag == "!!null" {
			text = "null"
		}
	default:
		r.fail(n, key.Name, "expected %s", key.Type)
		return "", false
	}
	if problem := key.Check(text); problem != "" {
		r.fail(n, key.Name, "%s", problem)
		return "", false
	}
	return text, true
}

// key looks up a key of a run.
func (r *reader) key(name string, at *yaml.Node) (config.Key, bool) {
	key, err := lookup(name)
	if err != nil {
		r.fail(at, name, "%s", err)
	}
	return key, err == nil
}

// lookup is the key of a run that an experiment may set.
func lookup(name string) (config.Key, error) {
	key, err := config.Lookup(name)
	if err == nil && key.Name == "run.dir" {
		err = errors.New("is the experiment's to give: dir names the folder of all runs")
	}
	return key, err
}

// settings are keys of a run with a value each.
func (r *reader) settings(n *yaml.Node, name string) (settings []config.Setting) {
	r.entries(n, name, func(name string, at, value *yaml.Node) {
		key, known := r.key(name, at)
		if !known {
			return
		}
		if text, ok := r.value(key, value); ok {
			settings = append(settings, config.Setting{Key: key.Name, Text: text, Where: r.where(at)})
		}
	})
	return settings
}

// values are keys of a run with a list of values each. A value of a key that takes lists
// is a list in the list.
func (r *reader) values(n *yaml.Node, name string) (all []Values) {
	r.entries(n, name, func(name string, at, list *yaml.Node) {
		key, known := r.key(name, at)
		if !known {
			return
		}
		if list.Kind != yaml.SequenceNode || len(list.Content) == 0 {
			r.fail(list, key.Name, "expected a list of values")
			return
		}
		v := Values{Key: key.Name, Where: r.where(at)}
		for _, value := range list.Content {
			text, ok := r.value(key, value)
			if same := func(other string) bool { return key.Same(other, text) }; ok && slices.ContainsFunc(v.Texts, same) {
				r.fail(value, key.Name, "%s stands there twice", text)
			}
			v.Texts = append(v.Texts, text)
		}
		all = append(all, v)
	})
	return all
}
