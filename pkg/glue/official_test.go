package glue

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// TestOfficialFiles reads every file of the GLUE folder that GLUE_DIR names and
// compares all fields with what Python's csv module reads (testdata/rows.py). Of
// a file that is absent or another version it says nothing.
func TestOfficialFiles(t *testing.T) {
	dir := os.Getenv("GLUE_DIR")
	if dir == "" {
		t.Skip("GLUE_DIR is not set")
	}
	golden, err := os.Open("testdata/rows.golden")
	if err != nil {
		t.Fatal(err)
	}
	defer golden.Close()
	for lines := bufio.NewScanner(golden); lines.Scan(); {
		var name, split, file, fields string
		var rows int
		if _, err := fmt.Sscan(lines.Text(), &name, &split, &file, &rows, &fields); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		t.Run(name+" "+split, func(t *testing.T) {
			task, err := Lookup(name)
			if err != nil {
				t.Fatal(err)
			}
			skipOther(t, dir, task, Split(split), file)
			examples, err := task.Read(dir, Split(split))
			if err != nil {
				t.Fatal(err)
			}
			if len(examples) != rows {
				t.Errorf("%d examples, want %d", len(examples), rows)
			}
			if got := fieldsDigest(task, examples); got != fields {
				t.Errorf("fields have the digest %s, want %s", got, fields)
			}
		})
	}
}

// skipOther skips the test where a split's file is not the one with this SHA-256.
func skipOther(t *testing.T, dir string, task Task, s Split, want string) {
	t.Helper()
	f, err := task.file(s)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, task.Folder, f.name)
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("%s does not exist", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != want {
		t.Skipf("%s is another version", path)
	}
}

// fieldsDigest hashes examples as testdata/rows.py does.
func fieldsDigest(task Task, examples []Example) string {
	digest := sha256.New()
	for _, e := range examples {
		gold := ""
		switch {
		case e.Label != Unlabelled:
			gold = task.Labels[e.Label]
		case task.Regression && e.Score == e.Score: // not NaN
			gold = strconv.FormatFloat(e.Score, 'e', 17, 64)
		}
		fmt.Fprintf(digest, "%s\t%s\t%s\t%s\n", e.ID, e.Text, e.Pair, gold)
	}
	return hex.EncodeToString(digest.Sum(nil))
}
