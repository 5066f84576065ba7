package task

import (
	"fmt"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/spelling"
)

// Sample is the name of the built-in task, which needs no files.
const Sample = "sample"

// Tasks returns all tasks that have a name: GLUE's nine, its diagnostic set (AX)
// and the built-in sample task.
//
// Wang et al., "GLUE: A Multi-Task Benchmark and Analysis Platform for Natural
// Language Understanding", arXiv 1804.07461.
func Tasks() []Task {
	sentence := Columns{Text: "sentence", Label: "label"}
	sentences := Columns{Text: "sentence1", Pair: "sentence2", Label: "label"}
	return []Task{
		{
			Name: "CoLA", Labels: []string{"0", "1"},
			Metrics: []string{Matthews, Accuracy}, Best: Matthews,
			Columns: sentence, Splits: []Split{Train, Dev, Test},
		},
		{
			Name: "SST-2", Labels: []string{"0", "1"},
			Metrics: []string{Accuracy}, Best: Accuracy,
			Columns: sentence, Splits: []Split{Train, Dev, Test},
		},
		{
			Name: "MRPC", Labels: []string{"0", "1"}, HasPair: true,
			Metrics: []string{Accuracy, F1}, Best: Accuracy, Positive: "1",
			Columns: Columns{Text: "#1 String", Pair: "#2 String", Label: "Quality"},
			Splits:  []Split{Train, Dev, Test},
		},
		{
			Name: "STS-B", HasPair: true, Regression: true,
			Metrics: []string{Pearson, Spearman}, Best: Spearman,
			Columns: Columns{Text: "sentence1", Pair: "sentence2", Label: "score"},
			Splits:  []Split{Train, Dev, Test},
		},
		{
			Name: "QQP", Labels: []string{"0", "1"}, HasPair: true,
			Metrics: []string{Accuracy, F1}, Best: Accuracy, Positive: "1",
			Columns: Columns{Text: "question1", Pair: "question2", Label: "is_duplicate"},
			Splits:  []Split{Train, TrainSubset, Dev, Test},
		},
		{
			Name: "MNLI", Labels: []string{"entailment", "neutral", "contradiction"}, HasPair: true,
			Metrics: []string{Accuracy}, Best: Accuracy,
			Columns: Columns{Text: "sentence1", Pair: "sentence2", Label: "gold_label"},
			Splits:  []Split{Train, TrainSubset, Dev, DevMismatched, Test, TestMismatched},
		},
		{
			Name: "QNLI", Labels: []string{"entailment", "not_entailment"}, HasPair: true,
			Metrics: []string{Accuracy}, Best: Accuracy,
			Columns: Columns{Text: "question", Pair: "sentence", Label: "label"},
			Splits:  []Split{Train, TrainSubset, Dev, Test},
		},
		{
			Name: "RTE", Labels: []string{"entailment", "not_entailment"}, HasPair: true,
			Metrics: []string{Accuracy}, Best: Accuracy,
			Columns: sentences, Splits: []Split{Train, Dev, Test},
		},
		{
			Name: "WNLI", Labels: []string{"0", "1"}, HasPair: true,
			Metrics: []string{Accuracy}, Best: Accuracy,
			Columns: sentences, Splits: []Split{Train, Dev, Test},
		},
		{
			Name: "AX", Labels: []string{"entailment", "neutral", "contradiction"}, HasPair: true,
			Metrics: []string{Matthews}, Best: Matthews,
			Columns: sentences, Splits: []Split{Test},
		},
		{
			Name: Sample, Labels: []string{"different", "same"}, HasPair: true,
			Metrics: []string{Accuracy}, Best: Accuracy,
			Columns: sentences, Splits: []Split{Train, Dev},
		},
	}
}

// Lookup finds a task by its name; case, "-" and "_" do not matter, and AX is
// also called diagnostic.
func Lookup(name string) (Task, error) {
	key := fold(name)
	if key == "diagnostic" {
		key = "ax"
	}
	var names, folded []string
	for _, t := range Tasks() {
		if key == fold(t.Name) {
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
