package experiment

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"

	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/folder"
	"github.com/metatt/metatt/pkg/place"
	"github.com/metatt/metatt/pkg/record"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/train"
)

// recordFiles are those of a run directory that make its record, without weights.
var recordFiles = []string{
	requestedFile, place.ConfigFile, run.EnvironmentFile, run.SummaryFile, record.FailureFile, train.MetricsFile, train.TimingsFile, train.PredictionsFile,
}

// eachRecordFile calls f for the files of a run directory's record: their names, and where
// they are.
func eachRecordFile(dir string, f func(name, from string) error) error {
	for _, name := range recordFiles {
		from := filepath.Join(dir, name)
		if _, err := os.Stat(from); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := f(name, from); err != nil {
			return err
		}
	}
	return nil
}

// entry is a run with a record, and the record's name among others.
type entry struct {
	*Run
	name string
}

// entries are the runs that have ended, and with failed those that have failed, one of those that
// are the same: rather one that has ended, and a run proper. Names are the runs' own, told
// apart where several experiments have the same.
func (ps Plans) entries(failed bool) (all []entry) {
	at := map[string]int{}
	for _, p := range ps {
		for _, r := range p.Runs {
			if r.Config == nil || r.State != Ended && !(failed && r.State == Failed) {
				continue
			}
			k, known := at[r.identity]
			switch {
			case !known:
				at[r.identity] = len(all)
				all = append(all, entry{Run: r})
			case r.State != all[k].State && r.State == Ended, r.State == all[k].State && all[k].Choosing && !r.Choosing:
				all[k].Run = r
			}
		}
	}
	taken := map[string]bool{}
	for i := range all {
		all[i].name = untaken(filepath.ToSlash(all[i].Name), taken)
	}
	return all
}

// Records writes the records of the runs that have ended or failed into one archive, and
// says how many.
func (ps Plans) Records(file string) (count int, err error) {
	if err := ps.Refresh(); err != nil {
		return 0, err
	}
	out, err := renameio.NewPendingFile(file, renameio.WithTempDir(filepath.Dir(file)), renameio.WithPermissions(0o644))
	if err != nil {
		return 0, err
	}
	defer out.Cleanup()
	zip := gzip.NewWriter(out)
	archive := tar.NewWriter(zip)
	entries := ps.entries(true)
	for _, e := range entries {
		err := eachRecordFile(e.Dir, func(name, from string) error {
			return writeFile(archive, path.Join(e.name, name), from, 0o644)
		})
		if err != nil {
			return 0, err
		}
	}
	if err := errors.Join(archive.Close(), zip.Close()); err != nil {
		return 0, err
	}
	return len(entries), out.CloseAtomicallyReplace()
}

// mostRecord bounds a file of a record in bytes: metrics.jsonl of a million steps.
const mostRecord = 256 << 20

// Take adds the records in an archive to the experiments' runs. One that is of no run of
// them, or of one that has ended here, is left out and said; those that are here already, with
// the same numbers, together.
func (ps Plans) Take(file string) (taken int, notes []string, err error) {
	if err := os.MkdirAll(ps[0].Dir, 0o755); err != nil {
		return 0, nil, err
	}
	scratch, err := os.MkdirTemp(ps[0].Dir, ".taken-")
	if err != nil {
		return 0, nil, err
	}
	defer os.RemoveAll(scratch)
	names, err := unpack(file, scratch)
	if err != nil {
		return 0, nil, fmt.Errorf("%s: %w", file, err)
	}
	t := &taking{records: map[string]string{}, ended: map[string]bool{}, of: map[string]bool{}}
	for _, name := range names {
		dir := filepath.Join(scratch, name)
		id, err := requested(dir)
		if err == nil && id == "" {
			err = fmt.Errorf("%s: it has no %s", name, requestedFile)
		}
		var ended *record.Run
		if err == nil {
			ended, err = endedRecord(dir)
		}
		if err != nil {
			t.note("%s is left out: %s", name, strings.ReplaceAll(err.Error(), scratch+string(filepath.Separator), ""))
			continue
		}
		other := t.records[id]
		switch {
		case other != "" && ended != nil && t.ended[other] && !sameMetrics(other, dir):
			t.note("%s has other numbers than another record of the same run: left out", name)
			continue
		case other != "" && (ended == nil || t.ended[other]):
			continue
		}
		t.records[id], t.ended[dir] = dir, ended != nil
	}
	for _, p := range ps {
		if err := t.take(p); err != nil {
			return t.taken, t.notes, err
		}
	}
	for id, dir := range t.records {
		if !t.of[id] {
			name, _ := filepath.Rel(scratch, dir)
			t.note("%s is of no run of this experiment: left out", filepath.ToSlash(name))
		}
	}
	slices.Sort(t.notes)
	if t.here > 0 {
		t.note("records that are here already: %d", t.here)
	}
	return t.taken, t.notes, nil
}

// taking is an archive's records on their way.
type taking struct {
	records     map[string]string // folders, by what was asked of their runs
	ended       map[string]bool   // those of runs that have
	of          map[string]bool   // those that are of some run
	taken, here int
	notes       []string
}

func (t *taking) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

// take gives a plan's runs what is theirs.
func (t *taking) take(p *Plan) error {
	looked := map[string]bool{}
	for found := true; found; { // what is chosen decides which runs there are
		found = false
		if err := p.Refresh(); err != nil {
			return err
		}
		for _, r := range p.Runs {
			dir, has := t.records[r.identity]
			if r.Config == nil || !has || looked[r.identity] {
				continue
			}
			looked[r.identity], found = true, true
			again := t.of[r.identity] // a plan before has looked at it
			t.of[r.identity] = true
			if r.State == Ended && sameMetrics(r.Dir, dir) {
				if !again {
					t.here++
				}
				continue
			}
			note, err := p.takeRecord(r, dir, t.ended[dir])
			switch {
			case err != nil:
				return err
			case note != "":
				t.note("%s %s: its record is left out", r.Name, note)
			default:
				t.taken++
			}
		}
	}
	return nil
}

// sameMetrics: both folders have the same numbers of training.
func sameMetrics(a, b string) bool {
	one, err := os.ReadFile(filepath.Join(a, train.MetricsFile))
	other, err2 := os.ReadFile(filepath.Join(b, train.MetricsFile))
	return err == nil && err2 == nil && bytes.Equal(one, other)
}

// takeRecord puts a record, of a run that has ended or not, in the place of a run; note: why it does
// not.
func (p *Plan) takeRecord(r *Run, record string, ended bool) (note string, err error) {
	lock, err := p.lock(r)
	if err != nil {
		return "", err
	}
	if lock == nil {
		return "goes on in another process", nil
	}
	defer lock.Close()
	if err := p.Refresh(); err != nil { // another may have made it
		return "", err
	}
	put := folder.Make // of two that find room here one gets it
	switch _, err := os.Lstat(r.Dir); {
	case r.State == Ended:
		return "has ended here", nil
	case r.damaged:
		return "has ended here, and its record is damaged", nil
	case place.IsRun(r.Dir) && !ended: // its checkpoints are worth more than a failure
		return "was begun here and has not ended there", nil
	case err == nil:
		put = folder.Replace
	}
	delete(p.seen, r.Dir)
	return "", put(r.Dir, func(partial string) error {
		for _, name := range recordFiles {
			text, err := os.ReadFile(filepath.Join(record, name))
			if err == nil {
				err = os.WriteFile(filepath.Join(partial, name), text, 0o644)
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		if !place.IsRun(partial) {
			return nil // it failed before
		}
		return rewrite(partial, func(c *config.Config) { moveHere(c, r.Config) })
	})
}

// moveHere lets a record's configuration name model and data by their places here, as the
// runs that are made here do: else a table would tell them apart.
func moveHere(c, asked *config.Config) {
	c.Model.Path = place.AbsoluteModel(asked.Model.Path)
	c.Data.Train, c.Data.Dev, c.Data.Test = place.Absolute(asked.Data.Train), place.Absolute(asked.Data.Dev), place.Absolute(asked.Data.Test)
	c.Data.GLUE = place.Absolute(asked.Data.GLUE)
}

// rewrite changes the configuration in a run directory.
func rewrite(dir string, change func(*config.Config)) error {
	file := filepath.Join(dir, place.ConfigFile)
	c, err := config.Load([]string{file}, nil, nil)
	if err != nil {
		return err
	}
	change(c)
	text, err := c.YAML()
	if err != nil {
		return err
	}
	return renameio.WriteFile(file, text, 0o644, renameio.WithTempDir(dir))
}

// unpack writes the records of an archive into a folder and lists theirs. It takes the
// files of records alone, whatever else there is, and nothing that lies elsewhere.
func unpack(file, into string) (records []string, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	archive := tar.NewReader(zip)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return records, nil
		}
		if err != nil {
			return nil, err
		}
		dir, name := path.Split(header.Name)
		dir = strings.TrimSuffix(dir, "/")
		switch {
		case header.Typeflag == tar.TypeDir:
			continue
		case header.Typeflag != tar.TypeReg || !slices.Contains(recordFiles, name) || path.Clean(dir) == "." || !filepath.IsLocal(dir):
			return nil, fmt.Errorf("%.80q is no file of a record", header.Name)
		case header.Size > mostRecord:
			return nil, fmt.Errorf("%.80q has %d bytes, more than a record's file can have", header.Name, header.Size)
		}
		if !slices.Contains(records, dir) {
			records = append(records, dir)
		}
		to := filepath.Join(into, filepath.FromSlash(header.Name))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return nil, err
		}
		if err := copyTo(to, archive); err != nil {
			return nil, err
		}
	}
}

func copyTo(file string, from io.Reader) error {
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, from)
	return errors.Join(err, out.Close())
}
