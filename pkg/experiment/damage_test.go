package experiment

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/metatt/metatt/pkg/record"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/train"
)

// change edits a file of a run.
func change(t *testing.T, dir, name string, edit func(string) string) {
	t.Helper()
	path := filepath.Join(dir, name)
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, []byte(edit(string(text))), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A run that has ended is not made again over what is left of its damaged record.
func TestDamagedRecordIsLeftAlone(t *testing.T) {
	for name, damage := range map[string]func(string) string{
		train.TimingsFile: func(text string) string { return text + "no event\n" },
		train.MetricsFile: func(text string) string { return text[:len(text)*2/3] }, // its last steps are lost
		run.SummaryFile:   func(string) string { return "garbage" },
	} {
		p := planned(t, "set: {train.max_steps: 4, train.checkpoint_every: never}\ngrid: {train.seed: [1]}\nchoose: {values: {train.lr: [1e-3]}, on: {train.seed: [9]}}")
		if err := p.Execute(t.Context(), Options{}); err != nil || states(p) != "choose/seed9-lr1e-3:ended seed1:ended" {
			t.Fatal(states(p), err)
		}
		judge := p.Runs[0].Dir
		if err := os.RemoveAll(filepath.Join(judge, "checkpoints")); err != nil { // as of a record
			t.Fatal(err)
		}
		if err := os.RemoveAll(p.Runs[1].Dir); err != nil {
			t.Fatal(err)
		}
		change(t, judge, name, damage)
		before, err := os.ReadFile(filepath.Join(judge, name))
		if err != nil {
			t.Fatal(err)
		}
		p = again(t, p)
		if err := p.Execute(t.Context(), Options{}); err != nil {
			t.Fatal(err)
		}
		if states(p) != "choose/seed9-lr1e-3:failed seed1:failed" || !strings.Contains(p.Runs[0].Failure, "its record is damaged: "+judge) || !strings.Contains(p.Runs[1].Failure, "nothing is chosen without") {
			t.Errorf("%s: %s: %s; %s", name, states(p), p.Runs[0].Failure, p.Runs[1].Failure)
		}
		if after, err := os.ReadFile(filepath.Join(judge, name)); err != nil || string(after) != string(before) {
			t.Errorf("%s was changed: %v", name, err)
		}
	}
}

// interrupted makes a plan's first run as far as its first step.
func interrupted(t *testing.T, p *Plan) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	if err := p.Execute(ctx, Options{Observe: func(e Event) {
		if e.Kind == Step {
			cancel()
		}
	}}); !errors.Is(err, train.ErrInterrupted) {
		t.Fatal(err)
	}
}

// A record of a run that was interrupted has not ended, whatever its summary says of figures.
func TestTakeOfWhatWasInterrupted(t *testing.T) {
	const text = "set: {train.epochs: 2, train.checkpoint_every: 1}\ngrid: {train.seed: [1]}"
	there, here := planned(t, text), planned(t, text)
	interrupted(t, there)
	interrupted(t, here)
	if err := record.WriteFailure(there.Runs[0].Dir, errors.New("no room")); err != nil {
		t.Fatal(err)
	}
	records := filepath.Join(t.TempDir(), "records.tar.gz")
	if count, err := (Plans{again(t, there)}).Records(records); err != nil || count != 1 {
		t.Fatal(count, err)
	}
	count, notes, err := Plans{again(t, here)}.Take(records)
	if err != nil || count != 0 || len(notes) != 1 || !strings.Contains(notes[0], "was begun here and has not ended there") {
		t.Error(count, notes, err)
	}
	if newest, err := train.NewestCheckpoint(here.Runs[0].Dir); err != nil || newest == "" {
		t.Error("its checkpoint is gone", err)
	}

	// Where nothing was begun it is a failure to be tried again, with what this machine has.
	change(t, there.Runs[0].Dir, "config.yaml", func(text string) string {
		return strings.Replace(text, "device: cpu", "device: cuda", 1)
	})
	if _, err := (Plans{again(t, there)}).Records(records); err != nil {
		t.Fatal(err)
	}
	fresh := planned(t, text)
	if count, notes, err := (Plans{fresh}).Take(records); err != nil || count != 1 {
		t.Fatal(count, notes, err)
	}
	whole := planned(t, text)
	for _, p := range []*Plan{fresh, whole} {
		p.Began = time.Now().Add(time.Second)
		if err := p.Execute(t.Context(), Options{}); err != nil {
			t.Fatal(err)
		}
	}
	sameRuns(t, fresh, whole)

	// What ended there, and was damaged since, is left out.
	change(t, whole.Runs[0].Dir, train.TimingsFile, func(string) string { return "no event\n" })
	archive := filepath.Join(t.TempDir(), "damaged.tar.gz")
	packRecords(t, archive, whole.Runs[0].Dir)
	if count, notes, err := (Plans{planned(t, text)}).Take(archive); err != nil || count != 0 || len(notes) != 1 || !strings.HasPrefix(notes[0], "0 is left out: 0/timings.jsonl:1: ") {
		t.Error(count, notes, err)
	}
}

// A run that goes on takes over what the file says by now of keys that change no number.
func TestResumedRunTakesNeutralKeys(t *testing.T) {
	const text = "grid: {train.seed: [1]}\nset: {train.epochs: 2, train.checkpoint_every: 1"
	file := written(t, text+"}")
	e, err := Read(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := e.Plan()
	if err != nil {
		t.Fatal(err)
	}
	interrupted(t, p)
	change(t, filepath.Dir(file), filepath.Base(file), func(s string) string {
		return strings.Replace(s, "checkpoint_every: 1}", "checkpoint_every: 1, run.predictions: true, threads: 1}", 1)
	})
	p, _, err = execute(t, file, Options{})
	if err != nil || p.Runs[0].State != Ended {
		t.Fatal(states(p), err)
	}
	ended, err := record.Read(p.Runs[0].Dir)
	if err != nil || !ended.Config.Run.Predictions || ended.Config.Threads != 1 || ended.Config.Run.Dir != p.Runs[0].Dir {
		t.Errorf("%+v, %d threads, %v", ended.Config.Run, ended.Config.Threads, err)
	}
}

// A run that ends its process again and again does so to no more than two of them.
func TestRunThatEndsItsProcess(t *testing.T) {
	p := planned(t, "set: {train.max_steps: 2}\ngrid: {train.seed: [1, 2]}")
	if err := p.Refresh(); err != nil {
		t.Fatal(err)
	}
	if err := p.Runs[0].request(); err != nil {
		t.Fatal(err)
	}
	for range mostAttempts { // as a killed process leaves it
		lock, err := p.lock(p.Runs[0])
		if err != nil {
			t.Fatal(err)
		}
		w := &worker{plan: p, options: Options{Observe: func(Event) {}}}
		func() {
			defer func() { _ = recover() }()
			_ = w.attempt(t.Context(), p.Runs[0], lock) // without a session
		}()
		lock.Close()
	}
	p = again(t, p)
	if err := p.Execute(t.Context(), Options{}); err != nil || states(p) != "seed1:failed seed2:ended" || !strings.Contains(p.Runs[0].Failure, "ended without a word, 2 times") {
		t.Error(states(p), p.Runs[0].Failure, err)
	}
	if err := os.WriteFile(filepath.Join(p.Dir, "notes.txt"), nil, 0o644); err != nil { // which is no run
		t.Fatal(err)
	}
	p = again(t, p)
	p.Began = time.Now().Add(time.Second)
	if err := p.Execute(t.Context(), Options{}); err != nil || states(p) != "seed1:ended seed2:ended" || len(p.Notes) > 0 {
		t.Error(states(p), p.Notes, err)
	}
}

// Of two folders of GLUE one would be packed in the other's place.
func TestPackHasOneGLUE(t *testing.T) {
	other := filepath.Join(t.TempDir(), "glue")
	if err := os.CopyFS(other, os.DirFS("testdata/glue")); err != nil {
		t.Fatal(err)
	}
	p := planned(t, "runs: [{train.seed: 1}, {train.seed: 2, data.glue: "+other+"}]")
	_, err := Plans{p}.Pack(t.Context(), filepath.Join(t.TempDir(), "packed.tar.gz"), os.Args[0], Options{})
	if err == nil || !strings.Contains(err.Error(), "an archive has one folder of GLUE") {
		t.Error(err)
	}
}
