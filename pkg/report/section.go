package report

import (
	"maps"
	"slices"
	"strings"
)

// nameSections has groups that were judged by another metric, or on another dev set, stand
// apart like those of other tasks: their figures have no difference and no order. What
// tells such groups of a task apart becomes part of the task's name.
func nameSections(groups []*Group) {
	for _, task := range tasksOf(groups) {
		of := slices.DeleteFunc(slices.Clone(groups), func(g *Group) bool { return g.Task != task })
		parts := make([]map[string]string, len(of))
		differ := map[string]bool{}
		for i, g := range of {
			parts[i] = g.judgedBy()
			for key := range parts[i] {
				differ[key] = true
			}
		}
		maps.DeleteFunc(differ, func(key string, _ bool) bool {
			return !slices.ContainsFunc(parts, func(part map[string]string) bool { return part[key] != parts[0][key] })
		})
		for i, g := range of {
			for _, key := range slices.Sorted(maps.Keys(differ)) {
				value := parts[i][key]
				switch {
				case key == "metric":
					g.Task += ", by " + value
				case value == "":
					g.Task += ", without " + key
				default:
					g.Task += ", " + key + "=" + value
				}
			}
		}
	}
}

// judgedBy is the metric and the keys of the configuration that decide what the dev set is.
func (g *Group) judgedBy() map[string]string {
	of := map[string][]string{}
	for _, m := range g.runs {
		add := func(key, value string) {
			if value == "null" || key == "data.limit" && value == "0" { // as good as unset
				value = ""
			}
			if !slices.Contains(of[key], value) {
				of[key] = append(of[key], value)
			}
		}
		add("metric", m.metric())
		limited := false
		for key, value := range m.values {
			if key == "data.limit" || strings.HasPrefix(key, "tasks.") && strings.HasSuffix(key, ".limit") {
				limited = limited || value != "" && value != "0" && value != "null"
				add(key, value)
			}
		}
		add("data.dev", m.values["data.dev"])
		if limited {
			add("data.limit_seed", m.values["data.limit_seed"])
		} else {
			add("data.limit_seed", "") // nothing is drawn
		}
	}
	joint := map[string]string{}
	for key, values := range of {
		joint[key] = strings.Join(slices.Sorted(slices.Values(values)), " | ")
	}
	return joint
}
