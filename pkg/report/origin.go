package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// noteMade says in what runs of the same tasks and model differ that is in no configuration, such as the program and
// what the files hold: each is compared with the first of them.
func (r *Report) noteMade(runs []member) {
	first := map[string]member{}
	differ := map[string]int{} // runs, by what it is
	for _, m := range runs {
		c, e := m.Config, m.Environment
		if e.StartedAt.IsZero() {
			continue // of which the record has nothing
		}
		of := fmt.Sprint(c.Tasks, c.Model.Path, c.Data.Train, c.Data.Dev)
		reference, known := first[of]
		if !known {
			first[of] = m
			continue
		}
		found := map[string]bool{}
		for _, d := range e.AllDifferences(reference.Environment) {
			if d.What == "threads" || d.What == "number of processes" || strings.HasPrefix(d.What, "start ") {
				continue // numbers are nearly the same with these; starts are told apart by their keys
			}
			found[d.What] = true
		}
		for what := range found {
			differ[what]++
		}
	}
	if len(differ) == 0 {
		return
	}
	var words []string
	for _, what := range slices.Sorted(maps.Keys(differ)) {
		words = append(words, fmt.Sprintf("%s (%s)", what, count(differ[what], "run")))
	}
	r.note("made with something else than the first of the same tasks and model: %s", strings.Join(words, ", "))
}
