package experiment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/place"
	"github.com/metatt/metatt/pkg/record"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/train"
)

// Options say how runs are made.
type Options struct {
	GLUEDir string // the environment's GLUE_DIR
	Version string // of this program, for the records
	Threads int    // of a run that does not say it; 0: libtorch decides
	// Stop is when no run is begun any more and the one that goes on is stopped, with
	// its state saved. Zero: never.
	Stop    time.Time
	Observe func(Event)
	Places  *Places // of a packed experiment; nil: configurations say themselves
}

// ErrStopped is that the time of Options.Stop has come.
var ErrStopped = errors.New("stopped at the time that was given: the same command goes on")

// Event is what happens to a run, or, with no run's name, to the experiment.
type Event struct {
	Kind  Kind   `json:"kind"`
	Run   string `json:"run,omitempty"`
	Step  int    `json:"step,omitempty"`
	Total int    `json:"total,omitempty"` // steps of the run
	Text  string `json:"text,omitempty"`  // of a note, or why the run failed

	// Of a run that is over.
	State   State    `json:"state,omitempty"`
	Metric  string   `json:"metric,omitempty"`
	Value   *float64 `json:"value,omitempty"` // of its best evaluation
	Seconds float64  `json:"seconds,omitempty"`
}

// Kind is what an event tells.
type Kind string

const (
	Began Kind = "began"
	Step  Kind = "step"
	Over  Kind = "over"
	Note  Kind = "note"
)

// Execute makes the runs that are not made yet, one after the other in one session. Other
// processes may do the same at once: each takes runs that no other has. A run that fails
// is left behind with its error. Cancelling ctx saves the run that goes on and returns
// [train.ErrInterrupted].
func (p *Plan) Execute(ctx context.Context, o Options) error {
	if p.Began.IsZero() {
		p.Began = time.Now()
	}
	if o.Observe == nil {
		o.Observe = func(Event) {}
	}
	if !o.Stop.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, o.Stop, ErrStopped)
		defer cancel()
	}
	w := &worker{plan: p, options: o, session: run.NewSession()}
	defer func() { w.session.Close() }()
	for {
		if ctx.Err() != nil {
			if errors.Is(context.Cause(ctx), ErrStopped) {
				return ErrStopped
			}
			return train.ErrInterrupted
		}
		if err := w.refresh(); err != nil {
			return err
		}
		r, lock, err := w.take()
		if err != nil {
			return err
		}
		if r == nil {
			if !w.left() {
				return nil
			}
			// Another process has what is left, or what a choice waits for.
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		} else {
			err = w.attempt(ctx, r, lock)
			lock.Close()
		}
		if err != nil {
			return err
		}
	}
}

// worker makes runs of a plan in one process.
type worker struct {
	plan    *Plan
	options Options
	session *run.Session
	keeps   string // what the session has loaded for
	notes   int    // of the plan's, that were told
}

func (w *worker) refresh() error {
	err := w.plan.Refresh()
	for ; w.notes < len(w.plan.Notes); w.notes++ {
		w.options.Observe(Event{Kind: Note, Text: w.plan.Notes[w.notes]})
	}
	return err
}

// open: the run is to be made, or gone on with, now.
func (w *worker) open(r *Run) bool {
	return r.State == Open || r.State == Stopped || w.plan.again(r)
}

// left: there is something that is, or may become, to be made.
func (w *worker) left() bool {
	return slices.ContainsFunc(w.plan.Runs, func(r *Run) bool { return r.State == Waiting || w.open(r) })
}

// take locks the first open run that no other process has.
func (w *worker) take() (*Run, *os.File, error) {
	for _, r := range w.plan.Runs {
		if !w.open(r) {
			continue
		}
		lock, err := w.plan.lock(r)
		if err != nil || lock == nil {
			if err != nil {
				return nil, nil, err
			}
			continue
		}
		// Another may have made it since it was looked at.
		if err := w.refresh(); err != nil {
			lock.Close()
			return nil, nil, err
		}
		if w.open(r) {
			return r, lock, nil
		}
		lock.Close()
	}
	return nil, nil, nil
}

// lock is the run's, held until it is closed or the process ends; nil where another
// process has it.
func (p *Plan) lock(r *Run) (*os.File, error) {
	folder := filepath.Join(p.Dir, ".locks")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(folder, shortSum(r.identity)), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		file.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, nil
		}
		return nil, fmt.Errorf("%s: %w", file.Name(), err)
	}
	return file, nil
}

// mostAttempts are those of a run that end its process before it has come further: then it has failed, for it would
// end one process after the other.
const mostAttempts = 2

// attempt is make, written down in the run's lock while it goes on: from where the run goes on, a line each.
func (w *worker) attempt(ctx context.Context, r *Run, lock *os.File) error {
	from, err := train.NewestCheckpoint(r.Dir)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.NewSectionReader(lock, 0, 1<<20))
	if err != nil {
		return err
	}
	before := 0
	for line := range strings.Lines(string(text)) {
		if line == from+"\n" {
			before++
		}
	}
	if err := lock.Truncate(0); err != nil {
		return err
	}
	if before >= mostAttempts {
		if !place.IsRun(r.Dir) {
			if err := r.request(); err != nil { // else the folder of the failure is nobody's
				return err
			}
		}
		return w.over(r, Event{State: Failed, Text: fmt.Sprintf("the process that made it ended without a word, %d times: killed, for want of memory perhaps", before)})
	}
	if _, err := lock.WriteAt([]byte(strings.Repeat(from+"\n", before+1)), 0); err != nil {
		return err
	}
	err = w.make(ctx, r)
	return errors.Join(err, lock.Truncate(0))
}

// over tells that a run is, and keeps why it failed.
func (w *worker) over(r *Run, e Event) error {
	e.Kind, e.Run = Over, r.Name
	if e.State == Failed {
		w.plan.gaveUp[r] = true
		if err := record.WriteFailure(r.Dir, errors.New(e.Text)); err != nil {
			return err
		}
	}
	w.options.Observe(e)
	return nil
}

// make makes a run or goes on with it. Only what concerns the whole experiment is an
// error.
func (w *worker) make(ctx context.Context, r *Run) error {
	if err := os.Remove(filepath.Join(r.Dir, record.FailureFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if newest, err := train.NewestCheckpoint(r.Dir); err == nil && newest == "" && place.IsRun(r.Dir) {
		if err := beginAnew(r.Dir); err != nil {
			return err
		}
	}
	w.keep(r.Config)
	c := *r.Config
	if c.Threads == 0 {
		c.Threads = w.options.Threads
	}
	if w.options.Places != nil {
		w.options.Places.of(&c)
	}
	o := run.Options{Config: &c, GLUEDir: w.options.GLUEDir, Version: w.options.Version, Observer: &observer{run: r, tell: w.options.Observe}}
	began := time.Now()
	var summary *run.Summary
	var err error
	if place.IsRun(r.Dir) {
		err = rewrite(r.Dir, func(recorded *config.Config) {
			recorded.TakeNeutral(&c)
			if w.options.Places != nil { // the packed folder may have been moved
				moveHere(recorded, &c)
			}
		})
		if err == nil {
			summary, err = w.session.Resume(ctx, r.Dir, o)
		}
	} else {
		if err := r.request(); err != nil {
			return err // of the file system: no place for what has failed either
		}
		c.Run.Dir = r.Dir
		summary, err = w.session.Train(ctx, o)
	}
	over := Event{State: Ended, Seconds: time.Since(began).Seconds()}
	switch {
	case errors.Is(err, train.ErrInterrupted), ctx.Err() != nil && errors.Is(err, ctx.Err()):
		over.State = Stopped
	case err != nil:
		over.State, over.Text = Failed, err.Error()
	case summary.Best != nil:
		over.Metric, over.Value = summary.Best.Metric, summary.Best.Value
	}
	return w.over(r, over)
}

// beginAnew leaves of a run nothing but what was asked of it: one that has no checkpoint may be a record of
// another machine, whose device and format of numbers are not to be had here.
func beginAnew(dir string) error {
	if err := os.RemoveAll(filepath.Join(dir, "adapter")); err != nil {
		return err
	}
	for _, name := range slices.Backward(recordFiles) { // config.yaml, by which it is a run, near the end
		if name == requestedFile {
			continue
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// keep begins a session anew where a run needs another model than those before, so that
// no more than one is kept.
func (w *worker) keep(c *config.Config) {
	if keeps := c.Model.Path + " " + c.Model.DType + " " + c.Device; keeps != w.keeps {
		fresh := run.NewSession() // before the other is closed, so that both are on one thread
		w.session.Close()
		w.session, w.keeps = fresh, keeps
	}
}

// observer tells of a run what the experiment shows.
type observer struct {
	train.Silent
	run  *Run
	tell func(Event)
	last time.Time
}

// steps are told of ten times a second.
const often = 100 * time.Millisecond

func (o *observer) Begin(b train.BeginInfo) {
	o.tell(Event{Kind: Began, Run: o.run.Name, Step: b.Done, Total: b.Total})
}

func (o *observer) Step(s train.StepInfo) {
	if time.Since(o.last) >= often {
		o.last = time.Now()
		o.tell(Event{Kind: Step, Run: o.run.Name, Step: s.Step, Total: s.Total})
	}
}

func (o *observer) Note(text string) {
	if !strings.HasSuffix(text, o.run.Dir) { // where it is, its name says
		o.tell(Event{Kind: Note, Run: o.run.Name, Text: text})
	}
}
