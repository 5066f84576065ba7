package task

import (
	"fmt"
	"slices"
	"strings"
)

// WithLabels is the task with its classes in another order, as a saved
// classifier has them. Examples that it reads and the metrics it gives follow.
func (t Task) WithLabels(order []string) (Task, error) {
	if !isPermutation(order, t.Labels) {
		return Task{}, fmt.Errorf("%s has the labels %.80q, not %.80q", t.Name, strings.Join(t.Labels, " "), strings.Join(order, " "))
	}
	t.Labels = slices.Clone(order)
	return t, nil
}

func isPermutation(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// LikeNames is the task's labels in the order in which a classifier's classes
// are named: CONTRADICTION, NEUTRAL, ENTAILMENT of an MNLI model. Names are
// compared without case where the labels stay apart without it. It reports false
// where the names are not the labels.
func (t Task) LikeNames(names []string) (order []string, same bool) {
	for _, form := range []func(string) string{func(s string) string { return s }, strings.ToLower} {
		byForm := map[string]string{}
		for _, label := range t.Labels {
			byForm[form(label)] = label
		}
		order := make([]string, len(names))
		for i, name := range names {
			order[i] = byForm[form(name)]
		}
		if len(byForm) == len(t.Labels) && isPermutation(order, t.Labels) {
			return order, true
		}
	}
	return nil, false
}
