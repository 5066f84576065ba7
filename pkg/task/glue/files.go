package glue

import (
	"fmt"
	"slices"

	"github.com/metatt/metatt/pkg/task"
)

// layout is how a task's files lie below the GLUE folder.
type layout struct {
	folder string
	id     string // the column of an example's index, where there is one
	files  []file // one a split, in the order of Task.Splits
}

// file is one split's file and how it differs from the others of its task.
type file struct {
	split    task.Split
	name     string
	noHeader bool // CoLA's train and dev: four columns, see colaHeader
	hidden   bool // has no gold labels
	broken   bool // the official file holds a few rows torn apart; they are left out
}

// trainDevTest are the usual three files.
func trainDevTest() []file {
	return []file{
		{split: task.Train, name: "train.tsv"},
		{split: task.Dev, name: "dev.tsv"},
		{split: task.Test, name: "test.tsv", hidden: true},
	}
}

func trainSubset() file { return file{split: task.TrainSubset, name: "train_subset.tsv"} }

// layouts are the tasks' by their names.
var layouts = map[string]layout{
	"CoLA": {"CoLA", "index", []file{
		{split: task.Train, name: "train.tsv", noHeader: true},
		{split: task.Dev, name: "dev.tsv", noHeader: true},
		{split: task.Test, name: "test.tsv", hidden: true},
	}},
	"SST-2": {"SST-2", "index", trainDevTest()},
	"MRPC":  {"MRPC", "index", trainDevTest()},
	"STS-B": {"STS-B", "index", trainDevTest()},
	"QQP": {"QQP", "id", []file{
		{split: task.Train, name: "train.tsv", broken: true},
		trainSubset(),
		{split: task.Dev, name: "dev.tsv"},
		{split: task.Test, name: "test.tsv", hidden: true},
	}},
	"MNLI": {"MNLI", "index", []file{
		{split: task.Train, name: "train.tsv"},
		trainSubset(),
		{split: task.Dev, name: "dev_matched.tsv"},
		{split: task.DevMismatched, name: "dev_mismatched.tsv"},
		{split: task.Test, name: "test_matched.tsv", hidden: true},
		{split: task.TestMismatched, name: "test_mismatched.tsv", hidden: true},
	}},
	"QNLI": {"QNLI", "index", slices.Insert(trainDevTest(), 1, trainSubset())},
	"RTE":  {"RTE", "index", trainDevTest()},
	"WNLI": {"WNLI", "index", trainDevTest()},
	"AX":   {"diagnostic", "index", []file{{split: task.Test, name: "diagnostic.tsv", hidden: true}}},
}

// layoutOf returns the layout of a task of GLUE's.
func layoutOf(t task.Task) (layout, error) {
	l, ok := layouts[t.Name]
	if !ok {
		return layout{}, fmt.Errorf("task %s is none of GLUE's", t.Name)
	}
	return l, nil
}

// fileOf returns the file of a task's split.
func fileOf(t task.Task, s task.Split) (file, error) {
	l, err := layoutOf(t)
	if err != nil {
		return file{}, err
	}
	if err := t.CheckSplit(s); err != nil {
		return file{}, err
	}
	return l.files[slices.IndexFunc(l.files, func(f file) bool { return f.split == s })], nil
}
