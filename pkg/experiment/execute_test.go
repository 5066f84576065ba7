package experiment

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"math/rand/v2"
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

// execute makes the runs of a file and returns the plan and what was told.
func execute(t *testing.T, file string, o Options) (*Plan, []Event, error) {
	t.Helper()
	e, err := Read(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := e.Plan()
	if err != nil {
		t.Fatal(err)
	}
	var told []Event
	hear := o.Observe
	o.Observe = func(e Event) {
		told = append(told, e)
		if hear != nil {
			hear(e)
		}
	}
	err = p.Execute(t.Context(), o)
	return p, told, err
}

func states(p *Plan) string {
	var all []string
	for _, r := range p.Runs {
		all = append(all, r.Name+":"+string(r.State))
	}
	return strings.Join(all, " ")
}

// What is done is not done again, whatever the file says besides, and a run that fails is
// a row with its error.
func TestExecuteGoesOn(t *testing.T) {
	file := written(t, `
set: {train.max_steps: 3}
runs:
  - {adapter.method: metatt4d}
  - {adapter.method: lora, adapter.budget: 1}
grid: {train.seed: [1, 2]}
`)
	p, _, err := execute(t, file, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := states(p); got != "metatt4d-seed1:ended metatt4d-seed2:ended lora-budget1-seed1:failed lora-budget1-seed2:failed" {
		t.Fatal(got)
	}
	if r := p.Runs[2]; !strings.Contains(r.Failure, "adapter.budget") || p.Runs[0].Summary.Steps != 3 {
		t.Errorf("%q, %v", r.Failure, p.Runs[0].Summary)
	}
	first := modified(t, filepath.Join(p.Runs[0].Dir, run.SummaryFile))

	// Another question: other names, more seeds, no run that fails; keys that change no
	// number.
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.NewReplacer("  - {adapter.method: lora, adapter.budget: 1}", "  - {adapter.method: metatt4d, train.lr: 2e-3}", "[1, 2]", "[2, 1, 3]",
		"max_steps: 3", "max_steps: 3, train.checkpoint_every: 1, run.log_every: 7, threads: 1").Replace(string(text))
	if err := os.WriteFile(file, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
	p, told, err := execute(t, file, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var made []string
	for _, e := range told {
		if e.Kind == Began {
			made = append(made, e.Run)
		}
	}
	if got := strings.Join(made, " "); got != "metatt4d-seed3 metatt4d-lr2e-3-seed2 metatt4d-lr2e-3-seed1 metatt4d-lr2e-3-seed3" {
		t.Error(got)
	}
	if modified(t, filepath.Join(p.Runs[1].Dir, run.SummaryFile)) != first {
		t.Error("a run was made again")
	}
}

func modified(t *testing.T, path string) time.Time {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime()
}

// A failed run is tried again the next time, not in the same.
func TestFailedRunsAreTriedAgain(t *testing.T) {
	file := written(t, "set: {train.max_steps: 2, data.glue: "+filepath.Join(t.TempDir(), "glue")+"}\ngrid: {train.seed: [1]}")
	p, _, err := execute(t, file, Options{})
	if err != nil || p.Runs[0].State != Failed {
		t.Fatal(err, states(p))
	}
	glue, err := filepath.Abs("testdata/glue")
	if err != nil {
		t.Fatal(err)
	}
	e, err := Read(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(glue, e.Set[1].Text); err != nil {
		t.Fatal(err)
	}
	if p, _, err = execute(t, file, Options{}); err != nil || p.Runs[0].State != Ended {
		t.Fatal(err, states(p), p.Runs[0].Failure)
	}
	if _, err := os.Stat(filepath.Join(p.Runs[0].Dir, record.FailureFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Error("its error is still there")
	}
}

// The values with the best mean are chosen, and the runs proper have them.
func TestChoice(t *testing.T) {
	file := written(t, `
set: {train.epochs: 2}
grid: {train.seed: [1, 2]}
choose: {values: {train.lr: [1e-9, 5e-3, 1e-2]}, on: {train.seed: [5, 6]}}
`)
	p, told, err := execute(t, file, Options{})
	if err != nil {
		t.Fatal(err)
	}
	means := map[string]float64{}
	best := ""
	for _, r := range p.Runs[:6] {
		key := r.Settings[len(r.Settings)-1].Text
		means[key] += *r.Summary.Best.Value / 2
	}
	for _, key := range []string{"1e-9", "5e-3", "1e-2"} {
		if best == "" || means[key] > means[best] {
			best = key
		}
	}
	for _, r := range p.Runs[6:] {
		if r.State != Ended || r.Config.Train.LR != p.Runs[6].Config.Train.LR {
			t.Errorf("%s: %s, lr %g", r.Name, r.State, r.Config.Train.LR)
		}
	}
	notes := ""
	for _, e := range told {
		if e.Kind == Note && e.Run == "" {
			notes += e.Text + "\n"
		}
	}
	if !strings.Contains(notes, "all runs: chosen train.lr="+best) {
		t.Errorf("means %v: %s", means, notes)
	}
}

// Where nothing can be chosen, the runs proper fail with that.
func TestNoChoice(t *testing.T) {
	p, _, err := execute(t, written(t, `
set: {adapter.budget: 1}
grid: {train.seed: [1]}
choose: {values: {train.lr: [1e-3]}, on: {train.seed: [5]}}
`), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r := p.Runs[1]; r.State != Failed || !strings.Contains(r.Failure, "nothing could be chosen") {
		t.Errorf("%s: %s", r.State, r.Failure)
	}
}

// An interrupted experiment goes on within its run, and ends as one that was left alone.
func TestInterruptedExperiment(t *testing.T) {
	const text = "set: {train.epochs: 3, train.checkpoint_every: 2}\ngrid: {adapter.method: [metatt4d, lora], train.seed: [1, 2]}"
	whole, _, err := execute(t, written(t, text), Options{})
	if err != nil {
		t.Fatal(err)
	}
	file := written(t, text)
	e, err := Read(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := e.Plan()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	runs := 0
	err = p.Execute(ctx, Options{Observe: func(e Event) {
		if e.Kind == Began {
			runs++
		}
		if e.Kind == Step && runs == 2 {
			cancel()
		}
	}})
	if !errors.Is(err, train.ErrInterrupted) {
		t.Fatal(err)
	}
	p, _, err = execute(t, file, Options{})
	if err != nil {
		t.Fatal(err)
	}
	sameRuns(t, p, whole)

	// At the time that is given nothing is begun any more.
	p, _, err = execute(t, written(t, text), Options{Stop: time.Now().Add(-time.Second)})
	if !errors.Is(err, ErrStopped) || strings.Contains(states(p), string(Ended)) {
		t.Errorf("%v, %s", err, states(p))
	}
}

func sameRuns(t *testing.T, got, want *Plan) {
	t.Helper()
	for i, r := range got.Runs {
		a, err := os.ReadFile(filepath.Join(r.Dir, train.MetricsFile))
		b, other := os.ReadFile(filepath.Join(want.Runs[i].Dir, train.MetricsFile))
		if err != nil || other != nil || !bytes.Equal(a, b) {
			t.Errorf("%s: its metrics are others (%v, %v)", r.Name, err, other)
		}
	}
}

// Processes that share an experiment and are killed at any moment lose no run that has
// ended; those that come after them end with the numbers of one that was left alone.
func TestKilledExperiment(t *testing.T) {
	const text = "set: {train.epochs: 3, train.checkpoint_every: 1}\ngrid: {adapter.method: [metatt4d, lora, head], train.seed: [1, 2]}\n" +
		"choose: {values: {train.lr: [1e-3, 5e-3]}, on: {train.seed: [9]}}"
	whole, _, err := execute(t, written(t, text), Options{})
	if err != nil {
		t.Fatal(err)
	}
	file := written(t, text)
	random := rand.New(rand.NewPCG(3, 0))
	ended := map[string]time.Time{}
	kills := 0
	for range 10 {
		processes := make([]*exec.Cmd, 2)
		for i := range processes {
			processes[i] = exec.Command(os.Args[0])
			processes[i].Env = append(os.Environ(), executed+"="+file)
			if err := processes[i].Start(); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Duration(200+random.IntN(1500)) * time.Millisecond)
		for _, cmd := range processes {
			_ = cmd.Process.Kill()
			if cmd.Wait() != nil {
				kills++
			}
		}
		dirs, err := record.Find(filepath.Join(filepath.Dir(file), "runs"))
		if err != nil {
			continue // none yet
		}
		for _, dir := range dirs {
			r, err := record.Read(dir)
			if err != nil {
				t.Fatal(err)
			}
			summary := filepath.Join(dir, run.SummaryFile)
			if before, known := ended[dir]; known && !modified(t, summary).Equal(before) {
				t.Errorf("%s was made again", dir)
			}
			if r.State == record.Ended {
				ended[dir] = modified(t, summary)
			}
		}
	}
	if kills == 0 {
		t.Error("no process was killed: the test must be made faster")
	}
	p, _, err := execute(t, file, Options{})
	if err != nil {
		t.Fatal(err)
	}
	sameRuns(t, p, whole)
}

// Processes pass their events on, and say when one of them is lost.
func TestProcesses(t *testing.T) {
	file := written(t, "set: {train.max_steps: 4}\ngrid: {train.seed: [1, 2, 3]}")
	command := func() *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), executed+"="+file)
		return cmd
	}
	over := map[string]int{}
	err := Processes(t.Context(), []*exec.Cmd{command(), command()}, func(e Event) {
		if e.Kind == Over && e.State == Ended && e.Value != nil {
			over[e.Run]++
		}
	})
	if err != nil || len(over) != 3 || over["seed1"]+over["seed2"]+over["seed3"] != 3 {
		t.Errorf("%v %v", err, over)
	}
	err = Processes(t.Context(), []*exec.Cmd{exec.Command("sh", "-c", "kill -9 $$"), command()}, func(Event) {})
	if err == nil || !strings.Contains(err.Error(), "ended early") {
		t.Error(err)
	}
	if err := Processes(t.Context(), []*exec.Cmd{exec.Command("echo", "no event")}, func(Event) {}); err == nil || !strings.Contains(err.Error(), `says "no event"`) {
		t.Error(err)
	}
}

// Nothing is written where an experiment is only described.
func TestDescribe(t *testing.T) {
	p := planned(t, `
set: {train.epochs: 2}
grid: {adapter.method: [metatt4d, lora], train.seed: [1, 2]}
choose: {values: {train.lr: [1e-3, 5e-3]}, on: {train.seed: [9]}}
runs: [{adapter.rank: 2}, {adapter.budget: 1}]
`)
	all, err := p.Describe(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 8 { // each method in each of the list's, choosing and proper
		t.Fatalf("%d", len(all))
	}
	for _, d := range all {
		name := d.Runs[0].Name
		if wrong := strings.Contains(name, "budget1"); (d.Err != nil) != wrong || !wrong && (d.Seconds <= 0 || d.Plan.Steps == 0) || len(d.Runs) != 2 {
			t.Errorf("%s: %v, %g s, %d runs", name, d.Err, d.Seconds, len(d.Runs))
		}
	}
	if _, err := os.Stat(p.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is there", p.Dir)
	}
	// What is chosen may decide how much is trained.
	p = planned(t, "grid: {train.seed: [1]}\nchoose: {values: {adapter.rank: [2, 4], train.lr: [1e-3, 5e-3]}, on: {train.seed: [9]}}")
	if all, err = p.Describe(t.Context(), Options{}); err != nil || len(all) != 3 || len(all[0].Runs) != 2 || all[0].Plan.AdapterParams == all[1].Plan.AdapterParams {
		t.Errorf("%d of them, %v", len(all), err)
	}
}

func TestSlurmScript(t *testing.T) {
	p := planned(t, "grid: {train.seed: [1, 2]}\nslurm: {options: {partition: gpu, time: \"1:00:00\", gres: \"gpu:1\", output: x.log}, setup: \"module load cuda\"}")
	if err := p.Refresh(); err != nil {
		t.Fatal(err)
	}
	script := p.SlurmScript([]string{"/opt/fine tune", "experiment", "-c", "it's.yaml"}, time.Unix(5, 0))
	for _, want := range []string{"--job-name=question\n", "--array=0-1\n", "--partition=gpu\n", "--time=1:00:00\n", "--gres=gpu:1\n", "--output=x.log\n", "module load cuda\n",
		`exec srun --kill-on-bad-exit=1 '/opt/fine tune' experiment -c 'it'\''s.yaml' --began=5000000000` + "\n"} {
		if !strings.Contains(script, want) {
			t.Errorf("no %q in\n%s", want, script)
		}
	}
	t.Setenv("PATH", t.TempDir())
	if _, _, err := p.Submit(t.Context(), script); err == nil || !strings.Contains(err.Error(), "sbatch is not here") {
		t.Error(err)
	}
}

func TestEventsSurvive(t *testing.T) {
	value := 0.5
	want := Event{Kind: Over, Run: "a", State: Ended, Metric: "accuracy", Value: &value, Seconds: 1.5}
	var out bytes.Buffer
	Tell(&out)(want)
	var got Event
	if err := hear(&out, func(e Event) { got = e }); err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(want)
	if b, _ := json.Marshal(got); !bytes.Equal(a, b) {
		t.Errorf("%s, want %s", b, a)
	}
}
