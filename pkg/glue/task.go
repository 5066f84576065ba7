// Package glue knows the GLUE benchmark: its tasks, the files they come in,
// the order of their labels and the metrics they are judged by. A sample task
// in the same form needs no files at all.
//
// Wang et al., "GLUE: A Multi-Task Benchmark and Analysis Platform for Natural
// Language Understanding", arXiv 1804.07461.
package glue

import (
	"fmt"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/spelling"
)

// Split names one file of a task.
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

// Task describes one task of the benchmark.
type Task struct {
	Name       string   // as GLUE writes it: "MRPC", "SST-2"
	Folder     string   // below the GLUE folder
	Labels     []string // as the files write them, in class order; nil for a regression
	Positive   string   // the label whose F1 is meant by F1
	HasPair    bool     // two texts an example
	Regression bool     // one output; GLUE's gold scores are from 0 to 5
	Metrics    []string // what Evaluate returns, in this order
	Best       string   // the metric that decides which epoch was best

	columns columns
	files   []file
}

// columns are the header names of what an example is made of.
type columns struct{ id, text, pair, label string }

// file is one split's file and how it differs from the others of its task.
type file struct {
	split    Split
	name     string
	noHeader bool // CoLA's train and dev: four columns, see colaHeader
	hidden   bool // has no gold labels
	broken   bool // the official file holds a few rows torn apart; they are left out
}

// trainDevTest are the usual three files.
func trainDevTest() []file {
	return []file{{split: Train, name: "train.tsv"}, {split: Dev, name: "dev.tsv"}, {split: Test, name: "test.tsv", hidden: true}}
}

func trainSubset() file { return file{split: TrainSubset, name: "train_subset.tsv"} }

// Tasks returns all tasks: GLUE's nine, its diagnostic set (AX) and the
// built-in sample task.
func Tasks() []Task {
	sentence := columns{id: "index", text: "sentence", label: "label"}
	sentences := columns{id: "index", text: "sentence1", pair: "sentence2", label: "label"}
	return []Task{
		{
			Name: "CoLA", Folder: "CoLA", Labels: []string{"0", "1"},
			Metrics: []string{Matthews, Accuracy}, Best: Matthews,
			columns: sentence,
			files: []file{
				{split: Train, name: "train.tsv", noHeader: true},
				{split: Dev, name: "dev.tsv", noHeader: true},
				{split: Test, name: "test.tsv", hidden: true},
			},
		},
		{
			Name: "SST-2", Folder: "SST-2", Labels: []string{"0", "1"},
			Metrics: []string{Accuracy}, Best: Accuracy,
			columns: sentence, files: trainDevTest(),
		},
		{
			Name: "MRPC", Folder: "MRPC", Labels: []string{"0", "1"}, HasPair: true,
			Metrics: []string{Accuracy, F1}, Best: Accuracy, Positive: "1",
			columns: columns{id: "index", text: "#1 String", pair: "#2 String", label: "Quality"},
			files:   trainDevTest(),
		},
		{
			Name: "STS-B", Folder: "STS-B", HasPair: true, Regression: true,
			Metrics: []string{Pearson, Spearman}, Best: Spearman,
			columns: columns{id: "index", text: "sentence1", pair: "sentence2", label: "score"},
			files:   trainDevTest(),
		},
		{
			Name: "QQP", Folder: "QQP", Labels: []string{"0", "1"}, HasPair: true,
			Metrics: []string{Accuracy, F1}, Best: Accuracy, Positive: "1",
			columns: columns{id: "id", text: "question1", pair: "question2", label: "is_duplicate"},
			files: []file{
				{split: Train, name: "train.tsv", broken: true},
				trainSubset(),
				{split: Dev, name: "dev.tsv"},
				{split: Test, name: "test.tsv", hidden: true},
			},
		},
		{
			Name: "MNLI", Folder: "MNLI", Labels: []string{"entailment", "neutral", "contradiction"}, HasPair: true,
			Metrics: []string{Accuracy}, Best: Accuracy,
			columns: columns{id: "index", text: "sentence1", pair: "sentence2", label: "gold_label"},
			files: []file{
				{split: Train, name: "train.tsv"},
				trainSubset(),
				{split: Dev, name: "dev_matched.tsv"},
				{split: DevMismatched, name: "dev_mismatched.tsv"},
				{split: Test, name: "test_matched.tsv", hidden: true},
				{split: TestMismatched, name: "test_mismatched.tsv", hidden: true},
			},
		},
		{
			Name: "QNLI", Folder: "QNLI", Labels: []string{"entailment", "not_entailment"}, HasPair: true,
			Metrics: []string{Accuracy}, Best: Accuracy,
			columns: columns{id: "index", text: "question", pair: "sentence", label: "label"},
			files:   slices.Insert(trainDevTest(), 1, trainSubset()),
		},
		{
			Name: "RTE", Folder: "RTE", Labels: []string{"entailment", "not_entailment"}, HasPair: true,
			Metrics: []string{Accuracy}, Best: Accuracy,
			columns: sentences, files: trainDevTest(),
		},
		{
			Name: "WNLI", Folder: "WNLI", Labels: []string{"0", "1"}, HasPair: true,
			Metrics: []string{Accuracy}, Best: Accuracy,
			columns: sentences, files: trainDevTest(),
		},
		{
			Name: "AX", Folder: "diagnostic", Labels: []string{"entailment", "neutral", "contradiction"}, HasPair: true,
			Metrics: []string{Matthews}, Best: Matthews,
			columns: sentences,
			files:   []file{{split: Test, name: "diagnostic.tsv", hidden: true}},
		},
		{
			Name: SampleName, Folder: SampleName, Labels: slices.Clone(sampleLabels), HasPair: true,
			Metrics: []string{Accuracy}, Best: Accuracy,
			columns: sentences,
			files:   []file{{split: Train, name: "train.tsv"}, {split: Dev, name: "dev.tsv"}},
		},
	}
}

// Lookup finds a task by its name; case, "-" and "_" do not matter, and AX is
// also called diagnostic.
func Lookup(name string) (Task, error) {
	key := fold(name)
	var names, folded []string
	for _, t := range Tasks() {
		if key == fold(t.Name) || key == fold(t.Folder) {
			return t, nil
		}
		names, folded = append(names, t.Name), append(folded, fold(t.Name))
	}
	suggestion := ""
	if nearest := spelling.Nearest(key, folded); nearest != "" {
		suggestion = fmt.Sprintf("did you mean %s? ", names[slices.Index(folded, nearest)])
	}
	return Task{}, fmt.Errorf("unknown task %q: %sthe tasks are %s", name, suggestion, strings.Join(names, ", "))
}

// fold reduces a task's name to what Lookup compares.
func fold(name string) string {
	return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(name))
}

// Splits returns the splits that the task has.
func (t Task) Splits() []Split {
	splits := make([]Split, len(t.files))
	for i, f := range t.files {
		splits[i] = f.split
	}
	return splits
}

// TextColumns names the columns of the one or two texts in the task's files.
func (t Task) TextColumns() []string {
	if !t.HasPair {
		return []string{t.columns.text}
	}
	return []string{t.columns.text, t.columns.pair}
}

// file returns the file of a split.
func (t Task) file(s Split) (file, error) {
	i := slices.IndexFunc(t.files, func(f file) bool { return f.split == s })
	if i < 0 {
		return file{}, fmt.Errorf("task %s has no split %q; it has %s", t.Name, s, join(t.Splits()))
	}
	return t.files[i], nil
}

func join(splits []Split) string {
	names := make([]string, len(splits))
	for i, s := range splits {
		names[i] = string(s)
	}
	return strings.Join(names, ", ")
}
