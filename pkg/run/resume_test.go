package run_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/train"
)

// watcher calls at after everything that it is told.
type watcher struct{ at func(what string) }

func (w watcher) Begin(train.BeginInfo) { w.at("begin") }
func (w watcher) Step(train.StepInfo)   { w.at("step") }
func (w watcher) Eval(train.EvalInfo)   { w.at("eval") }
func (w watcher) Sweep(train.SweepInfo) { w.at("sweep") }
func (w watcher) Checkpoint(string)     { w.at("checkpoint") }
func (watcher) Note(string)             {}

// keptFiles are what a run that was resumed has in common with one that was left alone.
var keptFiles = []string{
	train.MetricsFile, "adapter/best/adapter_config.json", "adapter/best/adapter_model.safetensors",
	"adapter/last/adapter_config.json", "adapter/last/adapter_model.safetensors",
}

func sameFiles(t *testing.T, what, got, want string) bool {
	t.Helper()
	same := true
	files := keptFiles
	for _, file := range []string{"adapter/best/" + train.PredictionsFile, train.PredictionsFile} {
		if _, err := os.Stat(filepath.Join(want, file)); err == nil {
			files = append(slices.Clone(files), file)
		}
	}
	for _, file := range files {
		a, err := os.ReadFile(filepath.Join(got, file))
		b, err2 := os.ReadFile(filepath.Join(want, file))
		if errors.Join(err, err2) != nil || !bytes.Equal(a, b) {
			t.Errorf("%s: %s differs (%v)", what, file, errors.Join(err, err2))
			same = false
		}
	}
	return same
}

// debris is what stands in a run directory under names that begin with a point.
func debris(t *testing.T, dir string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasPrefix(filepath.Base(path), ".") {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A run that is killed at any moment goes on as if nothing had happened: with the best
// adapter of the checkpoint that it goes on from, and to the same end.
func TestKilledAnywhereEndsTheSame(t *testing.T) {
	for name, keys := range map[string][]string{
		"each epoch":    {},
		"every 5 steps": {"train.checkpoint_every=5", "train.keep_checkpoints=3"},
		"once":          {"train.checkpoint_every=23"},
		"predictions":   {"train.checkpoint_every=5", "run.predictions=true"},
		"sweep":         {"dmrg.mode=canonical", "dmrg.unit=step", "dmrg.at=9", "dmrg.maxdim=2", "train.checkpoint_every=6", "train.keep_checkpoints=2"},
	} {
		t.Run(name, func(t *testing.T) {
			keys := append([]string{"train.epochs=4", "train.best_metric=f1", "train.lr=5e-2"}, keys...)
			o := tiny(t, keys...)
			dir, aside := o.Config.Run.Dir, t.TempDir()
			var snapshots []string
			bestOf := map[int][]byte{} // by step
			steps := 0
			o.Observer = watcher{func(what string) {
				if what == "step" {
					if steps++; steps%4 != 0 { // enough of what is alike
						return
					}
				}
				snapshot := filepath.Join(aside, fmt.Sprintf("%02d-%s", len(snapshots), what))
				if err := os.CopyFS(snapshot, os.DirFS(dir)); err != nil {
					t.Error(err)
				}
				snapshots = append(snapshots, snapshot)
				if what != "eval" {
					return
				}
				lines := bytes.Split(bytes.TrimSpace(metrics(t, dir)), []byte("\n"))
				var e struct {
					Step int
					Best bool
				}
				if err := json.Unmarshal(lines[len(lines)-1], &e); err != nil {
					t.Error(err)
				}
				if e.Best {
					bestOf[e.Step], _ = os.ReadFile(filepath.Join(dir, keptFiles[2]))
				}
			}}
			whole, err := run.Train(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if len(bestOf) < 2 {
				t.Fatalf("%d evaluations were the best so far: nothing is seen of what comes between", len(bestOf))
			}
			for _, snapshot := range snapshots {
				what := filepath.Base(snapshot)
				ctx, cancel := context.WithCancel(t.Context())
				o.Observer = watcher{func(string) { cancel() }}
				s, err := run.Resume(ctx, snapshot, o)
				if !errors.Is(err, train.ErrInterrupted) {
					t.Fatalf("%s: %v", what, err)
				}
				best, err := os.ReadFile(filepath.Join(snapshot, keptFiles[2]))
				switch {
				case s.Best == nil && err == nil:
					t.Errorf("%s: adapter/best is of what the run does not know", what)
				case s.Best != nil && !bytes.Equal(best, bestOf[s.Best.Step]):
					t.Errorf("%s: adapter/best is not that of step %d (%v)", what, s.Best.Step, err)
				}
				o.Observer = silent{}
				if s, err = run.Resume(t.Context(), snapshot, o); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				sameFiles(t, what, snapshot, dir)
				if !slices.Equal(s.Last, whole.Last) || *s.Best.Value != *whole.Best.Value || s.Best.Step != whole.Best.Step || s.SamplesPerSecond <= 0 {
					t.Errorf("%s: summary %+v, want %+v", what, s, whole)
				}
				left := slices.DeleteFunc(debris(t, snapshot), func(path string) bool { return strings.Contains(path, ".best-") })
				if keeps := slices.ContainsFunc(keys, func(key string) bool { return strings.HasPrefix(key, "train.keep") }); !keeps {
					left = debris(t, snapshot)
				}
				if len(left) > 0 {
					t.Errorf("%s: left behind: %q", what, left)
				}
			}
		})
	}
}

// The summary of a run that is over, or between two evaluations, says what it would
// have said if the process had lived.
func TestSummaryOutlivesTheProcess(t *testing.T) {
	o := tiny(t, "train.checkpoint_every=3", "train.epochs=3")
	whole, err := run.Train(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	dir := o.Config.Run.Dir
	summary := filepath.Join(dir, "summary.json")
	if err := os.Remove(summary); err != nil {
		t.Fatal(err)
	}
	again, err := run.Resume(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(again.Last, whole.Last) || again.Last == nil || again.SamplesPerSecond != whole.SamplesPerSecond ||
		again.PeakBytes < whole.PeakBytes || math.Abs(again.Seconds-whole.Seconds) > 5 || *again.Best.Value != *whole.Best.Value {
		t.Errorf("a finished run: %+v, was %+v", again, whole)
	}
	if _, err := os.Stat(summary); err != nil {
		t.Error(err)
	}

	o = tiny(t, "train.epochs=3")
	dir = o.Config.Run.Dir
	interrupted(t, o, 8, 9) // after the evaluation of step 7
	text, err := os.ReadFile(filepath.Join(dir, "summary.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Last  map[string]float64
		Steps int
		Speed float64 `json:"samples_per_second"`
	}
	if err := json.Unmarshal(text, &s); err != nil || s.Steps != 9 || len(s.Last) != 2 || s.Speed <= 0 {
		t.Errorf("stopped between evaluations: %+v (%v) of %s", s, err, text)
	}
}

// A checkpoint of a build that knew less is gone on from: what it does not say counts
// from there.
func TestOlderStatesAreRead(t *testing.T) {
	whole, o := tiny(t), tiny(t)
	if _, err := run.Train(t.Context(), whole); err != nil {
		t.Fatal(err)
	}
	interrupted(t, o, 9)
	dir := o.Config.Run.Dir
	latest, err := train.LatestCheckpoint(dir)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(latest.Dir, "state.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var state map[string]any
	if err := json.Unmarshal(text, &state); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"last_evaluation", "trained", "lap", "peak_bytes"} {
		if state[key] == nil {
			t.Errorf("state.json has no %s: %s", key, text)
		}
		delete(state, key)
	}
	state["last"], state["events"] = map[string]any{"accuracy": 0.5}, 0 // as they were called
	if text, err = json.Marshal(state); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := run.Resume(t.Context(), dir, o)
	if err != nil || s.Last == nil || s.SamplesPerSecond <= 0 {
		t.Fatalf("%+v (%v)", s, err)
	}
	sameFiles(t, "older", dir, whole.Config.Run.Dir)
}

// What a killed save has left is gone after the next resume, but not while another
// process trains there.
func TestDebrisIsSweptUp(t *testing.T) {
	o := tiny(t, "train.max_steps=3")
	interrupted(t, o, 1)
	dir := o.Config.Run.Dir
	for _, path := range []string{
		".summary.json123456789", ".config.yaml1", ".environment.json22", "adapter/.partial-33/x", "adapter/last/.adapter_model.safetensors987",
		"checkpoints/.partial-44/state.json", "checkpoints/.partial-44/.state.json55",
	} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	before := len(debris(t, dir))
	f, err := os.Open(filepath.Join(dir, train.MetricsFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := run.Resume(t.Context(), dir, o); err == nil || !strings.Contains(err.Error(), "another process") || len(debris(t, dir)) != before {
		t.Errorf("%v, and %q", err, debris(t, dir))
	}
	f.Close()
	mine := filepath.Join(dir, ".mine7")
	if err := os.WriteFile(mine, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := run.Resume(t.Context(), dir, o); err != nil {
		t.Fatal(err)
	}
	if left := debris(t, dir); !slices.Equal(left, []string{mine}) {
		t.Errorf("left: %q", left)
	}
}

// A damaged newest checkpoint is an error that names the one before it, from which
// the run goes on when it is asked to, to the same end.
func TestDamagedCheckpoints(t *testing.T) {
	keys := []string{"train.checkpoint_every=2", "train.keep_checkpoints=3", "train.epochs=2"}
	whole := tiny(t, keys...)
	if _, err := run.Train(t.Context(), whole); err != nil {
		t.Fatal(err)
	}
	shorten := func(path string) error { return os.Truncate(path, 20) }
	for name, c := range map[string]struct {
		damage  map[string]func(string) error // of files of the run
		before  string                        // the checkpoint that is named
		unknown bool                          // to the file's own reader
	}{
		"moments":       {damage: map[string]func(string) error{"checkpoints/step-00000009/optimizer.safetensors": shorten}, before: "step-00000008"},
		"weights":       {damage: map[string]func(string) error{"checkpoints/step-00000009/adapter_model.safetensors": shorten}, before: "step-00000008"},
		"state":         {damage: map[string]func(string) error{"checkpoints/step-00000009/state.json": shorten}, before: "step-00000008"},
		"configuration": {damage: map[string]func(string) error{"checkpoints/step-00000009/adapter_config.json": os.Remove}, before: "step-00000008"},
		"two of three": {damage: map[string]func(string) error{
			"checkpoints/step-00000009/optimizer.safetensors": os.Remove, "checkpoints/step-00000008/state.json": shorten}, before: "step-00000006"},
		"all": {damage: map[string]func(string) error{
			"checkpoints/step-00000009/optimizer.safetensors": os.Remove, "checkpoints/step-00000008/state.json": shorten,
			"checkpoints/step-00000006/adapter_model.safetensors": shorten}},
		"of another shape": {damage: map[string]func(string) error{"checkpoints/step-00000009": func(dir string) error {
			return os.Rename(filepath.Join(dir, adapter.WeightsFile), filepath.Join(dir, "optimizer.safetensors"))
		}}, before: "step-00000008"},
		"a hook of another run": {damage: map[string]func(string) error{"checkpoints/step-00000009/state.json": func(path string) error {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(path, bytes.Replace(text, []byte("{"), []byte(`{"hooks": {"ranks": {"events": 1}},`), 1), 0o600)
		}}, before: "step-00000008"},
		"journal": {damage: map[string]func(string) error{train.MetricsFile: func(path string) error {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.Truncate(path, int64(bytes.LastIndexByte(text[:len(text)-1], '\n')+1))
		}}, before: "step-00000008"},
	} {
		t.Run(name, func(t *testing.T) {
			o := tiny(t, keys...)
			interrupted(t, o, 9)
			dir := o.Config.Run.Dir
			for file, damage := range c.damage {
				if err := damage(filepath.Join(dir, file)); err != nil {
					t.Fatal(err)
				}
			}
			want := filepath.Join(dir, "checkpoints", c.before) + ", which is whole, by --resume " + dir + " --from-previous"
			if c.before == "" {
				want = "no checkpoint before it can be read"
			}
			if _, err := run.Resume(t.Context(), dir, o); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("%v, want %q", err, want)
			}
			o.FromPrevious = true
			_, err := run.Resume(t.Context(), dir, o)
			if c.before == "" {
				if err == nil || !strings.Contains(err.Error(), "none that can be read") {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			sameFiles(t, name, dir, whole.Config.Run.Dir)
			names, err := os.ReadDir(filepath.Join(dir, "checkpoints"))
			if err != nil || len(names) != 3 || names[0].Name() != "step-00000010" {
				t.Errorf("checkpoints %v (%v), want the newest three", names, err)
			}
		})
	}
}

// The loss of a step is the task's; what an adapter adds to it stands beside it.
func TestPenaltyIsNotTheLoss(t *testing.T) {
	first := func(method string) (loss, penalty float64, told train.StepInfo) {
		o := tiny(t, "adapter.method="+method, "model.dropout=0", "train.max_steps=1")
		o.Observer = silent{step: func(s train.StepInfo) { told = s }}
		if _, err := run.Train(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		line, _, _ := bytes.Cut(metrics(t, o.Config.Run.Dir), []byte("\n"))
		var e struct{ Loss, Penalty float64 }
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		return e.Loss, e.Penalty, told
	}
	want, none, _ := first("head") // AdaLoRA's update is zero at the start
	got, penalty, told := first("adalora")
	if math.Abs(got-want) > 1e-5*want || math.Abs(told.Loss-want) > 1e-5*want || none != 0 {
		t.Errorf("loss %v, told %v, the task's is %v", got, told.Loss, want)
	}
	// ‖PᵀP - I‖ of P (12, 6) of deviation 0.02 is √6 (1 - 12·0.02²), but for what is
	// random in it, about a hundredth.
	if want := 0.5 * math.Sqrt(6) * (1 - 12*0.02*0.02); math.Abs(penalty-want) > 0.02*want || math.Abs(told.Penalty-penalty) > 1e-6 {
		t.Errorf("penalty %v, told %v, want about %v", penalty, told.Penalty, want)
	}
}
