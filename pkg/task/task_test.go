package task

import (
	"slices"
	"strings"
	"testing"
)

func TestLookup(t *testing.T) {
	for name, want := range map[string]string{
		"CoLA": "CoLA", "cola": "CoLA", "COLA": "CoLA",
		"sst2": "SST-2", "SST-2": "SST-2", "sst_2": "SST-2",
		"stsb": "STS-B", "Sts-b": "STS-B",
		"mrpc": "MRPC", "qqp": "QQP", "mnli": "MNLI", "qnli": "QNLI", "rte": "RTE", "wnli": "WNLI",
		"ax": "AX", "diagnostic": "AX", "Sample": "sample",
	} {
		task, err := Lookup(name)
		if err != nil || task.Name != want {
			t.Errorf("Lookup(%q) = %q, %v; want %q", name, task.Name, err, want)
		}
	}
}

func TestLookupUnknown(t *testing.T) {
	const all = "the tasks are CoLA, SST-2, MRPC, STS-B, QQP, MNLI, QNLI, RTE, WNLI, AX, sample"
	for name, want := range map[string]string{
		"mprc":    `unknown task "mprc": did you mean MRPC? ` + all,
		"sst3":    `unknown task "sst3": did you mean SST-2? ` + all,
		"smple":   `unknown task "smple": did you mean sample? ` + all,
		"squadv2": `unknown task "squadv2": ` + all,
		"":        `unknown task "": ` + all,
		"a\nb":    `unknown task "a\nb": ` + all,
	} {
		_, err := Lookup(name)
		if err == nil || err.Error() != want {
			t.Errorf("Lookup(%q): %v, want %s", name, err, want)
		}
	}
	if _, err := Lookup(strings.Repeat("x", 1<<20)); err == nil {
		t.Error("a megabyte is a task")
	}
}

// TestLabelOrder fixes the class indices, which saved classifiers depend on.
func TestLabelOrder(t *testing.T) {
	for name, want := range map[string][]string{
		"CoLA": {"0", "1"}, "SST-2": {"0", "1"}, "MRPC": {"0", "1"}, "QQP": {"0", "1"}, "WNLI": {"0", "1"},
		"STS-B": nil,
		"MNLI":  {"entailment", "neutral", "contradiction"},
		"AX":    {"entailment", "neutral", "contradiction"},
		"QNLI":  {"entailment", "not_entailment"},
		"RTE":   {"entailment", "not_entailment"},
	} {
		task, err := Lookup(name)
		if err != nil || !slices.Equal(task.Labels, want) {
			t.Errorf("%s: labels %v (%v), want %v", name, task.Labels, err, want)
		}
		if task.Regression != (want == nil) {
			t.Errorf("%s: regression is %v", name, task.Regression)
		}
	}
}

// TestTasksAreCopies holds that a caller who changes a task changes no other's.
func TestTasksAreCopies(t *testing.T) {
	Tasks()[0].Labels[0] = "changed"
	if Tasks()[0].Labels[0] != "0" {
		t.Error("two calls of Tasks share their labels")
	}
}

func TestSplits(t *testing.T) {
	for name, want := range map[string][]Split{
		"MRPC":   {Train, Dev, Test},
		"QNLI":   {Train, TrainSubset, Dev, Test},
		"MNLI":   {Train, TrainSubset, Dev, DevMismatched, Test, TestMismatched},
		"AX":     {Test},
		"sample": {Train, Dev},
	} {
		task, err := Lookup(name)
		if err != nil || !slices.Equal(task.Splits, want) {
			t.Errorf("%s: %v (%v), want %v", name, task.Splits, err, want)
		}
	}
	task, err := Lookup("RTE")
	if err != nil {
		t.Fatal(err)
	}
	err = task.CheckSplit("trian")
	if want := `task RTE has no split "trian"; it has train, dev, test`; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
