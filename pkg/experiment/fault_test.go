package experiment

import (
	"context"
	"errors"
	"io/fs"
	"os"
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

// A folder that nothing can be written to, as on a full disk, is not left behind as nobody's.
func TestRequestThatCannotBeWritten(t *testing.T) {
	p := planned(t, "grid: {train.seed: [1]}")
	if err := p.Refresh(); err != nil {
		t.Fatal(err)
	}
	const longest = 4095 // of a path, which the folder's own has, and no file's in it
	dir := p.Dir
	for len(dir) < longest-1 {
		dir += "/" + strings.Repeat("x", min(200, longest-1-len(dir)))
	}
	p.Runs[0].Dir = dir
	w := &worker{plan: p, options: Options{Observe: func(Event) {}}, session: run.NewSession()}
	defer func() { w.session.Close() }()
	err := w.make(t.Context(), p.Runs[0])
	if _, left := os.Stat(p.Runs[0].Dir); err == nil || !errors.Is(left, fs.ErrNotExist) {
		t.Errorf("%v, and the folder: %v", err, left)
	}
}
