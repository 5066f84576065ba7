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

	"github.com/metatt/metatt/pkg/task"
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
			named, err := task.Lookup(name)
			if err != nil {
				t.Fatal(err)
			}
			skipOther(t, dir, named, task.Split(split), file)
			examples, err := Folder(dir).Read(named, task.Split(split), nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(examples) != rows {
				t.Errorf("%d examples, want %d", len(examples), rows)
			}
			if got := fieldsDigest(named, examples); got != fields {
				t.Errorf("fields have the digest %s, want %s", got, fields)
			}
		})
	}
}

// skipOther skips the test where a split's file is not the one with this SHA-256.
func skipOther(t *testing.T, dir string, named task.Task, s task.Split, want string) {
	t.Helper()
	f, err := fileOf(named, s)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(Folder(dir).Of(named), f.name)
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
func fieldsDigest(named task.Task, examples []task.Example) string {
	digest := sha256.New()
	for _, e := range examples {
		gold := ""
		switch {
		case e.Label != task.Unlabelled:
			gold = named.Labels[e.Label]
		case named.Regression && e.Score == e.Score: // not NaN
			gold = strconv.FormatFloat(e.Score, 'e', 17, 64)
		}
		fmt.Fprintf(digest, "%s\t%s\t%s\t%s\n", e.ID, e.Text, e.Pair, gold)
	}
	return hex.EncodeToString(digest.Sum(nil))
}
