package experiment

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/record"
	"github.com/metatt/metatt/pkg/train"
)

// Records replace neither a run that goes on in another process nor, where they are of a
// failure, one that was begun.
func TestTakeLeavesWhatGoesOn(t *testing.T) {
	const text = "set: {train.epochs: 2, train.checkpoint_every: 1}\ngrid: {train.seed: [1, 2]}"
	there := planned(t, text)
	if err := there.Execute(t.Context(), Options{}); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(there.Runs[0].Dir, "summary.json")); err != nil {
		t.Fatal(err)
	}
	there = again(t, there)
	if err := record.WriteFailure(there.Runs[0].Dir, errors.New("no room")); err != nil {
		t.Fatal(err)
	}
	records := filepath.Join(t.TempDir(), "records.tar.gz")
	if count, err := (Plans{again(t, there)}).Records(records); err != nil || count != 2 {
		t.Fatal(count, err)
	}

	here := planned(t, text)
	ctx, cancel := context.WithCancel(t.Context())
	if err := here.Execute(ctx, Options{Observe: func(e Event) {
		if e.Kind == Step { // the first is always told
			cancel()
		}
	}}); !errors.Is(err, train.ErrInterrupted) {
		t.Fatal(err)
	}
	here = again(t, here)
	lock, err := here.lock(here.Runs[1])
	if err != nil {
		t.Fatal(err)
	}
	count, notes, err := Plans{again(t, here)}.Take(records)
	if err != nil || count != 0 || len(notes) != 2 || !strings.Contains(notes[0], "seed1 was begun here") || !strings.Contains(notes[1], "seed2 goes on in another process") {
		t.Error(count, notes, err)
	}
	if _, err := os.Stat(filepath.Join(here.Runs[0].Dir, "checkpoints")); err != nil {
		t.Error(err)
	}
	lock.Close()
	if count, _, err := (Plans{again(t, here)}).Take(records); err != nil || count != 1 {
		t.Error(count, err)
	}
	if count, notes, err := (Plans{again(t, here)}).Take(records); err != nil || count != 0 || len(notes) != 2 || notes[1] != "records that are here already: 1" {
		t.Error(count, notes, err)
	}
	metrics := filepath.Join(again(t, here).Runs[1].Dir, train.MetricsFile)
	kept, err := os.ReadFile(metrics)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(metrics, bytes.Replace(kept, []byte(":"), []byte(": "), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	if count, notes, err := (Plans{again(t, here)}).Take(records); err != nil || count != 0 || len(notes) != 2 || !strings.Contains(notes[1], "seed2 has ended here") {
		t.Error(count, notes, err)
	}
}

// A record without what was asked of it is left out, and said.
func TestTakeSaysWhatIsMissing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "records.tar.gz")
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	zip := gzip.NewWriter(out)
	archive := tar.NewWriter(zip)
	if err := writeEntry(archive, "run/summary.json", 2, 0o644, strings.NewReader("{}")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(archive.Close(), zip.Close(), out.Close()); err != nil {
		t.Fatal(err)
	}
	if count, notes, err := (Plans{planned(t, "")}).Take(file); err != nil || count != 0 || len(notes) != 1 || notes[0] != "run is left out: run: it has no "+requestedFile {
		t.Error(count, notes, err)
	}
}

// Several experiments go in one archive, and their records come back in one: runs of the same name are told apart, and
// one that two of them have is made and taken once.
func TestPackSeveral(t *testing.T) {
	first := planned(t, "set: {train.max_steps: 1}\ngrid: {train.seed: [1, 2]}")
	second := planned(t, "set: {train.max_steps: 2}\ngrid: {train.seed: [1]}\nruns: [{adapter.rank: 8}]")
	third := planned(t, "set: {train.max_steps: 1}\ngrid: {train.seed: [2, 3]}")
	third.Dir = first.Dir
	third = again(t, third)
	archive, records := filepath.Join(t.TempDir(), "packed.tar.gz"), filepath.Join(t.TempDir(), "records.tar.gz")
	if err := second.Execute(t.Context(), Options{}); err != nil { // it goes along as a record
		t.Fatal(err)
	}
	plans := Plans{first, second, third}
	if _, err := plans.Pack(t.Context(), archive, os.Args[0], Options{}); err != nil {
		t.Fatal(err)
	}
	there, places := packedPlans(t, filepath.Join(filepath.Dir(unpacked(t, archive)), plans.name()))
	if len(there) != 3 {
		t.Fatal(len(there))
	}
	for _, p := range there {
		if err := p.Execute(t.Context(), Options{Places: places}); err != nil {
			t.Fatal(err)
		}
	}
	if count, err := there.Records(records); err != nil || count != 4 {
		t.Error(count, err)
	}
	count, notes, err := plans.Take(records)
	if err != nil || count != 3 || len(notes) != 1 || notes[0] != "records that are here already: 1" {
		t.Error(count, notes, err)
	}
	for _, p := range plans {
		if got := states(again(t, p)); strings.Count(got, ":ended") != len(p.Runs) {
			t.Error(got)
		}
	}
}

// A packed experiment goes on where its folder was moved to.
func TestPackedFolderIsMoved(t *testing.T) {
	here := planned(t, "set: {train.epochs: 2, train.checkpoint_every: 1}\ngrid: {train.seed: [1]}")
	archive := filepath.Join(t.TempDir(), "packed.tar.gz")
	if _, err := (Plans{here}).Pack(t.Context(), archive, os.Args[0], Options{}); err != nil {
		t.Fatal(err)
	}
	folder := unpacked(t, archive)
	plan := func() (*Plan, *Places) {
		plans, places := packedPlans(t, folder)
		return plans[0], places
	}
	p, places := plan()
	ctx, cancel := context.WithCancel(t.Context())
	if err := p.Execute(ctx, Options{Places: places, Observe: func(e Event) {
		if e.Kind == Step {
			cancel()
		}
	}}); !errors.Is(err, train.ErrInterrupted) {
		t.Fatal(err)
	}
	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.Rename(folder, moved); err != nil {
		t.Fatal(err)
	}
	folder = moved
	p, places = plan()
	if err := p.Execute(t.Context(), Options{Places: places}); err != nil {
		t.Fatal(err)
	}
	if p = again(t, p); p.Runs[0].State != Ended {
		t.Errorf("%s: %s", states(p), p.Runs[0].Failure)
	}
}

// Of two records of one run the one that has ended counts, wherever it stands in the archive.
func TestTakeRatherWhatHasEnded(t *testing.T) {
	text := "set: {train.max_steps: 1}\ngrid: {train.seed: [1]}"
	there, failed := planned(t, text), planned(t, text)
	if err := there.Execute(t.Context(), Options{}); err != nil {
		t.Fatal(err)
	}
	if err := failed.Runs[0].request(); err != nil {
		t.Fatal(err)
	}
	if err := record.WriteFailure(failed.Runs[0].Dir, errors.New("no room")); err != nil {
		t.Fatal(err)
	}
	records := filepath.Join(t.TempDir(), "records.tar.gz")
	for _, plans := range []Plans{{again(t, failed), again(t, there)}, {again(t, there), again(t, failed)}} {
		if count, err := plans.Records(records); err != nil || count != 1 {
			t.Error(count, err)
		}
		here := planned(t, text)
		if count, notes, err := (Plans{here}).Take(records); err != nil || count != 1 {
			t.Error(count, notes, err)
		}
		if got := states(again(t, here)); got != "seed1:ended" {
			t.Error(got)
		}
	}
	// As two programs wrote them.
	for _, order := range [][]*Plan{{failed, there}, {there, failed}} {
		packRecords(t, records, order[0].Runs[0].Dir, order[1].Runs[0].Dir)
		here := planned(t, text)
		if count, notes, err := (Plans{here}).Take(records); err != nil || count != 1 {
			t.Error(count, notes, err)
		}
		if got := states(again(t, here)); got != "seed1:ended" {
			t.Error(got)
		}
	}
}

// packRecords writes an archive of records as they are, by their numbers.
func packRecords(t *testing.T, file string, dirs ...string) {
	t.Helper()
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	zip := gzip.NewWriter(out)
	archive := tar.NewWriter(zip)
	for i, dir := range dirs {
		err = errors.Join(err, eachRecordFile(dir, func(name, from string) error {
			return writeFile(archive, fmt.Sprintf("%d/%s", i, name), from, 0o644)
		}))
	}
	if err := errors.Join(err, archive.Close(), zip.Close(), out.Close()); err != nil {
		t.Fatal(err)
	}
}
