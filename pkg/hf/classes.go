package hf

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// SetLabels makes the labels n, named as transformers names them, unless there
// are n already.
func (c *Config) SetLabels(n int) {
	if len(c.ID2Label) == n {
		return
	}
	c.ID2Label, c.ProblemType = make([]string, n), ""
	for i := range c.ID2Label {
		c.ID2Label[i] = newLabel(i)
	}
}

func newLabel(id int) string { return "LABEL_" + strconv.Itoa(id) }

// maxLabels bounds what num_labels alone can make this package allocate.
const maxLabels = 1 << 16

// classes settles ID2Label and ProblemType. A run that trains a head of its own
// uses neither, so that nothing in them refuses the model: what contradicts itself
// is a note. As in transformers, num_labels prevails over id2label, and classes
// that no name is known of are LABEL_0, …; by default they are two.
func (file *configJSON) classes(c *Config) {
	note := func(format string, args ...any) { c.notes = append(c.notes, fmt.Sprintf(format, args...)) }
	names, err := file.names(note)
	if err != nil {
		note("id2label: %v; the classes are called LABEL_0, …", err)
	}
	n, said := len(names), len(names) > 0
	if isSet(file.NumLabels) {
		var count int
		switch err := json.Unmarshal(file.NumLabels, &count); {
		case err != nil || count < 1 || count > maxLabels:
			note("num_labels: is %.40s, want 1 to %d; it is not used", file.NumLabels, maxLabels)
		case said && count != n:
			note("num_labels: is %d, id2label has %d; the classes are called LABEL_0, …", count, n)
			n, said, names = count, true, nil
		default:
			n, said = count, true
		}
	}
	if !said {
		n = 2
	}
	if c.ID2Label = names; len(names) != n {
		c.SetLabels(n)
	}
	if !isSet(file.ProblemType) {
		return
	}
	switch problem := lenient[string](file.ProblemType); {
	case !slices.Contains(problemTypes, problem):
		note("problem_type: is %.40s, want %s; it is not used", file.ProblemType, strings.Join(problemTypes, ", "))
	case problem == "single_label_classification" && n == 1:
		note("problem_type: is %q, which takes two labels or more, and there is one; it is not used", problem)
	default:
		c.ProblemType = problem
	}
}

// isSet says that a key is there and not null.
func isSet(text json.RawMessage) bool { return text != nil && string(text) != "null" }

// names is id2label as a list, nil where it is not set. A number or a truth value
// is a name by its text.
func (file *configJSON) names(note func(string, ...any)) ([]string, error) {
	if !isSet(file.ID2Label) {
		return nil, nil
	}
	var byID map[string]json.RawMessage
	if json.Unmarshal(file.ID2Label, &byID) != nil {
		return nil, errors.New("is no object of class numbers and names")
	}
	if n := len(byID); n < 1 || n > maxLabels {
		return nil, fmt.Errorf("has %d labels, want 1 to %d", n, maxLabels)
	}
	names, found, numbers := make([]string, len(byID)), make([]bool, len(byID)), false
	for key, value := range byID {
		id, err := strconv.Atoi(strings.TrimSpace(key))
		if err != nil || id < 0 || id >= len(names) || found[id] {
			continue // then another class has none
		}
		if found[id] = json.Unmarshal(value, &names[id]) == nil && isSet(value); found[id] {
			continue
		}
		if isSet(value) && value[0] != '{' && value[0] != '[' {
			names[id], found[id], numbers = string(value), true, true
		}
	}
	if id := slices.Index(found, false); id >= 0 {
		return nil, fmt.Errorf("has %d labels but no name for class %d", len(byID), id)
	}
	if numbers {
		note("id2label: has numbers for names; they are read as text")
	}
	return names, nil
}
