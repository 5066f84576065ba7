package run_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/convert"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/run/runtest"
)

// noteTaker is an observer that keeps the notes.
type noteTaker struct {
	silent
	notes []string
}

func (n *noteTaker) Note(text string) { n.notes = append(n.notes, text) }

// count is the number of notes that hold part.
func (n *noteTaker) count(part string) (times int) {
	for _, note := range n.notes {
		if strings.Contains(note, part) {
			times++
		}
	}
	return times
}

// describe assembles a run and returns what it noted.
func describe(t *testing.T, o run.Options) (*noteTaker, error) {
	t.Helper()
	notes := &noteTaker{}
	o.Observer = notes
	_, err := run.Describe(t.Context(), o)
	return notes, err
}

// Labels of the checkpoint that contradict each other stop no task: they are
// noted where the class order comes from them.
func TestLabelsOfACheckpointStopNoTask(t *testing.T) {
	for _, c := range []struct{ keys, note string }{
		{`"id2label": {"0": 0, "1": 1}`, "numbers for names"},
		{`"id2label": {"0": "no", "1": "yes", "2": "perhaps"}, "num_labels": 2`, "num_labels: is 2, id2label has 3"},
		{`"problem_type": "single_label_classification", "num_labels": 1`, "problem_type"},
	} {
		dir := copyModel(t)
		replace(t, filepath.Join(dir, "config.json"), `"eos_token_id"`, c.keys+`, "eos_token_id"`)
		notes, err := describe(t, tiny(t, "model.path="+dir))
		if err != nil || notes.count("config.json: "+strings.SplitN(c.note, ":", 2)[0]) > 1 || notes.count(c.note) != 1 {
			t.Errorf("%s: %v, notes %q", c.keys, err, notes.notes)
		}
		// A head of its own is all that a saved adapter uses.
		var said []string
		if err := convert.Merge(t.Context(), convert.MergeOptions{
			Dir: "testdata/start-all", Model: dir, Out: filepath.Join(t.TempDir(), "merged"), Note: func(text string) { said = append(said, text) },
		}); err != nil || strings.Contains(strings.Join(said, "\n"), c.note) {
			t.Errorf("merge with %s: %v, notes %q", c.keys, err, said)
		}
	}
}

// A classifier whose classes have no names is taken in the task's order, and that
// is said, once; a new one has no order to guess.
func TestAGuessedClassOrderIsSaid(t *testing.T) {
	const guess = "[LABEL_0 LABEL_1]: that they are [0 1], in this order, is a guess"
	notes, err := describe(t, tiny(t))
	if err != nil || notes.count(guess) != 1 {
		t.Errorf("%v, notes %q", err, notes.notes)
	}
	notes, err = describe(t, tiny(t, "task=mnli", "data.train_subset=true", "data.glue="+runtest.MNLI(t)))
	if err != nil || notes.count("guess") != 0 {
		t.Errorf("a new head: %v, notes %q", err, notes.notes)
	}
	notes, err = describe(t, tiny(t, "model.path="+turnedModel(t)))
	if err != nil || notes.count("guess") != 0 || notes.count("classes in the checkpoint's order: [1 0]") != 1 {
		t.Errorf("named classes: %v, notes %q", err, notes.notes)
	}
}
