package parquet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name+".parquet"))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// read is all rows of some columns, and the row of the error that ends them.
func read(content []byte, columns ...string) (rows [][]string, row int, err error) {
	file, err := Open(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return nil, 0, err
	}
	walk, err := file.Rows(columns...)
	for err == nil {
		var cells []string
		if cells, err = walk.Next(); err == nil {
			rows = append(rows, cells)
		}
	}
	if errors.Is(err, io.EOF) {
		return rows, 0, nil
	}
	if walk != nil {
		row = walk.Row()
	}
	return rows, row, err
}

// Every column is what pyarrow has written, up to its first null, which is an error.
func TestColumns(t *testing.T) {
	text, err := os.ReadFile("testdata/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var expected struct {
		Tables map[string]map[string][]*string
		Files  map[string]struct {
			Table string
			Rows  int
		}
	}
	if err := json.Unmarshal(text, &expected); err != nil {
		t.Fatal(err)
	}
	for name, file := range expected.Files {
		content := fixture(t, name)
		for column, values := range expected.Tables[file.Table] {
			values = values[:file.Rows]
			rows, row, err := read(content, column)
			null := slices.Index(values, nil)
			if null >= 0 {
				if want := fmt.Sprintf("%q: null is not a text, number, true or false", column); err == nil || err.Error() != want || row != null+1 {
					t.Errorf("%s: row %d: %v, want %s in row %d", name, row, err, want, null+1)
				}
				values = values[:null]
			} else if err != nil {
				t.Errorf("%s: %s: row %d: %v", name, column, row, err)
			}
			if len(rows) != len(values) {
				t.Errorf("%s: %s: %d rows, want %d", name, column, len(rows), len(values))
				continue
			}
			for i, cells := range rows {
				if cells[0] != *values[i] {
					t.Errorf("%s: %s: row %d is %q, want %q", name, column, i+1, cells[0], *values[i])
					break
				}
			}
		}
	}
}

// Columns come in the order in which they were asked for, whatever stands between them.
func TestColumnsTogether(t *testing.T) {
	rows, row, err := read(fixture(t, "hub"), "label", "sentence", "idx")
	if err != nil || len(rows) != 61 {
		t.Fatalf("%d rows, row %d: %v", len(rows), row, err)
	}
	if got := fmt.Sprintf("%q", rows[60]); got != `["not_equivalent" "語" "60"]` {
		t.Error(got)
	}
}

func TestRejects(t *testing.T) {
	hub := fixture(t, "hub")
	cut := func(n int) []byte { return hub[:n] }
	ending := func(length int, end string) []byte { return slices.Concat(hub[:len(hub)-length], []byte(end)) }
	for _, c := range []struct {
		name    string
		content []byte
		column  string
		want    string
	}{
		{"nothing", nil, "sentence", "too short for a Parquet file"},
		{"another format", []byte("idx,sentence,label\n1,2,3\n"), "sentence", `not a Parquet file: it begins with "idx,", not with PAR1`},
		{"a file that breaks off", cut(len(hub) - 1), "sentence", "the file breaks off: it ends with"},
		{"its first half", cut(len(hub) / 2), "sentence", "the file breaks off: it ends with"},
		{"no magic at the end", ending(4, "PAR2"), "sentence", `the file breaks off: it ends with "PAR2"`},
		{"an encrypted file", ending(4, "PARE"), "sentence", "the file is encrypted"},
		{"metadata longer than the file", ending(8, "\xff\xff\xff\xffPAR1"), "sentence", "metadata of 4294967295 bytes in a file of"},
		{"metadata that break off", ending(8, "\x40\x00\x00\x00PAR1"), "sentence", "the metadata at the end of the file cannot be read"},
		{"another column", hub, "text", `no column "text" in the file, which has "idx", "words", "sentence", "about", "other", "label"`},
		{"a list", hub, "words", `column "words" is a structure or a list; texts, numbers and booleans can be read`},
		{"a structure", hub, "about", `column "about" is a structure or a list`},
		{"a part of one", hub, "source", `no column "source"`},
		{"times", fixture(t, "others"), "time", `column "time" holds values of another sort (TIMESTAMP(isAdjustedToUTC=false,unit=MICROS))`},
		{"dates", fixture(t, "others"), "date", `column "date" holds values of another sort (DATE)`},
		{"decimals", fixture(t, "others"), "decimal", `column "decimal" holds values of another sort`},
		{"halves", fixture(t, "others"), "half", `column "half" holds values of another sort`},
		{"bytes", fixture(t, "others"), "fixed", `column "fixed" holds values of another sort`},
		{"maps", fixture(t, "others"), "map", `column "map" is a structure or a list`},
		{"brotli", fixture(t, "brotli"), "sentence", `row group 1: "sentence": it is compressed by BROTLI; snappy, zstd and gzip can be read`},
		{"lz4", fixture(t, "lz4"), "sentence", `it is compressed by LZ4_RAW; snappy, zstd and gzip can be read`},
		{"shared beginnings", fixture(t, "suffixes"), "text", `"text": values of type BYTE_ARRAY in encoding DELTA_BYTE_ARRAY cannot be read`},
	} {
		_, _, err := read(bytes.Clone(c.content), c.column)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}
