package place

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/task/sample"
)

func TestAbsolute(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.Mkdir("here", 0o755); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"": "", "here": filepath.Join(dir, "here"), "nowhere": "nowhere", "./here/..": dir} {
		if got := Absolute(path); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
	if got := AbsoluteModel("bert-base-uncased"); got != "bert-base-uncased" {
		t.Errorf("a model's name became %q", got)
	}
}

// Of a run the best adapter counts, else the last; a folder that is no run is an
// adapter's itself.
func TestAdapter(t *testing.T) {
	dir := t.TempDir()
	if got, err := Adapter(dir); err != nil || got != dir || IsRun(dir) {
		t.Errorf("no run: %q (%v)", got, err)
	}
	if err := os.WriteFile(filepath.Join(dir, ConfigFile), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Adapter(dir); err == nil || err.Error() != dir+": the run has no adapter yet" || !IsRun(dir) {
		t.Errorf("a run without an adapter: %v", err)
	}
	for _, name := range []string{"last", "best"} {
		want := filepath.Join(dir, "adapter", name)
		if err := os.MkdirAll(want, 0o755); err != nil {
			t.Fatal(err)
		}
		if got, err := Adapter(dir); err != nil || got != want {
			t.Errorf("%q (%v), want %q", got, err, want)
		}
	}
}

func TestExamples(t *testing.T) {
	built, err := task.Lookup(task.Sample)
	if err != nil {
		t.Fatal(err)
	}
	if from, err := Examples(built, "nowhere", "nowhere"); err != nil || from != (sample.Source{}) {
		t.Errorf("the built-in task: %v (%v)", from, err)
	}
	rte, err := task.Lookup("rte")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Examples(rte, filepath.Join(t.TempDir(), "no"), ""); err == nil {
		t.Error("GLUE without a folder")
	}
}

// A run's tf32, which a CPU lacks, is fp32 there, with a word; all else stays.
func TestRecordedDType(t *testing.T) {
	for name, want := range map[string]string{"tf32": "fp32", "bf16": "bf16", "fp32": "fp32"} {
		said := ""
		got := RecordedDType(name, "", func(text string) { said = text })
		if got != want || (said != "") != (name != want) {
			t.Errorf("%s: %s, %q", name, got, said)
		}
	}
}
