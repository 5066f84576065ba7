package own

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/fileformat"
	"github.com/metatt/metatt/pkg/task"
)

func parquetFile(name string) string { return filepath.Join("../../parquet/testdata", name+".parquet") }

// A data set of the hub is a task with its own classes by their names.
func TestReadParquet(t *testing.T) {
	columns := task.Columns{Text: "sentence", Pair: "other", Label: "label"}
	path := parquetFile("hub")
	labels, err := Labels(path, columns)
	if err != nil || fmt.Sprint(labels) != "[equivalent not_equivalent]" {
		t.Fatalf("labels %q: %v", labels, err)
	}
	named, err := Task(columns, labels)
	if err != nil {
		t.Fatal(err)
	}
	examples, err := Read(path, named)
	if err != nil || len(examples) != 61 {
		t.Fatalf("%d examples: %v", len(examples), err)
	}
	if got, want := examples[5], (task.Example{ID: "5", Text: examples[5].Text, Pair: examples[5].Pair, Label: 1}); got != want || got.Text == "" || got.Pair == "" {
		t.Errorf("%+v, want %+v", got, want)
	}
	scored, err := Task(task.Columns{Text: "text", Label: "single"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	examples, err = Read(parquetFile("kinds-v2"), scored)
	if err != nil || len(examples) != 120 || examples[3].Score != 3.0/8-2 {
		t.Errorf("%d examples, %+v: %v", len(examples), examples[3], err)
	}
}

// Every fault is one line that names the file, and the row where one is meant.
func TestReadParquetRejects(t *testing.T) {
	hub, err := os.ReadFile(parquetFile("hub"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path  string
		c     task.Columns
		wrong string
	}{
		{parquetFile("kinds"), task.Columns{Text: "text?", Label: "same"}, `: row 4: "text?": null is not a text, number, true or false`},
		{parquetFile("kinds"), task.Columns{Text: "text", Label: "category"}, `: row 1: label "the" is none of "x", "always this"`},
		{parquetFile("empty"), task.Columns{Text: "sentence", Label: "label"}, ": the file has no examples"},
		{parquetFile("hub"), task.Columns{Text: "text", Label: "label"}, `: no column "text" in the file, which has "idx", "words", "sentence", "about", "other", "label"`},
		{parquetFile("hub"), task.Columns{Text: "words", Label: "label"}, `: column "words" is a structure or a list; texts, numbers and booleans can be read`},
		{parquetFile("brotli"), task.Columns{Text: "sentence", Label: "label"}, `: row 1: row group 1: "sentence": it is compressed by BROTLI; snappy, zstd and gzip can be read`},
		{write(t, "x.parquet", "sentence\tlabel\n"), task.Columns{Text: "sentence", Label: "label"}, `: not a Parquet file: it begins with "sent", not with PAR1`},
		{write(t, "x.parquet", string(hub[:len(hub)/2])), task.Columns{Text: "sentence", Label: "label"}, ": the file breaks off: it ends with "},
		{write(t, "x.parquet", ""), task.Columns{Text: "sentence", Label: "label"}, ": too short for a Parquet file"},
	} {
		named, err := Task(c.c, []string{"x", "always this"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = Read(c.path, named)
		var format *fileformat.Error
		if !errors.As(err, &format) || !strings.HasPrefix(err.Error(), c.path+c.wrong) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want %s", err, c.path+c.wrong)
		}
	}
	_, err = ReadRows(io.LimitReader(bytes.NewReader(hub), 1<<20), "standard input", Parquet, []string{"sentence"})
	if want := "standard input: a Parquet file cannot be read as a stream: its index is at the end; name the file"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func FuzzReadParquet(f *testing.F) {
	for _, name := range []string{"hub", "kinds-v2"} {
		content, err := os.ReadFile(parquetFile(name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		for _, columns := range [][]string{{"sentence", "label"}, {"text", "int8"}} {
			rows, err := ReadRows(bytes.NewReader(content), "f", Parquet, columns)
			for n := 0; err == nil && n < 1<<12; n++ {
				var row Row
				if row, err = rows.Next(); err == nil && (len(row.Cells) != 2 || row.Line != n+1) {
					t.Fatalf("row %+v after row %d", row, n)
				}
			}
			if err != nil && !errors.Is(err, io.EOF) && strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' }) {
				t.Errorf("%q", err)
			}
		}
	})
}
