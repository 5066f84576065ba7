package experiment

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/metatt/metatt/pkg/record"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/train"
)

// A run that failed in an earlier start is tried again before anything is chosen.
func TestChoiceWaitsForWhatFailedBefore(t *testing.T) {
	const text = "set: {train.max_steps: 8}\ngrid: {train.seed: [1]}\nchoose: {values: {train.lr: [1e-9, 1e-2]}, on: {train.seed: [9]}}"
	whole, _, err := execute(t, written(t, text), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for judge := range 2 { // one of them is better
		file := written(t, text)
		p := planned(t, text)
		p.Dir = filepath.Join(filepath.Dir(file), "runs")
		failed := *p.Runs[judge]
		failed.Dir = filepath.Join(p.Dir, failed.Name)
		if err := errors.Join(failed.request(), record.WriteFailure(failed.Dir, errors.New("no room"))); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond) // the clock of files is coarse
		p, _, err := execute(t, file, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := p.Runs[2].Config.Train.LR, whole.Runs[2].Config.Train.LR; got != want {
			t.Errorf("lr %g without the run that failed, want %g", got, want)
		}
	}
}

// A run that is interrupted before its first step has not failed.
func TestInterruptedBeforeARunBegins(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := planned(t, "grid: {train.seed: [1]}")
	if err := p.Execute(ctx, Options{}); !errors.Is(err, train.ErrInterrupted) {
		t.Error(err)
	}
	p = planned(t, "grid: {train.seed: [1]}")
	if err := p.Execute(t.Context(), Options{Stop: time.Now().Add(-time.Second)}); !errors.Is(err, ErrStopped) {
		t.Error(err)
	}
	if _, err := os.Stat(p.Dir); !os.IsNotExist(err) {
		t.Error("something was begun")
	}
	// While it sums up what weights and data hold; what is encoded is kept from the run before.
	p = planned(t, "set: {train.max_steps: 2}\ngrid: {train.seed: [1, 2]}")
	if err := p.Refresh(); err != nil {
		t.Fatal(err)
	}
	w := &worker{plan: p, options: Options{Observe: func(Event) {}}, session: run.NewSession()}
	defer func() { w.session.Close() }()
	if err := w.make(t.Context(), p.Runs[0]); err != nil {
		t.Fatal(err)
	}
	if err := w.make(ctx, p.Runs[1]); err != nil {
		t.Fatal(err)
	}
	if err := p.Refresh(); err != nil || p.Runs[1].State == Failed {
		t.Errorf("%s, %v: %s", states(p), err, p.Runs[1].Failure)
	}
}

// The clock of the file system may differ from the machine's: what failed here is not
// tried again all the same.
func TestClocksThatDiffer(t *testing.T) {
	p := planned(t, "set: {adapter.budget: 1}\ngrid: {train.seed: [1, 2]}")
	p.Began = time.Now().Add(time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tries := 0
	err := p.Execute(ctx, Options{Observe: func(e Event) {
		if e.Kind == Over {
			tries++
		}
	}})
	if err != nil || tries != 2 {
		t.Errorf("%d tries, %v", tries, err)
	}
}

// A damaged failure.json is a run that failed, not the end of the experiment.
func TestDamagedFailure(t *testing.T) {
	p := planned(t, "set: {train.max_steps: 2}\ngrid: {train.seed: [1]}")
	if err := p.Runs[0].request(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.Runs[0].Dir, record.FailureFile), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := p.Refresh(); err != nil || p.Runs[0].State != Failed || !strings.Contains(p.Runs[0].Failure, record.FailureFile+": ") {
		t.Fatal(err, states(p), p.Runs[0].Failure)
	}
}

// What is not an event is an error, and does not stop the process that says it.
func TestProcessesThatTalk(t *testing.T) {
	over := 0
	chatter := exec.Command("sh", "-c", "echo hello; i=0; while [ $i -lt 20000 ]; do echo '{\"kind\":\"over\"}'; i=$((i+1)); done; head -c 2000000 /dev/zero; exit 0")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := Processes(ctx, []*exec.Cmd{chatter}, func(e Event) {
		if e.Kind == Over {
			over++
		}
	})
	if err == nil || !strings.Contains(err.Error(), `says "hello"`) || over != 20000 {
		t.Errorf("%d events, %v", over, err)
	}
}

// Words with spaces are one word to sbatch.
func TestSlurmQuotes(t *testing.T) {
	p := planned(t, "grid: {train.seed: [1]}\nslurm: {options: {comment: a b, account: 'x\"y'}}")
	p.Dir = "/my runs/a"
	script := p.SlurmScript([]string{"finetune"}, time.Unix(0, 0))
	for _, want := range []string{`#SBATCH --output="/my runs/a/slurm/%A_%a.log"` + "\n", `#SBATCH --comment="a b"` + "\n", `#SBATCH --account="x\"y"` + "\n", "#SBATCH --array=0-0\n"} {
		if !strings.Contains(script, want) {
			t.Errorf("no %q in\n%s", want, script)
		}
	}
}

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
	if count, err := again(t, there).Records(records); err != nil || count != 2 {
		t.Fatal(count, err)
	}

	here := planned(t, text)
	ctx, cancel := context.WithCancel(t.Context())
	if err := here.Execute(ctx, Options{Observe: func(e Event) {
		if e.Kind == Step && e.Step > 1 {
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
	count, notes, err := again(t, here).Take(records)
	if err != nil || count != 0 || len(notes) != 2 || !strings.Contains(notes[0], "seed1 was begun here") || !strings.Contains(notes[1], "seed2 goes on in another process") {
		t.Error(count, notes, err)
	}
	if _, err := os.Stat(filepath.Join(here.Runs[0].Dir, "checkpoints")); err != nil {
		t.Error(err)
	}
	lock.Close()
	if count, _, err := again(t, here).Take(records); err != nil || count != 1 {
		t.Error(count, err)
	}
}

// again is the plan as another process has it.
func again(t *testing.T, p *Plan) *Plan {
	t.Helper()
	e := *p.Experiment
	fresh, err := e.Plan()
	if err == nil {
		err = fresh.Refresh()
	}
	if err != nil {
		t.Fatal(err)
	}
	return fresh
}

// A record without what was asked of it is an error that reads.
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
	if _, _, err := planned(t, "").Take(file); err == nil || err.Error() != file+": run: says not what was asked of it: it has no "+requestedFile {
		t.Error(err)
	}
}

// A folder that another experiment takes at the last moment stays its own.
func TestFolderTakenMeanwhile(t *testing.T) {
	p := planned(t, "set: {train.max_steps: 2}\ngrid: {train.seed: [1]}")
	if err := p.Refresh(); err != nil {
		t.Fatal(err)
	}
	other := planned(t, "grid: {train.seed: [1]}")
	other.Runs[0].Dir = p.Runs[0].Dir
	if err := other.Runs[0].request(); err != nil {
		t.Fatal(err)
	}
	w := &worker{plan: p, options: Options{Observe: func(Event) {}}, session: run.NewSession()}
	defer func() { w.session.Close() }()
	if err := w.make(t.Context(), p.Runs[0]); err != nil {
		t.Fatal(err)
	}
	p = again(t, p)
	if p.Runs[0].State != Ended || p.Runs[0].Dir != other.Runs[0].Dir+"-2" {
		t.Errorf("%s in %s", states(p), p.Runs[0].Dir)
	}
}

// The end of the process that started them, or of its ctx, lets processes save.
func TestLeash(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var notes []string
	listens := exec.Command("sh", "-c", `trap "" TERM; cat >/dev/null; echo '{"kind":"over","state":"stopped"}'`)
	dies := exec.Command("sh", "-c", "exit 7")
	stopped := 0
	err := Processes(ctx, []*exec.Cmd{listens, dies}, func(e Event) {
		if e.Kind == Note { // while the other goes on
			notes = append(notes, e.Text)
			cancel()
		}
		if e.State == Stopped {
			stopped++
		}
	})
	if !errors.Is(err, train.ErrInterrupted) || stopped != 1 || len(notes) != 1 || !strings.Contains(notes[0], "ended early: exit status 7") {
		t.Errorf("%v, %d stopped, %v", err, stopped, notes)
	}
	r, w := io.Pipe()
	leashed, cancel := Leash(t.Context(), r)
	defer cancel()
	if leashed.Err() != nil {
		t.Error("cancelled at once")
	}
	w.Close()
	<-leashed.Done()
}

// A packed experiment goes on where its folder was moved to.
func TestPackedFolderIsMoved(t *testing.T) {
	here := planned(t, "set: {train.epochs: 2, train.checkpoint_every: 1}\ngrid: {train.seed: [1]}")
	archive := filepath.Join(t.TempDir(), "packed.tar.gz")
	if _, err := here.Pack(t.Context(), archive, os.Args[0], Options{}); err != nil {
		t.Fatal(err)
	}
	folder := unpacked(t, archive)
	plan := func() (*Plan, *Places) {
		e, places, err := ReadPacked(folder)
		if err != nil {
			t.Fatal(err)
		}
		p, err := e.Plan()
		if err != nil {
			t.Fatal(err)
		}
		return p, places
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
