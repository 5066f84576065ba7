package report

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/record"
	"github.com/metatt/metatt/pkg/spelling"
)

// member is a run with what it may be told apart by.
type member struct {
	*record.Run
	values map[string]string // of its configuration
}

// field is something that runs may be told apart by.
type field struct {
	name string
	of   func(m member) string // empty: the run has none
}

// The fields that are not keys of the configuration.
var recordFields = []field{
	{"task", func(m member) string { return m.Summary.Task }},
	{"method", func(m member) string { return m.Summary.Method }},
	{"rank", member.size},
	{"ranks", func(m member) string { return joined(m.Summary.Ranks, "-") }},
	{"metric", member.metric},
	{"parameters", func(m member) string { return strconv.FormatInt(m.Summary.AdapterParams, 10) }},
	{"device", func(m member) string { return m.Summary.Device }},
	{"dtype", func(m member) string { return m.Summary.DType }},
	{"version", func(m member) string { return m.Environment.Version }},
	{"seed", func(m member) string { return strconv.Itoa(m.Summary.Seed) }},
}

// always tell runs apart: figures of different tasks or metrics have no mean.
var always = []string{"task", "metric"}

// size is the rank that was asked for, or the budget that chose it.
func (m member) size() string {
	a := m.Config.Adapter
	switch ranks := m.values["adapter.ranks"]; {
	case m.Summary.Rank == 0: // the method has none
		return ""
	case a.Budget > 0:
		return "≤" + strconv.Itoa(a.Budget)
	case ranks != "" && ranks != "[]":
		return strings.ReplaceAll(strings.Trim(ranks, "[]"), ", ", "-")
	}
	return strconv.Itoa(a.Rank)
}

// metric is the name of what the best evaluation was chosen by.
func (m member) metric() string {
	if m.Summary.Best == nil {
		return ""
	}
	return m.Summary.Best.Metric
}

func joined[T any](items []T, between string) string {
	text := make([]string, len(items))
	for i, item := range items {
		text[i] = fmt.Sprint(item)
	}
	return strings.Join(text, between)
}

// keyField is the field of a key of the configuration.
func keyField(key string) field {
	return field{key, func(m member) string { return m.values[key] }}
}

// lookup finds fields by their names.
func lookup(names []string) ([]field, error) {
	var known []string
	for _, f := range recordFields {
		known = append(known, f.name)
	}
	var fields []field
	for _, name := range names {
		if i := slices.Index(known, name); i >= 0 {
			fields = append(fields, recordFields[i])
			continue
		}
		key, err := config.Lookup(name)
		if err != nil {
			message := err.Error()
			if near := spelling.Nearest(name, known); near != "" {
				message = "did you mean " + near + "?"
			}
			return nil, wrongOption("--by %.60q: %s (runs are told apart by keys of the configuration and by %s)", name, message, strings.Join(known, ", "))
		}
		fields = append(fields, keyField(key.Name))
	}
	return fields, nil
}

// silent are the keys that change no number of a run, and the seed. Runs that differ in one of
// those that may change their time are noted.
func silent(name string) (quiet, noted bool) {
	if name == "train.seed" || strings.HasPrefix(name, "run.") {
		return true, false
	}
	key, err := config.Lookup(name)
	return err == nil && key.Neutral(), true
}

// differing are the keys that runs have with different values, in the schema's order. What
// only some have belongs to their method, task or mode, which differ.
func differing(runs []member) []string {
	first, differ := map[string]string{}, map[string]bool{}
	for _, m := range runs {
		for key, value := range m.values {
			if other, known := first[key]; !known {
				first[key] = value
			} else if other != value {
				differ[key] = true
			}
		}
	}
	var names []string
	for _, key := range config.Keys() {
		if differ[key.Name] {
			names = append(names, key.Name)
			delete(differ, key.Name)
		}
	}
	return append(names, slices.Sorted(maps.Keys(differ))...) // those of one task
}

// choose finds what tells the runs apart: task and metric, method, rank, how ranks are
// adapted, and each further key that differs between runs that are alike otherwise. also are the keys that differ with
// these, and noted those that differ and are not looked at.
func choose(runs []member) (fields []field, also, noted []string) {
	fields, _ = lookup(append(slices.Clone(always), "method", "rank"))
	keys := differing(runs)
	if slices.Contains(keys, "dmrg.mode") {
		fields = append(fields, keyField("dmrg.mode"))
	}
	groups := len(divide(runs, fields))
	for _, key := range keys {
		if quiet, note := silent(key); quiet {
			if note {
				noted = append(noted, key)
			}
			continue
		}
		if slices.Contains([]string{"task", "adapter.method", "adapter.rank", "adapter.ranks", "adapter.budget", "dmrg.mode"}, key) {
			continue
		}
		with := append(slices.Clone(fields), keyField(key))
		if n := len(divide(runs, with)); n > groups {
			fields, groups = with, n
		} else {
			also = append(also, key)
		}
	}
	return fields, also, noted
}

// valuesOf are a run's of those fields.
func valuesOf(m member, fields []field) []string {
	values := make([]string, len(fields))
	for i, f := range fields {
		values[i] = f.of(m)
	}
	return values
}

// divide puts runs with the same values together.
func divide(runs []member, fields []field) map[string][]member {
	groups := map[string][]member{}
	for _, m := range runs {
		name := fmt.Sprintf("%q", valuesOf(m, fields))
		groups[name] = append(groups[name], m)
	}
	return groups
}
