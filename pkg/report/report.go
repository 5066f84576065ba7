// Package report makes tables, pictures and pages of what runs leave.
package report

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/record"
)

// Options ask for a report.
type Options struct {
	Runs    []string // run directories and folders of them
	By      []string // what runs are told apart by, besides task and metric; nil: what differs, but for the seed
	Against string   // group to compare with, see [Report.Groups]; empty: LoRA, else the first of each task
}

// OptionError is what is wrong with an option, and no run's fault.
type OptionError struct{ message string }

func (e *OptionError) Error() string { return e.message }

func wrongOption(format string, args ...any) error {
	return &OptionError{fmt.Sprintf(format, args...)}
}

// Report is what runs came to.
type Report struct {
	By     []string // fields that the runs are told apart by
	Also   []string // keys that differ with these
	Groups []*Group // those of a task together
	Left   []Left   // runs that are in no group
	Notes  []string // what else is to be known
	Runs   int      // found
}

// Left is a run that no figure counts, and why.
type Left struct{ Dir, Why string }

// Make reads the runs and compares them. That no run has ended is an error.
func Make(o Options) (*Report, error) {
	dirs, err := record.Find(o.Runs...)
	if err != nil {
		return nil, err
	}
	fields, err := lookup(o.By)
	if err != nil {
		return nil, err
	}
	r := &Report{Runs: len(dirs)}
	runs := r.read(dirs)
	if len(runs) == 0 {
		return nil, fmt.Errorf("no run to report on, of %d that were found: the first, %s, %s", len(dirs), r.Left[0].Dir, r.Left[0].Why)
	}
	if o.By == nil {
		var noted []string
		fields, r.Also, noted = choose(runs)
		if len(noted) > 0 {
			r.note("runs are not told apart by %s, which differ", strings.Join(noted, ", "))
		}
	} else {
		given, _ := lookup(always)
		fields = append(given, slices.DeleteFunc(fields, func(f field) bool { return slices.Contains(always, f.name) })...)
	}
	for _, f := range fields {
		r.By = append(r.By, f.name)
	}
	r.noteMade(runs)
	r.Groups = group(runs, fields)
	nameSections(r.Groups)
	return r, r.compare(fields, o.Against)
}

// read reads the runs; what cannot be counted is left, with its reason.
func (r *Report) read(dirs []string) (runs []member) {
	notes := map[string][]string{} // the runs that a note is of
	for _, dir := range dirs {
		run, err := record.Read(dir)
		if err != nil {
			r.Left = append(r.Left, Left{dir, "cannot be read: " + oneLine(err)})
			continue
		}
		for _, note := range run.Notes {
			notes[note] = append(notes[note], dir)
		}
		switch {
		case run.State == record.Ended:
			runs = append(runs, member{run, run.Config.Values()})
		case run.Failure != nil:
			r.Left = append(r.Left, Left{dir, "failed: " + oneLine(errors.New(run.Failure.Error))})
		case run.State == record.Interrupted:
			r.Left = append(r.Left, Left{dir, fmt.Sprintf("was stopped at step %d", run.Last())})
		default:
			r.Left = append(r.Left, Left{dir, fmt.Sprintf("has not ended: at step %d it is running, was killed, or failed", run.Last())})
		}
	}
	for _, note := range slices.Sorted(maps.Keys(notes)) {
		where := notes[note][0]
		if n := len(notes[note]); n > 1 {
			where = fmt.Sprintf("%d runs, such as %s", n, where)
		}
		r.note("%s: %s", where, note)
	}
	return runs
}

// compare sets each group beside its task's reference.
func (r *Report) compare(fields []field, against string) error {
	of, notes, err := references(r.Groups, fields, against)
	if err != nil {
		return err
	}
	r.Notes = append(r.Notes, notes...)
	for _, g := range r.Groups {
		if len(g.Pooled) > 0 {
			r.note("%s %s: its runs differ in %s", g.Task, g.Label, strings.Join(g.Pooled, ", "))
		}
		reference := of[g.Task]
		if reference == nil || reference == g {
			continue
		}
		if g.Against, err = compare(g, reference); err != nil {
			return err
		}
	}
	return nil
}

func (r *Report) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// oneLine is an error, which may list several problems, in one line.
func oneLine(err error) string {
	return strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ")
}
