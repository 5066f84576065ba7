// Package task says what a task is: its splits, its labels and their order, its
// examples, and the metrics that it is judged by. Where the examples come from
// is the business of its sources: glue, own and sample.
package task

import (
	"fmt"
	"slices"
	"strings"
)

// Split names one part of a task's examples.
type Split string

// The splits. MNLI's Dev and Test are the matched ones. TrainSubset is a part
// of an official training file; it is never read in the place of Train.
const (
	Train          Split = "train"
	TrainSubset    Split = "train_subset"
	Dev            Split = "dev"
	DevMismatched  Split = "dev_mismatched"
	Test           Split = "test"
	TestMismatched Split = "test_mismatched"
)

// The keys under which Evaluate returns metrics.
const (
	Accuracy = "accuracy"
	F1       = "f1"       // of the class Task.Positive
	MacroF1  = "macro_f1" // mean of every class's F1
	Matthews = "matthews"
	Pearson  = "pearson"
	Spearman = "spearman"
)

// Task is what a model learns.
type Task struct {
	Name       string   // as GLUE writes it: "MRPC", "SST-2"
	Labels     []string // as the files write them, in class order; nil for a regression
	Positive   string   // the label whose F1 is meant by F1
	HasPair    bool     // two texts an example
	Regression bool     // one output; GLUE's gold scores are from 0 to 5
	Metrics    []string // what Evaluate returns, in this order
	Best       string   // the metric that decides which epoch was best
	Columns    Columns  // of the files
	Splits     []Split  // none where the user's own files are the splits
}

// Columns name what an example is made of: columns of a header or keys of JSON
// objects.
type Columns struct {
	Text  string
	Pair  string // empty: one text an example
	Label string
}

// Texts are the columns of the one or two texts.
func (c Columns) Texts() []string {
	if c.Pair == "" {
		return []string{c.Text}
	}
	return []string{c.Text, c.Pair}
}

// Outputs is the number of logits of an example: the task's classes, or 1.
func (t Task) Outputs() int { return max(1, len(t.Labels)) }

// CheckSplit fails, naming those that there are, where the task lacks the split.
func (t Task) CheckSplit(s Split) error {
	if slices.Contains(t.Splits, s) {
		return nil
	}
	names := make([]string, len(t.Splits))
	for i, split := range t.Splits {
		names[i] = string(split)
	}
	return fmt.Errorf("task %s has no split %q; it has %s", t.Name, s, strings.Join(names, ", "))
}
