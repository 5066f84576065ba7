package glue

import (
	"testing"

	"github.com/metatt/metatt/pkg/task"
)

// Every split of every task has its file, and no file is another split's.
func TestFilesAreTheSplits(t *testing.T) {
	for _, named := range task.Tasks() {
		l, err := layoutOf(named)
		if named.Name == task.Sample {
			if err == nil {
				t.Error("the sample task has files")
			}
			continue
		}
		if err != nil || len(l.files) != len(named.Splits) {
			t.Fatalf("%s: %d files, %d splits (%v)", named.Name, len(l.files), len(named.Splits), err)
		}
		for i, f := range l.files {
			if f.split != named.Splits[i] {
				t.Errorf("%s: file %s is of split %s, want %s", named.Name, f.name, f.split, named.Splits[i])
			}
		}
	}
}

func TestReadRefusesTasksOfOthers(t *testing.T) {
	sample, err := task.Lookup(task.Sample)
	if err != nil {
		t.Fatal(err)
	}
	rte, err := task.Lookup("rte")
	if err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]struct {
		of    task.Task
		split task.Split
	}{
		"task sample is none of GLUE's":                          {sample, task.Dev},
		`task RTE has no split "trian"; it has train, dev, test`: {rte, "trian"},
	} {
		if _, err := Folder("testdata/glue").Read(c.of, c.split, nil); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// A classifier may have its classes in another order: the labels count.
func TestReadFollowsTheLabels(t *testing.T) {
	rte, err := task.Lookup("RTE")
	if err != nil {
		t.Fatal(err)
	}
	if rte, err = rte.WithLabels([]string{"not_entailment", "entailment"}); err != nil {
		t.Fatal(err)
	}
	if examples, err := Folder("testdata/glue").Read(rte, task.Dev, nil); err != nil || examples[0].Label != 0 {
		t.Errorf("%+v (%v)", examples, err)
	}
}
