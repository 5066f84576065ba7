package glue

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/fileformat"
	"github.com/metatt/metatt/pkg/internal/allocbound"
	"github.com/metatt/metatt/pkg/task"
)

// sameExample compares with NaN equal to NaN.
func sameExample(a, b task.Example) bool {
	same := cmp.Compare(a.Score, b.Score) == 0
	a.Score, b.Score = 0, 0
	return same && a == b
}

func TestRead(t *testing.T) {
	for _, c := range []struct {
		task  string
		split task.Split
		want  []task.Example
	}{
		{"CoLA", task.Train, []task.Example{
			{ID: "0", Text: "The kite rose above the roofs.", Label: 1},
			{ID: "1", Text: "Kite the above rose roofs the.", Label: 0},
		}},
		{"CoLA", task.Test, []task.Example{
			{ID: "0", Text: `She said "no" twice.`, Label: task.Unlabelled},
			{ID: "1", Text: "It rained.", Label: task.Unlabelled},
		}},
		{"SST-2", task.Train, []task.Example{ // \r\n
			{ID: "0", Text: "a warm , funny little film ", Label: 1},
			{ID: "1", Text: `"dull`, Label: 0},
		}},
		{"SST-2", task.Test, []task.Example{{ID: "5", Text: "café ☕ \u2028 tea", Label: task.Unlabelled}}},
		{"MRPC", task.Train, []task.Example{ // byte-order mark
			{ID: "0", Text: `" First , " he said .`, Pair: "He said first .", Label: 1},
			{ID: "1", Text: "The shop closed .", Pair: "The shop never closed .", Label: 0},
		}},
		{"MRPC", task.Test, []task.Example{{ID: "0", Text: "One .", Pair: "Two .", Label: task.Unlabelled}}},
		{"STS-B", task.Dev, []task.Example{
			{ID: "0", Text: "A boy runs.", Pair: "A boy is running.", Label: task.Unlabelled, Score: 4.75},
			{ID: "1", Text: "A boy runs.", Pair: "A cow eats.", Label: task.Unlabelled},
		}},
		{"STS-B", task.Test, []task.Example{{ID: "0", Text: "A boy runs.", Pair: "A boy is running.", Label: task.Unlabelled, Score: math.NaN()}}},
		{"QQP", task.Train, []task.Example{ // one row in two pieces
			{ID: "7", Text: "How tall is it?", Pair: "What is its height?", Label: 1},
			{ID: "9", Text: "Who came?", Pair: "Who left?", Label: 0},
		}},
		{"MNLI", task.TrainSubset, []task.Example{{ID: "3", Text: "It snows.", Pair: "It is cold.", Label: 0}}},
		{"MNLI", task.Dev, []task.Example{{ID: "0", Text: "It snows.", Pair: "It is July.", Label: 1}}},
		{"MNLI", task.DevMismatched, []task.Example{{ID: "0", Text: "It snows.", Pair: "It is hot.", Label: 2}}},
		{"MNLI", task.TestMismatched, []task.Example{{ID: "0", Text: "It snows.", Pair: "It pours.", Label: task.Unlabelled}}},
		{"QNLI", task.Dev, []task.Example{
			{ID: "0", Text: "Who sang?", Pair: "Ann sang.", Label: 0},
			{ID: "1", Text: "Who sang?", Pair: "Bob slept.", Label: 1},
		}},
		{"RTE", task.Dev, []task.Example{{ID: "4", Text: "first", Pair: "second", Label: 1}}}, // columns in another order
		{"WNLI", task.Dev, []task.Example{{ID: "0", Text: "The cup fell on the mat and broke it.", Pair: "The cup broke.", Label: 0}}},
		{"AX", task.Test, []task.Example{{ID: "0", Text: "No dog barked.", Pair: "A dog barked.", Label: task.Unlabelled}}},
	} {
		named, err := task.Lookup(c.task)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Folder("testdata/glue").Read(named, c.split, nil)
		if err != nil || !slices.EqualFunc(got, c.want, sameExample) {
			t.Errorf("%s %s: %+v (%v), want %+v", c.task, c.split, got, err, c.want)
		}
	}
}

func TestReadRejects(t *testing.T) {
	for _, c := range []struct {
		name, task string
		split      task.Split
		line       int
		want       string // after the file's name
	}{
		{"empty", "RTE", task.Train, 0, ": the file is empty"},
		{"bom-only", "RTE", task.Train, 0, ": the file is empty"},
		{"empty", "CoLA", task.Train, 0, ": the file has no examples"},
		{"header-only", "RTE", task.Train, 0, ": the file has no examples"},
		{"few-columns", "RTE", task.Train, 3, ":3: 3 columns, want 4"},
		{"many-columns", "RTE", task.Train, 2, ":2: 5 columns, want 4"},
		{"blank-row", "RTE", task.Train, 3, ":3: 1 columns, want 4"},
		{"unknown-label", "RTE", task.Train, 3, `:3: label "Entailment" is none of entailment, not_entailment`},
		{"unknown-label", "MNLI", task.Train, 1, `:1: no column "gold_label" in the header; train.tsv of MNLI has it`},
		{"long-label", "RTE", task.Train, 2, `:2: label "` + strings.Repeat("é", 40) + `…" is none of entailment, not_entailment`},
		{"no-text-column", "RTE", task.Test, 1, `:1: no column "sentence2" in the header; test.tsv of RTE has it`},
		{"no-label-column", "RTE", task.Dev, 1, `:1: no column "label" in the header; dev.tsv of RTE has it`},
		{"wide-header", "RTE", task.Train, 1, ":1: the header has 65 columns, want at most 64"},
		{"score-word", "STS-B", task.Train, 2, `:2: score "high" is not a number from 0 to 5`},
		{"score-nan", "STS-B", task.Train, 2, `:2: score "NaN" is not a number from 0 to 5`},
		{"score-above", "STS-B", task.Train, 3, `:3: score "5.001" is not a number from 0 to 5`},
		{"score-below", "STS-B", task.Train, 2, `:2: score "-0.5" is not a number from 0 to 5`},
		{"cola-columns", "CoLA", task.Train, 2, ":2: 3 columns, want 4"},
		{"cola-label", "CoLA", task.Train, 1, `:1: label "2" is none of 0, 1`},
		{"cola-header", "CoLA", task.Train, 1, `:1: label "sentence" is none of 0, 1`},
		{"many-broken", "QQP", task.Train, 67, ":67: 2 columns, want 6"},
		{"many-broken", "QQP", task.Dev, 3, ":3: 2 columns, want 6"},
		{"all-broken", "QQP", task.Train, 0, ": the file has no examples"},
	} {
		t.Run(c.name+" "+c.task, func(t *testing.T) {
			named, err := task.Lookup(c.task)
			if err != nil {
				t.Fatal(err)
			}
			content, err := os.ReadFile(filepath.Join("testdata", c.name+".bad.tsv"))
			if err != nil {
				t.Fatal(err)
			}
			dir, path := place(t, named, c.split, content)
			_, err = Folder(dir).Read(named, c.split, nil)
			if err == nil || err.Error() != path+c.want {
				t.Fatalf("%v, want %s", err, path+c.want)
			}
			var format *fileformat.Error
			if !errors.As(err, &format) || format.Path != path || format.Line != c.line {
				t.Errorf("%#v, want a fileformat.Error of %s, line %d", err, path, c.line)
			}
		})
	}
}

// place writes a split's file below a new GLUE folder.
func place(t testing.TB, named task.Task, s task.Split, content []byte) (dir, path string) {
	t.Helper()
	f, err := fileOf(named, s)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	path = filepath.Join(Folder(dir).Of(named), f.name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o666); err != nil {
		t.Fatal(err)
	}
	return dir, path
}

func TestReadReplacesWhatIsNotUTF8(t *testing.T) {
	named, err := task.Lookup("SST-2")
	if err != nil {
		t.Fatal(err)
	}
	// A cut-off three-byte sequence must swallow neither the tab nor the line end.
	dir, _ := place(t, named, task.Train, []byte("\xef\xbb\xbfsentence\tlabel\na\xff b \xe2\x82\t1\n\xf0\x9f\t0"))
	got, err := Folder(dir).Read(named, task.Train, nil)
	want := []task.Example{{ID: "0", Text: "a\ufffd b \ufffd", Label: 1}, {ID: "1", Text: "\ufffd", Label: 0}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v (%v), want %+v", got, err, want)
	}
}

// Empty lines at the end of a file are nothing, where a row has several columns.
func TestReadEndsBeforeEmptyLines(t *testing.T) {
	for _, c := range []struct {
		task, content string
		split         task.Split
		want          int
	}{
		{"SST-2", "sentence\tlabel\na\t1\n\t0\n\n", task.Train, 2},
		{"SST-2", "sentence\tlabel\r\na\t1\r\nb\t0\r\n\r\n\n\r\n\r", task.Train, 2},
		{"SST-2", "sentence\tlabel\na\t1\n\t0", task.Train, 2},
		{"CoLA", "a\t1\t\tb\n\n\n", task.Train, 1},
		{"SST-2", "sentence\na\n\n", task.Test, 2}, // an empty text
	} {
		named, err := task.Lookup(c.task)
		if err != nil {
			t.Fatal(err)
		}
		dir, _ := place(t, named, c.split, []byte(c.content))
		if got, err := Folder(dir).Read(named, c.split, nil); err != nil || len(got) != c.want {
			t.Errorf("%q: %d examples, %v, want %d", c.content, len(got), err, c.want)
		}
	}
}

// Rows of QQP that are left out are counted.
func TestReadCountsWhatItLeavesOut(t *testing.T) {
	named, err := task.Lookup("QQP")
	if err != nil {
		t.Fatal(err)
	}
	const header, whole = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n", "1\t2\t3\tWho?\tWhy?\t0\n"
	for content, want := range map[string]string{
		header + whole + whole:                                "",
		header + whole + "1\t2\t3\tWho?\n\tWhy?\t0\n" + whole: ": rows that do not have 6 columns are left out: 2, the first in line 3",
	} {
		dir, path := place(t, named, task.Train, []byte(content))
		var notes []string
		_, err := Folder(dir).Read(named, task.Train, func(text string) { notes = append(notes, text) })
		if want != "" {
			want = path + want
		}
		if err != nil || strings.Join(notes, "\n") != want {
			t.Errorf("%v, notes %q, want %q", err, notes, want)
		}
	}
}

func TestReadMissing(t *testing.T) {
	for _, c := range []struct {
		task  string
		split task.Split
		dir   string
		want  string
	}{
		{"MNLI", task.Train, "testdata/glue", "testdata/glue/MNLI/train.tsv: file does not exist; " +
			"testdata/glue/MNLI/train_subset.tsv is not the official training file, set data.train_subset=true to train on it"},
		{"MNLI", task.Test, "testdata/glue", "testdata/glue/MNLI/test_matched.tsv: file does not exist; the test file of MNLI should be there"},
		{"QNLI", task.Train, "testdata/glue", "testdata/glue/QNLI/train.tsv: file does not exist; the train file of QNLI should be there"},
		{"RTE", task.Train, "nowhere", "nowhere/RTE/train.tsv: file does not exist; the train file of RTE should be there"},
	} {
		named, err := task.Lookup(c.task)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Folder(c.dir).Read(named, c.split, nil)
		if err == nil || err.Error() != c.want || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}

func TestReadUnreadable(t *testing.T) {
	named, err := task.Lookup("RTE")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "RTE", "train.tsv"), 0o777); err != nil {
		t.Fatal(err)
	}
	_, err = Folder(dir).Read(named, task.Train, nil)
	if want := "train of RTE: read " + dir + "/RTE/train.tsv: is a directory"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// FuzzRead feeds any bytes to every kind of file: what is read is whole, and
// what is refused is a fileformat.Error of one line.
// parseBounded reads a file within the bound on what that allocates.
func parseBounded(t *testing.T, named task.Task, f file, content []byte) (examples []task.Example, err error) {
	t.Helper()
	allocbound.Check(t, len(content), func() { examples, err = parse(named, "file.tsv", f, bytes.Clone(content), func(string) {}) })
	return examples, err
}

// The shortest rows that are read, and shorter ones.
func TestMemoryIsInProportionToTheFile(t *testing.T) {
	const n = 1 << 18
	for name, c := range map[string]struct {
		task, content string
		split         task.Split
		want          string
	}{
		"shortest":         {"CoLA", strings.Repeat("\t0\t\ta\n", n), task.Train, ""},
		"shortest invalid": {"CoLA", strings.Repeat("\t0\t\t\xff\n", n), task.Train, ""},
		"no ids":           {"SST-2", "sentence\tlabel\n" + strings.Repeat("abc\t0\n", n), task.Train, ""},
		"invalid":          {"SST-2", "sentence\tlabel\n" + strings.Repeat("\xff\xff\xff\t0\n", n), task.Train, ""},
		"long and invalid": {"SST-2", "sentence\tlabel\n" + strings.Repeat("\xff", n) + "\t0\n", task.Train, ""},
		"no text":          {"SST-2", "index\tsentence\n" + strings.Repeat("\t\n", n), task.Test, "file.tsv: 262144 rows in 524303 bytes are too short to hold text"},
		"invalid text":     {"SST-2", "index\tsentence\n" + strings.Repeat("\t\xff\xff\n", n), task.Test, "file.tsv: 262144 rows in 1048591 bytes are too short to hold text"},
		"line ends":        {"CoLA", strings.Repeat("\n", n) + "\t0\t\ta", task.Train, "file.tsv: 262145 rows in 262149 bytes are too short to hold text"},
		"few line ends":    {"CoLA", strings.Repeat("\n", 8191) + "\t0\t\ta", task.Train, "file.tsv:1: 1 columns, want 4"},
		"nothing else":     {"CoLA", strings.Repeat("\r\n", n), task.Train, "file.tsv: the file has no examples"},
	} {
		t.Run(name, func(t *testing.T) {
			named, err := task.Lookup(c.task)
			if err != nil {
				t.Fatal(err)
			}
			f, err := fileOf(named, c.split)
			if err != nil {
				t.Fatal(err)
			}
			_, err = parseBounded(t, named, f, []byte(c.content))
			if c.want == "" && err != nil || c.want != "" && (err == nil || err.Error() != c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func FuzzRead(f *testing.F) {
	for _, pattern := range []string{"testdata/*.bad.tsv", "testdata/glue/*/*.tsv"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			f.Fatal(pattern, err)
		}
		for _, path := range paths {
			content, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(content)
		}
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		rows := bytes.Count(content, []byte("\n")) + 1
		for _, named := range task.Tasks() {
			for _, file := range layouts[named.Name].files {
				examples, err := parseBounded(t, named, file, content)
				if err != nil {
					var format *fileformat.Error
					if !errors.As(err, &format) || format.Line > rows || strings.ContainsAny(err.Error(), "\n\r") {
						t.Fatalf("%s %s: %q", named.Name, file.split, err)
					}
					continue
				}
				if len(examples) == 0 || len(examples) > rows {
					t.Fatalf("%s %s: %d examples of %d rows", named.Name, file.split, len(examples), rows)
				}
				for i, e := range examples {
					if e.Label < task.Unlabelled || e.Label >= max(len(named.Labels), 1) || e.Score < 0 || e.Score > 5 ||
						(file.hidden || named.Regression) != (e.Label == task.Unlabelled) || strings.ContainsAny(e.ID+e.Text+e.Pair, "\t\n") {
						t.Fatalf("%s %s: example %d is %+v", named.Name, file.split, i, e)
					}
				}
			}
		}
	})
}
