package run

import (
	"iter"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/tensorboard"
)

// hyperParameters are the keys of a resolved configuration that say what is trained and
// how: not where files and machines are, none that is empty, and none that is without
// effect for the method or without sweeps.
func hyperParameters(resolved []byte) ([]tensorboard.HParam, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(resolved, &document); err != nil {
		return nil, err
	}
	var all []tensorboard.HParam
	value := map[string]any{}
	for _, root := range document.Content {
		for name, node := range flattened("", root) {
			p, err := hyperParameter(name, node)
			if err != nil {
				return nil, err
			}
			all, value[name] = append(all, p), p.Value
		}
	}
	return slices.DeleteFunc(all, func(p tensorboard.HParam) bool {
		section, _, _ := strings.Cut(p.Name, ".")
		key, err := config.Lookup(p.Name)
		method, _ := value["adapter.method"].(string)
		return p.Value == "" || slices.Contains([]string{"run", "data", "device", "threads"}, section) ||
			section == "dmrg" && value["dmrg.mode"] == "none" && p.Name != "dmrg.mode" ||
			err == nil && key.Methods() != nil && !slices.Contains(key.Methods(), method)
	}), nil
}

// flattened is the values of a document by their keys, as in "train.lr", in order.
func flattened(prefix string, n *yaml.Node) iter.Seq2[string, *yaml.Node] {
	return func(yield func(string, *yaml.Node) bool) {
		for i := 0; i+1 < len(n.Content); i += 2 {
			name, value := prefix+n.Content[i].Value, n.Content[i+1]
			if value.Kind != yaml.MappingNode {
				if !yield(name, value) {
					return
				}
				continue
			}
			for name, value := range flattened(name+".", value) {
				if !yield(name, value) {
					return
				}
			}
		}
	}
}

// hyperParameter is a text where TensorBoard has no such type: of a list.
func hyperParameter(name string, value *yaml.Node) (p tensorboard.HParam, err error) {
	p.Name = name
	if value.Kind == yaml.SequenceNode {
		var items []string
		err = value.Decode(&items)
		p.Value = strings.Join(items, ", ")
		return p, err
	}
	if err = value.Decode(&p.Value); p.Value == nil {
		p.Value = ""
	}
	return p, err
}
