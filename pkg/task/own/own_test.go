package own

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/fileformat"
	"github.com/metatt/metatt/pkg/task"
)

func write(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var review = task.Columns{Text: "review", Label: "stars"}
var pair = task.Columns{Text: "a", Pair: "b", Label: "y"}

func TestRead(t *testing.T) {
	for _, c := range []struct {
		file, content string
		columns       task.Columns
		labels        []string
		want          []task.Example
	}{
		{"x.tsv", "\ufeffid\tstars\treview\r\n1\tgood\tshe said \"yes\"\r\n2\tbad\t\n3\tgood\tlast", review, []string{"bad", "good"}, []task.Example{
			{ID: "0", Text: `she said "yes"`, Label: 1}, {ID: "1", Label: 0}, {ID: "2", Text: "last", Label: 1},
		}},
		{"x.CSV", "\ufeffreview,stars\n\"two\nlines, \"\"quoted\"\"\",10\n\nplain,9\n", review, []string{"9", "10"}, []task.Example{
			{ID: "0", Text: "two\nlines, \"quoted\"", Label: 1}, {ID: "1", Text: "plain", Label: 0},
		}},
		{"x.tsv", "review\tstars\r\na\t1\r\n\t2\r\n\r\n\n\r", review, []string{"1", "2"}, []task.Example{
			{ID: "0", Text: "a", Label: 0}, {ID: "1", Label: 1},
		}},
		{"x.jsonl", "\ufeff{\"b\":\"q\",\"a\":\"p\\u00e9 \\ud83d\\ude00\",\"y\":true,\"more\":{\"a\":[1]}}\n\n {\"a\":1.50,\"b\":\"\",\"y\":false}", pair, []string{"false", "true"}, []task.Example{
			{ID: "0", Text: "pé 😀", Pair: "q", Label: 1}, {ID: "1", Text: "1.50", Label: 0},
		}},
		{"x.json", `{"a":"p","b":"q","y":-1.5e1}` + "\n" + `{"a":"p","b":"q","y":"2"}`, pair, nil, []task.Example{
			{ID: "0", Text: "p", Pair: "q", Label: task.Unlabelled, Score: -15}, {ID: "1", Text: "p", Pair: "q", Label: task.Unlabelled, Score: 2},
		}},
	} {
		path := write(t, c.file, c.content)
		if c.labels != nil {
			labels, err := Labels(path, c.columns)
			if err != nil || !slices.Equal(labels, c.labels) {
				t.Fatalf("%s: labels %q (%v), want %q", c.file, labels, err, c.labels)
			}
		}
		named, err := Task(c.columns, c.labels)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Read(path, named)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %+v (%v), want %+v", c.file, got, err, c.want)
		}
	}
}

// Every fault is one line that names file and line.
func TestReadRejects(t *testing.T) {
	long := strings.Repeat("x", maxRow+1<<13)
	for _, c := range []struct {
		file, content, want string
		regression          bool
	}{
		{"x.tsv", "", ": the file is empty", false},
		{"x.csv", "\ufeff", ": the file is empty", false},
		{"x.jsonl", "\n\n", ": the file has no examples", false},
		{"x.tsv", "review\tstars\n", ": the file has no examples", false},
		{"x.tsv", "text\tstars\n", `:1: no column "review" in the header, which has "text", "stars"`, false},
		{"x.csv", "review,stars,review\n", `:1: two columns are named "review"`, false},
		{"x.tsv", "review\tstars\na\tgood\nb\n", ":3: 1 columns, want 2", false},
		{"x.tsv", "review\tstars\na\tgood\n\nb\tbad\n", ":3: 1 columns, want 2", false},
		{"x.csv", "review,stars\n\"a\nb\",good\nc,good,bad\n", ":4: 3 columns, want 2", false},
		{"x.csv", "review,stars\na\" b,good\n", `:2: a quote inside a field that does not begin with one; write the field as "… ""quoted"" …"`, false},
		{"x.csv", "review,stars\n\"a\" b,good\n", `:2: a quoted field does not end properly; a quote inside is written twice`, false},
		{"x.csv", "review,stars\nb,good\n\"a,good\nb,bad\n", `:3: a quoted field begins here and does not end properly up to line 4; a quote inside is written twice`, false},
		{"x.csv", "review,stars\n\"" + long, ":2: a row of more than 16 MiB: is a quote or a line end missing?", false},
		{"x.tsv", "review\tstars\na\tgood\n" + long, ":3: a row of more than 16 MiB: is a quote or a line end missing?", false},
		{"x.jsonl", long, ":1: a row of more than 16 MiB: is a quote or a line end missing?", false},
		{"x.tsv", strings.Repeat("\t", maxColumns), fmt.Sprintf(":1: %d columns, want at most %d", maxColumns+1, maxColumns), false},
		{"x.tsv", "review\tstars\na\xff\tgood\n", ":2: not UTF-8 text", false},
		{"x.jsonl", "{\"review\":\"\xff\"}\n", ":1: not UTF-8 text", false},
		{"x.tsv", "review\tstars\na\tgood\nb\tbad\nc\tgod\n", `:4: label "god" is none of "good", "bad"`, false},
		{"x.tsv", "review\tstars\na\t\n", `:2: label "" is none of "good", "bad"`, false},
		{"x.jsonl", `{"review":"a","stars":"good"}` + "\n" + `{"review":"a","stars":null}`, `:2: "stars": "null" is not a text, number, true or false`, false},
		{"x.jsonl", `{"review":["a"],"stars":"good"}`, `:1: "review": "[\"a\"]" is not a text, number, true or false`, false},
		{"x.jsonl", `{"text":"a","stars":"good"}`, `:1: no key "review" in the object, which has "stars", "text"`, false},
		{"x.jsonl", "\n{\"review\":\"a\"\n", ":2: not a JSON object on one line: unexpected end of JSON input", false},
		{"x.json", "[\n{\"review\":\"a\"}]", ":1: not a JSON object; the file should hold one object a line", false},
		{"x.json", "[]", ":1: not a JSON object; the file should hold one object a line", false},
		{"x.json", "3", ":1: not a JSON object; the file should hold one object a line", false},
		{"x.tsv", "review\tstars\na\t4\nb\tfour\n", `:3: score "four" is not a finite number`, true},
		{"x.tsv", "review\tstars\na\tNaN\n", `:2: score "NaN" is not a finite number`, true},
		{"x.tsv", "review\tstars\na\t-inf\n", `:2: score "-inf" is not a finite number`, true},
		{"x.tsv", "review\tstars\na\t1e39\n", `:2: score "1e39" is not a finite number`, true},
		{"x.tsv", "review\tstars\na\t\n", `:2: score "" is not a finite number`, true},
	} {
		labels := []string{"good", "bad"}
		if c.regression {
			labels = nil
		}
		named, err := Task(review, labels)
		if err != nil {
			t.Fatal(err)
		}
		path := write(t, c.file, c.content)
		_, err = Read(path, named)
		var format *fileformat.Error
		if !errors.As(err, &format) || err.Error() != path+c.want {
			t.Errorf("%v, want %s", err, path+c.want)
		}
	}
	if _, err := Read("nowhere.tsv", task.Task{Columns: review}); err == nil || err.Error() != "open nowhere.tsv: no such file or directory" {
		t.Errorf("%v", err)
	}
	if _, err := Read("x.txt", task.Task{Columns: review}); err == nil || err.Error() != "x.txt: the extension tells the format: .tsv, .csv, .jsonl, .json or .parquet" {
		t.Errorf("%v", err)
	}
	dir := filepath.Join(t.TempDir(), "folder.tsv")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(dir, task.Task{Columns: review}); err == nil || err.Error() != "read "+dir+": is a directory" {
		t.Errorf("%v", err)
	}
}

func TestLabelsAreOrdered(t *testing.T) {
	for content, want := range map[string]string{
		"y\n10\n9\n-1\n":       "[-1 9 10]",
		"y\nb\n10\na\n9\nB\n":  "[9 10 B a b]",
		"y\n1.0\n0.0\n":        "[0.0 1.0]",
		"y\n01\n1\n":           "[01 1]",
		"y\nmaybe so\nno, \n":  "[maybe so no, ]",
		"y\nsame\nsame\n":      `: every example has the label "same"; two are needed to learn from`,
		"y\na\n\n":             ":3: the label is empty",
		"y\na\n \n":            ":3: the label is empty",
		"y\na\nb\x1b[2J\n":     `:3: label "b\x1b[2J" holds a control character`,
		"z\na\n":               `:1: no column "y" in the header, which has "z"`,
		"y\n" + longLabel("a"): ":2: label \"" + strings.Repeat("a", 40) + "\" is longer than 1000 bytes",
	} {
		path := write(t, "x.tsv", content)
		labels, err := Labels(path, task.Columns{Label: "y"})
		if got := fmt.Sprint(labels); err == nil && got != want || err != nil && err.Error() != path+want {
			t.Errorf("%.20q: %s (%v), want %s", content, got, err, want)
		}
	}
}

func longLabel(letter string) string { return strings.Repeat(letter, 1001) }

func TestLabelsAreBounded(t *testing.T) {
	var content strings.Builder
	content.WriteString("y\n")
	for i := range maxLabels + 1 {
		fmt.Fprintln(&content, i)
	}
	path := write(t, "x.tsv", content.String())
	_, err := Labels(path, task.Columns{Label: "y"})
	want := fmt.Sprintf(`%s:%d: column "y" has more than 65536 labels: is it the label's, or a regression's score?`, path, maxLabels+2)
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestTask(t *testing.T) {
	for _, c := range []struct {
		labels   []string
		metrics  string
		positive string
		wrong    string
	}{
		{nil, "[pearson spearman]", "", ""},
		{[]string{"0", "1"}, "[accuracy f1]", "1", ""},
		{[]string{"10", "9"}, "[accuracy f1]", "10", ""},
		{[]string{"yes", "no"}, "[accuracy f1]", "yes", ""},
		{[]string{"a", "b", "c"}, "[accuracy macro_f1]", "", ""},
		{[]string{"a"}, "", "", "1 labels, want 2 to 65536"},
		{[]string{"a", "b", "a"}, "", "", `label "a" is there twice`},
		{[]string{"a", "b\n"}, "", "", `label "b\n" holds a control character`},
	} {
		named, err := Task(pair, c.labels)
		if c.wrong != "" {
			if err == nil || err.Error() != c.wrong {
				t.Errorf("%q: %v, want %s", c.labels, err, c.wrong)
			}
			continue
		}
		if err != nil || fmt.Sprint(named.Metrics) != c.metrics || named.Positive != c.positive || !named.HasPair || !slices.Contains(named.Metrics, named.Best) {
			t.Errorf("%q: %+v (%v)", c.labels, named, err)
		}
		if named.Regression != (c.labels == nil) {
			t.Errorf("%q: regression is %v", c.labels, named.Regression)
		}
	}
}

func TestColumns(t *testing.T) {
	for want, c := range map[string]task.Columns{
		"":                        {Text: "a", Pair: "b", Label: "c"},
		"a column without a name": {Pair: "b", Label: "c"},
		`column "a" is named twice; texts and label are different columns`: {Text: "a", Label: "a"},
		`column "b" is named twice; texts and label are different columns`: {Text: "a", Pair: "b", Label: "b"},
	} {
		if err := CheckColumns(c); (err == nil) != (want == "") || err != nil && err.Error() != want {
			t.Errorf("%+v: %v, want %q", c, err, want)
		}
	}
}

// A row at a time: the file may be larger than memory.
func TestReadRowsHoldsOneRow(t *testing.T) {
	const rows = 3 * maxRow / 1000
	reader := io.LimitReader(repeat(strings.Repeat("x", 998)+"\t\n"), rows*1000)
	walk := ReadBareRows(reader, "standard input", TSV, 2)
	n := 0
	eachRow(t, walk, func(row Row) {
		if n++; row.Line != n {
			t.Fatalf("row %d is on line %d", n, row.Line)
		}
	})
	if n != rows {
		t.Errorf("%d rows, want %d", n, rows)
	}
}

// eachRow walks to the end.
func eachRow(t *testing.T, rows *Rows, take func(Row)) {
	t.Helper()
	for {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		take(row)
	}
}

// A row of one column is on the line of the text that it is of, empty ones too.
func TestEmptyLinesOfOneColumn(t *testing.T) {
	for _, format := range []Format{TSV, CSV} {
		content := "\na\n\n\n\"b\"\r\n\r\nc"
		if format == CSV {
			content = strings.Replace(content, `"b"`, "\"b\n\nb\"", 1)
		}
		var lines []int
		var texts []string
		eachRow(t, ReadBareRows(strings.NewReader(content), "f", format, 1), func(row Row) {
			lines, texts = append(lines, row.Line), append(texts, row.Cells[0])
		})
		wantLines, wantTexts := []int{1, 2, 3, 4, 5, 6, 7}, []string{"", "a", "", "", `"b"`, "", "c"}
		if format == CSV {
			wantLines, wantTexts = []int{1, 2, 3, 4, 5, 8, 9}, []string{"", "a", "", "", "b\n\nb", "", "c"}
		}
		if !slices.Equal(lines, wantLines) || !slices.Equal(texts, wantTexts) {
			t.Errorf("%s: %q on %d, want %q on %d", format, texts, lines, wantTexts, wantLines)
		}
	}
}

// repeat is a text without end.
type repeat string

func (r repeat) Read(p []byte) (int, error) {
	n := 0
	for n+len(r) <= len(p) {
		n += copy(p[n:], r)
	}
	if n == 0 {
		return 0, io.ErrShortBuffer
	}
	return n, nil
}

func FuzzReadRows(f *testing.F) {
	f.Add("a\tb\tc\n1\t2\t3\n", uint8(0))
	f.Add("a,b,c\n\"1\n\",2,3\n", uint8(1))
	f.Add(`{"a":"x","b":1}`, uint8(2))
	f.Fuzz(func(t *testing.T, content string, format uint8) {
		rows, err := ReadRows(strings.NewReader(content), "f", []Format{TSV, CSV, JSONL}[format%3], []string{"a", "b"})
		for line := 0; err == nil; {
			var row Row
			if row, err = rows.Next(); err != nil {
				break
			}
			if len(row.Cells) != 2 || row.Line <= line {
				t.Fatalf("row %+v after line %d", row, line)
			}
			line = row.Line
		}
		if err != nil && !errors.Is(err, io.EOF) && strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' }) {
			t.Errorf("%q", err)
		}
	})
}

func TestScoresKeepTheirPrecision(t *testing.T) {
	named, err := Task(review, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Read(write(t, "x.tsv", "review\tstars\na\t4.2\n"), named)
	if err != nil || math.Abs(got[0].Score-4.2) > 0 {
		t.Errorf("%+v (%v)", got, err)
	}
}

// A file of tabs and line ends claims no multiple of its size.
func TestReadRejectsManyShortRows(t *testing.T) {
	named, err := Task(review, nil)
	if err != nil {
		t.Fatal(err)
	}
	const header = "review\tstars\n"
	path := write(t, "x.tsv", header+strings.Repeat("\t1\n", 4*maxShortRows))
	most := maxShortRows + (len(header)+3*4*maxShortRows)/minRow
	_, err = Read(path, named)
	want := fmt.Sprintf("%s:%d: %d rows before this one are too short to hold text", path, most+2, most)
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	path = write(t, "x.tsv", header+strings.Repeat("\t1\n", maxShortRows)+strings.Repeat("abc\t1\n", maxShortRows))
	if examples, err := Read(path, named); err != nil || len(examples) != 2*maxShortRows {
		t.Errorf("%d examples (%v)", len(examples), err)
	}
}
