package glue

import (
	"archive/zip"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/metatt/metatt/pkg/task"
)

// readZip is a zip file's content by name, in the zip's order.
func readZip(t *testing.T, path string) (names []string, content map[string]string) {
	t.Helper()
	reader, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	content = map[string]string{}
	for _, file := range reader.File {
		member, err := file.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(member)
		if err != nil {
			t.Fatal(err)
		}
		names, content[file.Name] = append(names, file.Name), string(text)
	}
	return names, content
}

func add(t *testing.T, s Submission, name string, split task.Split, labels []string, logits ...float32) {
	t.Helper()
	named, err := task.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	if labels != nil {
		if named, err = named.WithLabels(labels); err != nil {
			t.Fatal(err)
		}
	}
	examples := make([]task.Example, len(logits)/max(1, len(named.Labels)))
	for i := range examples {
		examples[i] = task.Example{ID: string(rune('0' + i)), Label: task.Unlabelled}
	}
	if err := s.Add(named, split, logits, examples); err != nil {
		t.Fatal(err)
	}
}

// What the site's frequently asked questions ask for: names, header, labels.
func TestSubmissionIsGathered(t *testing.T) {
	path := filepath.Join(t.TempDir(), "glue.zip")
	first := Submission{}
	add(t, first, "MRPC", task.Test, nil, 1, 2, 4, 3)
	add(t, first, "STS-B", task.Test, nil, -0.25, 2.75, 5.125, 3)
	if err := first.WriteZip(path); err != nil {
		t.Fatal(err)
	}
	second := Submission{}
	add(t, second, "MNLI", task.Test, nil, 0, 0, 1, 1, 0, 0)
	add(t, second, "MNLI", task.TestMismatched, []string{"contradiction", "neutral", "entailment"}, 0, 0, 1, 0, 1, 0)
	add(t, second, "AX", task.Test, nil, 0, 1, 0)
	add(t, second, "MRPC", task.Test, nil, 2, 1, 3, 4)
	if err := second.WriteZip(path); err != nil {
		t.Fatal(err)
	}
	names, got := readZip(t, path)
	want := map[string]string{
		"MRPC.tsv":    "index\tprediction\n0\t0\n1\t1\n",
		"STS-B.tsv":   "index\tprediction\n0\t0\n1\t2.75\n2\t5\n3\t3\n",
		"MNLI-m.tsv":  "index\tprediction\n0\tcontradiction\n1\tentailment\n",
		"MNLI-mm.tsv": "index\tprediction\n0\tentailment\n1\tneutral\n",
		"AX.tsv":      "index\tprediction\n0\tneutral\n",
	}
	if !maps.Equal(got, want) || len(names) != len(want) {
		t.Errorf("%q, want %q", got, want)
	}
	// The diagnostic set's go with the adapter that MNLI's came from.
	third := Submission{}
	add(t, third, "MNLI", task.Test, nil, 1, 0, 0, 0, 1, 0)
	add(t, third, "MNLI", task.TestMismatched, nil, 1, 0, 0, 0, 1, 0)
	if err := third.WriteZip(path); err != nil {
		t.Fatal(err)
	}
	if _, got = readZip(t, path); got["AX.tsv"] != "" || len(got) != len(want)-1 || got["MNLI-m.tsv"] == want["MNLI-m.tsv"] {
		t.Errorf("after another MNLI without AX: %q", got)
	}
}

// Every test set that GLUE has goes into one file, and none of ours.
func TestSubmissionHasAllOfGLUE(t *testing.T) {
	var names []string
	for _, named := range task.Tasks() {
		for _, split := range SubmissionSplits(named) {
			s := Submission{}
			add(t, s, named.Name, split, nil)
			names = append(names, s.Names()...)
		}
	}
	slices.Sort(names)
	const want = "AX.tsv CoLA.tsv MNLI-m.tsv MNLI-mm.tsv MRPC.tsv QNLI.tsv QQP.tsv RTE.tsv SST-2.tsv STS-B.tsv WNLI.tsv"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestSubmissionRejects(t *testing.T) {
	mrpc, _ := task.Lookup("MRPC")
	s := Submission{}
	if err := s.Add(mrpc, task.Dev, nil, nil); err == nil || err.Error() != "GLUE takes no predictions for the dev split of MRPC" {
		t.Errorf("%v", err)
	}
	if err := s.Add(mrpc, task.Test, []float32{1}, []task.Example{{ID: "0"}}); err == nil || err.Error() != "MRPC.tsv: 1 logits, want 2 for 1 examples" {
		t.Errorf("%v", err)
	}
	if err := s.Add(mrpc, task.Test, []float32{1, 2}, []task.Example{{ID: "1\t1"}}); err == nil || err.Error() != `MRPC.tsv: the test set's index "1\t1" is not a number` {
		t.Errorf("%v", err)
	}
	nan := float32(math.NaN())
	if err := s.Add(mrpc, task.Test, []float32{1, 2, nan, 1}, []task.Example{{ID: "0"}, {ID: "1"}}); err == nil || err.Error() != "MRPC.tsv: index 1 has the logit NaN" {
		t.Errorf("%v", err)
	}
	add(t, s, "MRPC", task.Test, nil, 1, 2)

	dir := t.TempDir()
	text, foreign := filepath.Join(dir, "notes.txt"), filepath.Join(dir, "foreign.zip")
	if err := os.WriteFile(text, []byte("my notes"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(foreign)
	if err != nil {
		t.Fatal(err)
	}
	writer := zip.NewWriter(file)
	if _, err := writer.Create("../thesis.tex"); err != nil {
		t.Fatal(err)
	}
	writer.Close()
	file.Close()
	for path, want := range map[string]string{
		text:                                   text + ": zip: not a valid zip file: choose another file",
		foreign:                                foreign + `: holds "../thesis.tex", which is no part of a GLUE submission: choose another file`,
		filepath.Join(dir, "nowhere", "g.zip"): "submission: open " + dir + "/nowhere: no such file or directory",
	} {
		before, _ := os.ReadFile(path)
		if err := s.WriteZip(path); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
		if CheckZip(path) == nil {
			t.Errorf("%s: nothing found before", path)
		}
		if after, _ := os.ReadFile(path); string(before) != string(after) {
			t.Errorf("%s was changed", path)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A member that was damaged since is told rather than handed in.
func TestSubmissionRejectsADamagedMember(t *testing.T) {
	path := filepath.Join(t.TempDir(), "glue.zip")
	s := Submission{"CoLA.tsv": []byte(strings.Repeat("index", 100))}
	if err := s.WriteZip(path); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	at, err := reader.File[0].DataOffset()
	if err != nil {
		t.Fatal(err)
	}
	content[at+2] ^= 0x55
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (Submission{"RTE.tsv": nil}).WriteZip(path); err == nil || !strings.HasPrefix(err.Error(), path+": CoLA.tsv: ") {
		t.Errorf("%v", err)
	}
}

// Processes that finish at the same time all find their predictions in the zip.
func TestSubmissionByManyAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "glue.zip")
	var wait sync.WaitGroup
	for _, name := range []string{"CoLA", "SST-2", "MRPC", "QQP", "QNLI", "RTE", "WNLI"} {
		s := Submission{}
		add(t, s, name, task.Test, nil)
		wait.Go(func() {
			if err := s.WriteZip(path); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if names, _ := readZip(t, path); len(names) != 7 {
		t.Errorf("%v", names)
	}
}
