// Package own reads tasks of the user's own from TSV, CSV and JSON lines: a
// classification with the labels that its training file has, or a regression.
package own

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/metatt/metatt/pkg/task"
)

// TaskName is the name of the user's own task.
const TaskName = "custom"

// CheckColumns tells what keeps the columns from being three different ones.
func CheckColumns(c task.Columns) error {
	all := append(c.Texts(), c.Label)
	for i, column := range all {
		if column == "" {
			return errors.New("a column without a name")
		}
		if slices.Contains(all[:i], column) {
			return fmt.Errorf("column %.40q is named twice; texts and label are different columns", column)
		}
	}
	return nil
}

// Task is a classification with these labels in class order, or without labels
// a regression. It has no splits: [Read] reads its files.
func Task(c task.Columns, labels []string) (task.Task, error) {
	t := task.Task{Name: TaskName, HasPair: c.Pair != "", Columns: c}
	if len(labels) == 0 {
		t.Regression, t.Metrics, t.Best = true, []string{task.Pearson, task.Spearman}, task.Spearman
		return t, nil
	}
	if err := checkLabels(labels); err != nil {
		return task.Task{}, err
	}
	t.Labels = slices.Clone(labels)
	t.Metrics, t.Best = []string{task.Accuracy, task.MacroF1}, task.Accuracy
	if len(labels) == 2 {
		// By name, so that another class order changes no metric.
		t.Metrics, t.Positive = []string{task.Accuracy, task.F1}, slices.MaxFunc(labels, compareLabels)
	}
	return t, nil
}

// maxLabels is far above any classification; a column of texts has more.
const maxLabels = 1 << 16

func checkLabels(labels []string) error {
	if len(labels) < 2 || len(labels) > maxLabels {
		return fmt.Errorf("%d labels, want 2 to %d", len(labels), maxLabels)
	}
	seen := map[string]bool{}
	for _, label := range labels {
		if err := checkLabel(label); err != nil {
			return err
		}
		if seen[label] {
			return fmt.Errorf("label %.40q is there twice", label)
		}
		seen[label] = true
	}
	return nil
}

// checkLabel holds labels to what every output can show on a line.
func checkLabel(label string) error {
	const longest = 1000
	switch {
	case strings.TrimSpace(label) == "":
		return errors.New("the label is empty")
	case len(label) > longest:
		return fmt.Errorf("label %.40q is longer than %d bytes", label, longest)
	case strings.ContainsFunc(label, unicode.IsControl):
		return fmt.Errorf("label %.40q holds a control character", label)
	}
	return nil
}

// compareLabels orders whole numbers by value and before all else, the rest as
// texts: the order does not depend on the file's.
func compareLabels(a, b string) int {
	x, errX := strconv.ParseInt(a, 10, 64)
	y, errY := strconv.ParseInt(b, 10, 64)
	switch {
	case errX == nil && errY == nil && x != y:
		if x < y {
			return -1
		}
		return 1
	case errX == nil && errY != nil:
		return -1
	case errX != nil && errY == nil:
		return 1
	}
	return strings.Compare(a, b)
}
