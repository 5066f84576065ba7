package own

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/task"
)

// A pattern names the parts of a file, in the order of their names.
func TestReadParts(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"train-1.csv": "review,stars\nc,2\n", "train-0.csv": "stars,review\n1,a\n2,b\n", "other.csv": "review,stars\nd,3\n",
		"odd[1].csv": "review,stars\ne,4\nf,5\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	pattern := filepath.Join(dir, "train-*.csv")
	labels, err := Labels(pattern, review)
	if err != nil || !slices.Equal(labels, []string{"1", "2"}) {
		t.Fatal(labels, err)
	}
	named, err := Task(review, labels)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Read(pattern, named)
	want := []task.Example{{ID: "0", Text: "a"}, {ID: "1", Text: "b", Label: 1}, {ID: "2", Text: "c", Label: 1}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if labels, err = Labels(filepath.Join(dir, "odd[1].csv"), review); err != nil || len(labels) != 2 {
		t.Error(labels, err)
	}
	if _, err = Read(filepath.Join(dir, "none-*.csv"), named); err == nil || !strings.Contains(err.Error(), "none-*.csv: no file matches") {
		t.Error(err)
	}
	if _, err = Read(filepath.Join(dir, "train-[.csv"), named); err == nil || !strings.Contains(err.Error(), "syntax error in pattern") {
		t.Error(err)
	}
	// What is wrong with a part names it.
	if err := os.WriteFile(filepath.Join(dir, "train-2.csv"), []byte("review,stars\nx,9\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err = Read(pattern, named); err == nil || !strings.Contains(err.Error(), "train-2.csv:2: ") {
		t.Error(err)
	}
}
