package glue

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/internal/allocbound"
)

// An earlier zip file of any bytes is refused and stays as it is, or keeps what it
// has of other tasks. What CheckZip finds and what WriteZip says are the same.
func FuzzWriteZip(f *testing.F) {
	seed := func(s Submission) {
		path := filepath.Join(f.TempDir(), "seed.zip")
		if err := s.WriteZip(path); err != nil {
			f.Fatal(err)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	seed(Submission{"RTE.tsv": []byte("index\tprediction\n0\tentailment\n"), "AX.tsv": []byte("index\tprediction\n")})
	seed(Submission{"CoLA.tsv": []byte("index\tprediction\n0\t1\n")})
	seed(Submission{"notes.txt": []byte("mine")})
	f.Add([]byte("PK\x05\x06" + strings.Repeat("\x00", 18)))
	s := Submission{"CoLA.tsv": []byte("index\tprediction\n0\t0\n")}
	f.Fuzz(func(t *testing.T, earlier []byte) {
		path := filepath.Join(t.TempDir(), "glue.zip")
		if err := os.WriteFile(path, earlier, 0o644); err != nil {
			t.Fatal(err)
		}
		var checked, written error
		allocbound.Check(t, len(earlier)+deflating, func() { checked = CheckZip(path) })
		allocbound.Check(t, len(earlier)+deflating, func() { written = s.WriteZip(path) })
		if checked == nil != (written == nil) && !strings.Contains(errors.Join(checked, written).Error(), "CoLA.tsv") {
			t.Errorf("CheckZip: %v, WriteZip: %v", checked, written)
		}
		if written != nil {
			if content, _ := os.ReadFile(path); !bytes.Equal(content, earlier) {
				t.Error("the file that was refused is another now")
			}
			if strings.ContainsAny(written.Error(), "\n\r") {
				t.Errorf("an error of several lines: %q", written)
			}
			return
		}
		names, content := readZip(t, path)
		if content["CoLA.tsv"] != string(s["CoLA.tsv"]) {
			t.Errorf("CoLA.tsv holds %q of %v", content["CoLA.tsv"], names)
		}
		if err := CheckZip(path); err != nil {
			t.Errorf("what was written is refused: %v", err)
		}
	})
}

// deflating is about what compress/flate claims for a writer, over 16.
const deflating = 1 << 16
