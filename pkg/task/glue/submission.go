package glue

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/google/renameio/v2"

	"github.com/metatt/metatt/pkg/task"
)

// members are the files of a submission to GLUE, by task and split.
var members = map[string]map[task.Split]string{
	"CoLA":  {task.Test: "CoLA.tsv"},
	"SST-2": {task.Test: "SST-2.tsv"},
	"MRPC":  {task.Test: "MRPC.tsv"},
	"STS-B": {task.Test: "STS-B.tsv"},
	"QQP":   {task.Test: "QQP.tsv"},
	"MNLI":  {task.Test: "MNLI-m.tsv", task.TestMismatched: "MNLI-mm.tsv"},
	"QNLI":  {task.Test: "QNLI.tsv"},
	"RTE":   {task.Test: "RTE.tsv"},
	"WNLI":  {task.Test: "WNLI.tsv"},
	"AX":    {task.Test: "AX.tsv"},
}

// Submission is predictions in the form that the GLUE site takes: one TSV file a
// test set, under the site's names.
type Submission map[string][]byte

// Add writes a test set's predictions from logits, (examples, classes) row by
// row: the label's name, of a regression the score within 0 to 5.
func (s Submission) Add(t task.Task, split task.Split, logits []float32, examples []task.Example) error {
	name, ok := members[t.Name][split]
	if !ok {
		return fmt.Errorf("GLUE takes no predictions for the %s split of %s", split, t.Name)
	}
	classes := t.Outputs()
	if len(logits) != len(examples)*classes {
		return fmt.Errorf("%s: %d logits, want %d for %d examples", name, len(logits), len(examples)*classes, len(examples))
	}
	for i, logit := range logits {
		if l := float64(logit); math.IsNaN(l) || math.IsInf(l, 0) {
			return fmt.Errorf("%s: index %s has the logit %v", name, examples[i/classes].ID, logit)
		}
	}
	var tsv bytes.Buffer
	tsv.WriteString("index\tprediction\n")
	for i, e := range examples {
		if _, err := strconv.ParseUint(e.ID, 10, 63); err != nil {
			return fmt.Errorf("%s: the test set's index %s is not a number", name, quote(e.ID))
		}
		row := logits[i*classes : (i+1)*classes]
		prediction := ""
		if t.Regression {
			prediction = strconv.FormatFloat(float64(max(0, min(5, row[0]))), 'f', -1, 32)
		} else {
			prediction = t.Labels[task.Class(row)]
		}
		fmt.Fprintf(&tsv, "%s\t%s\n", e.ID, prediction)
	}
	s[name] = tsv.Bytes()
	return nil
}

// Names lists the files in the order of the zip.
func (s Submission) Names() []string { return slices.Sorted(maps.Keys(s)) }

// WriteZip puts the files into the zip file at path, in the place of those of
// the same name: predictions of several tasks are gathered one after the other,
// by several processes too. A file that holds anything but a submission is left
// alone. The zip file is replaced at once.
func (s Submission) WriteZip(path string) (err error) {
	unlock, err := lockFolder(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("submission: %w", err)
	}
	defer unlock()
	pending, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o644))
	if err != nil {
		return fmt.Errorf("submission: %w", err)
	}
	defer pending.Cleanup()
	out := zip.NewWriter(pending)
	if err := s.keepOthers(path, out); err != nil {
		return err
	}
	for _, name := range s.Names() {
		// The earliest date that the format knows: equal predictions make equal files.
		member, err := out.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)})
		if err != nil {
			return fmt.Errorf("submission: %w", err)
		}
		if _, err := member.Write(s[name]); err != nil {
			return fmt.Errorf("submission: %w", err)
		}
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("submission: %w", err)
	}
	return pending.CloseAtomicallyReplace()
}

// CheckZip tells what will keep [Submission.WriteZip] from writing path, for those
// who have much to compute before.
func CheckZip(path string) error {
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return fmt.Errorf("submission: %w", err)
	}
	return Submission{}.keepOthers(path, zip.NewWriter(io.Discard))
}

// keepOthers copies what an earlier zip file at path has of other tasks.
func (s Submission) keepOthers(path string, out *zip.Writer) error {
	earlier, err := zip.OpenReader(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w: choose another file", path, err)
	}
	defer earlier.Close()
	var legal []string
	for _, files := range members {
		legal = slices.AppendSeq(legal, maps.Values(files))
	}
	seen := map[string]bool{}
	for _, file := range earlier.File {
		if !slices.Contains(legal, file.Name) || seen[file.Name] {
			return fmt.Errorf("%s: holds %s, which is no part of a GLUE submission: choose another file", path, quote(file.Name))
		}
		seen[file.Name] = true
		if _, replaced := s[file.Name]; replaced || s.outdates(file.Name) {
			continue
		}
		// Read through, so that a damaged member is told now and not by the site.
		if err := intact(file); err != nil {
			return fmt.Errorf("%s: %s: %w", path, file.Name, err)
		}
		if err := out.Copy(file); err != nil {
			return fmt.Errorf("%s: %s: %w", path, file.Name, err)
		}
	}
	return nil
}

// outdates: the diagnostic set's predictions are those of the adapter that MNLI's are, which are replaced.
func (s Submission) outdates(name string) bool {
	_, replaced := s[members["MNLI"][task.Test]]
	return replaced && name == members["AX"][task.Test]
}

// maxMember bounds a member of an earlier zip file; QQP's, the largest, has 6 MB.
const maxMember = 64 << 20

func intact(file *zip.File) error {
	content, err := file.Open()
	if err != nil {
		return err
	}
	defer content.Close()
	read, err := io.Copy(io.Discard, io.LimitReader(content, maxMember+1))
	if err == nil && read > maxMember {
		err = fmt.Errorf("more than %d bytes", maxMember)
	}
	return err
}

// lockFolder keeps other processes out until unlock is called: between reading
// the earlier zip file and replacing it, nobody else may.
func lockFolder(dir string) (unlock func(), err error) {
	folder, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(folder.Fd()), syscall.LOCK_EX); err != nil {
		folder.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return func() { folder.Close() }, nil // which ends the lock
}

// SubmissionSplits are the test sets of a task that GLUE takes, in order.
func SubmissionSplits(t task.Task) []task.Split {
	var splits []task.Split
	for _, s := range t.Splits {
		if _, ok := members[t.Name][s]; ok {
			splits = append(splits, s)
		}
	}
	return splits
}
