package run_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/run/runtest"
	"github.com/metatt/metatt/pkg/train"
)

// environmentOf is a run's environment.json.
func environmentOf(t *testing.T, dir string) (e run.Environment) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, run.EnvironmentFile))
	if err == nil {
		err = json.Unmarshal(text, &e)
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func names(files []run.File) (all []string) {
	for _, f := range files {
		all = append(all, f.Name)
	}
	return all
}

// A run records its program, its command line and what the files hold that decide its numbers; the same is known
// before it is trained.
func TestEnvironment(t *testing.T) {
	first := tiny(t, "train.max_steps=1")
	first.Command = []string{"finetune", "train", "-c", "x.yaml"}
	if _, err := run.Train(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	e := environmentOf(t, first.Config.Run.Dir)
	if e.Version != "test" || !slices.Equal(e.Command, first.Command) || e.Build.Go != runtime.Version() || len(e.Build.Executable) != 64 || e.Device != "cpu" || e.StartedAt.IsZero() {
		t.Errorf("got %+v", e)
	}
	if got, want := names(e.Inputs.Data), []string{"MRPC/train.tsv", "MRPC/dev.tsv"}; !slices.Equal(got, want) {
		t.Errorf("data %q, want %q", got, want)
	}
	if got := names(e.Inputs.Model); got[0] != "config.json" || got[len(got)-1] != "model.safetensors" || !slices.Contains(got, "vocab.txt") {
		t.Errorf("model %q", got)
	}
	for _, f := range slices.Concat(e.Inputs.Model, e.Inputs.Data) {
		if f.Bytes == 0 || len(f.SHA256) != 64 {
			t.Errorf("%+v", f)
		}
	}
	second := tiny(t, "train.max_steps=1", "adapter.init_from="+first.Config.Run.Dir)
	now, err := run.ReadEnvironment(t.Context(), second)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := names(now.Inputs.Start), []string{"adapter_config.json", "adapter_model.safetensors"}; !slices.Equal(got, want) {
		t.Errorf("start %q, want %q", got, want)
	}
	if !reflect.DeepEqual(now.Inputs.Model, e.Inputs.Model) || !reflect.DeepEqual(now.Inputs.Data, e.Inputs.Data) || now.Build != e.Build || now.Model != e.Model {
		t.Errorf("before the run %+v, recorded %+v", now, e)
	}
	if _, err := run.Train(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	if recorded := environmentOf(t, second.Config.Run.Dir); !reflect.DeepEqual(recorded.Inputs, now.Inputs) {
		t.Errorf("before the run %+v, recorded %+v", now.Inputs, recorded.Inputs)
	}
}

// Own files are recorded under their keys, the built-in task has none, a file that two tasks read is there once.
func TestEnvironmentOfData(t *testing.T) {
	const rows = "text,label\nthe king,a\na cat,b\n"
	own := runtest.Files(t, map[string]string{"x.csv": rows, "y.csv": rows + "a bell,a\n"})
	for _, c := range []struct{ keys, want []string }{
		{[]string{"task=custom", "data.train=" + own + "/x.csv", "data.dev=" + own + "/y.csv"}, []string{"data.train", "data.dev"}},
		{[]string{"task=custom", "data.train=" + own + "/x.csv", "data.dev=" + own + "/x.csv", "data.test=" + own + "/y.csv"}, []string{"data.train", "data.dev", "data.test"}},
		{[]string{"task=sample"}, nil},
		{[]string{"task=mnli", "data.train_subset=true", "data.glue=" + runtest.MNLI(t)}, []string{"MNLI/train_subset.tsv", "MNLI/dev_matched.tsv"}},
	} {
		e, err := run.ReadEnvironment(t.Context(), tiny(t, c.keys...))
		if err != nil || !slices.Equal(names(e.Inputs.Data), c.want) {
			t.Errorf("%q: %q (%v), want %q", c.keys, names(e.Inputs.Data), err, c.want)
		}
	}
	if _, err := run.ReadEnvironment(t.Context(), tiny(t, "task=mnli", "data.glue="+runtest.MNLI(t))); err == nil {
		t.Error("a training file that is not there is recorded")
	}
}

// A run that goes on with other data says so and records it, once.
func TestResumedWithOther(t *testing.T) {
	glue := filepath.Join(t.TempDir(), "glue")
	if err := os.CopyFS(glue, os.DirFS("testdata/glue")); err != nil {
		t.Fatal(err)
	}
	o := tiny(t, "data.glue="+glue)
	interrupted(t, o, 3)
	dir := o.Config.Run.Dir
	first := environmentOf(t, dir)
	resume := func(step int) (said []string) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		o.Observer = noting{silent{step: func(s train.StepInfo) {
			if s.Step == step {
				cancel()
			}
		}}, &said}
		if _, err := run.Resume(ctx, dir, o); err != nil && !errors.Is(err, train.ErrInterrupted) {
			t.Fatal(err)
		}
		return slices.DeleteFunc(said, func(text string) bool { return !strings.HasPrefix(text, "the run goes on with another ") })
	}
	if said := resume(5); len(said) > 0 || len(environmentOf(t, dir).Resumed) > 0 {
		t.Errorf("nothing changed: %q", said)
	}
	replace(t, filepath.Join(glue, "MRPC/dev.tsv"), "king", "cat")
	if said := resume(7); len(said) != 1 || !strings.HasPrefix(said[0], "the run goes on with another data MRPC/dev.tsv: ") {
		t.Errorf("said %q", said)
	}
	if said := resume(9); len(said) > 0 {
		t.Errorf("said again %q", said)
	}
	e := environmentOf(t, dir)
	if len(e.Resumed) != 1 || !reflect.DeepEqual(e.Inputs, first.Inputs) || e.Resumed[0].Inputs.Data[1] == first.Inputs.Data[1] {
		t.Errorf("%+v", e)
	}
	if all := e.AllDifferences(first); len(all) != 1 || all[0].What != "data MRPC/dev.tsv" {
		t.Errorf("%+v", all)
	}
	if err := os.WriteFile(filepath.Join(dir, run.EnvironmentFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	resume(11) // goes on all the same
}

// What tells two programs, and what does not.
func TestDifferencesOfPrograms(t *testing.T) {
	build := func(commit string, modified bool, executable string) run.Environment {
		return run.Environment{Version: "v1", Build: run.Build{Commit: commit, Modified: modified, Go: "go1", Executable: executable}}
	}
	for _, c := range []struct {
		then, now run.Environment
		differ    bool
	}{
		{build("a", false, "1"), build("a", false, "1"), false},
		{build("a", false, "1"), build("a", false, "2"), false}, // of the same sources
		{build("a", true, "1"), build("a", true, "1"), false},
		{build("a", true, "1"), build("a", true, "2"), true},
		{build("a", false, "1"), build("b", false, "2"), true},
		{build("", false, "1"), build("", false, "1"), false},
		{build("", false, "1"), build("", false, "2"), true},
		{build("a", false, ""), build("a", false, "1"), false},
		{run.Environment{}, build("a", false, "1"), true},
	} {
		if got := c.then.Differences(c.now); len(got) > 0 != c.differ || c.differ && got[0].What != "program" {
			t.Errorf("%+v and %+v: %+v", c.then.Build, c.now.Build, got)
		}
	}
}
