package run_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/place"
	"github.com/metatt/metatt/pkg/predict"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/train"
)

// A run that was started with relative paths is resumed, evaluated and predicted with
// in any folder, and says where it computed.
func TestRunsDoNotDependOnTheFolder(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	parent := t.TempDir()
	if err := os.Mkdir(filepath.Join(parent, "start"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(parent, "start"), os.DirFS("testdata")); err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Join(parent, "start"))
	own := "text\tlabel\n" + strings.Repeat("the king sees\tyes\na cat\tno\n", 8)
	for _, name := range []string{"train.tsv", "dev.tsv"} {
		if err := os.WriteFile(name, []byte(own), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	relative := []string{"model.path=tiny-bert", "device=auto", "train.max_steps=4", "train.checkpoint_every=1"}
	for name, c := range map[string]struct {
		keys     []string
		standard bool // GLUE stands in the standard folder, and no key names it
	}{
		"glue":            {keys: []string{"data.glue=./glue"}},
		"GLUE by default": {keys: []string{"data.glue="}, standard: true},
		"own data":        {keys: []string{"task=custom", "data.glue=", "data.train=train.tsv", "data.dev=../start/dev.tsv"}},
		"init_from":       {keys: []string{"data.glue=glue", "adapter.init_from=start-query-value"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(filepath.Join(parent, "start"))
			if c.standard {
				if err := os.CopyFS("data/glue", os.DirFS("glue")); err != nil {
					t.Fatal(err)
				}
			}
			dir := filepath.Join(t.TempDir(), "run")
			cfg, err := config.Load([]string{filepath.Join(here, "testdata/tiny.yaml")}, slices.Concat(relative, c.keys, []string{"run.dir=" + dir}), nil)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			o := run.Options{Config: cfg, Observer: silent{step: func(s train.StepInfo) {
				if s.Step == 2 {
					cancel()
				}
			}}}
			if _, err := run.Train(ctx, o); !errors.Is(err, train.ErrInterrupted) {
				t.Fatal(err)
			}
			recorded, err := config.Load([]string{filepath.Join(dir, place.ConfigFile)}, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{recorded.Model.Path, recorded.Data.GLUE, recorded.Data.Train, recorded.Data.Dev, recorded.Adapter.InitFrom} {
				if path != "" && (!filepath.IsAbs(path) || path != filepath.Clean(path)) {
					t.Errorf("recorded %q", path)
				}
			}
			if recorded.Device == "auto" {
				t.Error("recorded device auto")
			}
			if err := cfg.Agrees(recorded); err != nil {
				t.Errorf("what was given contradicts what was recorded: %v", err)
			}

			t.Chdir(t.TempDir())
			o.Observer = silent{}
			s, err := run.Resume(t.Context(), dir, o)
			if err != nil {
				t.Fatal(err)
			}
			e, err := predict.Evaluate(t.Context(), predict.EvalOptions{Dir: dir})
			if err != nil || !slices.Equal(e.Splits[0].Metrics, s.Last) {
				t.Errorf("%+v (%v), training evaluated %v", e, err, s.Last)
			}
			best := filepath.Join(dir, "adapter", "best")
			saved, err := adapter.Read(best)
			if err != nil {
				t.Fatal(err)
			}
			saved.Close()
			if want := filepath.Join(parent, "start", "tiny-bert"); saved.Config.BaseModel != want {
				t.Errorf("base_model_name_or_path is %q, want %q", saved.Config.BaseModel, want)
			}
			p, err := predict.Open(best, predict.Options{})
			if err != nil {
				t.Fatal(err)
			}
			p.Close()
		})
	}
}

// A name is recorded as a name, also where it is not a folder's.
func TestNamesStayNames(t *testing.T) {
	home := t.TempDir()
	t.Setenv("METATT_HOME", home)
	if err := os.CopyFS(filepath.Join(home, "models", "minilm"), os.DirFS("testdata/tiny-bert")); err != nil {
		t.Fatal(err)
	}
	o := tiny(t, "model.path=minilm", "train.max_steps=1")
	if _, err := run.Train(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	recorded, err := config.Load([]string{filepath.Join(o.Config.Run.Dir, place.ConfigFile)}, nil, nil)
	if err != nil || recorded.Model.Path != "minilm" {
		t.Errorf("recorded %q (%v)", recorded.Model.Path, err)
	}
}

// What a run recorded of another machine is looked for anew: its GLUE folder and its
// device.
func TestRunsOfAnotherMachine(t *testing.T) {
	o := tiny(t, "train.max_steps=2")
	interrupted(t, o, 1)
	dir := o.Config.Run.Dir
	path := filepath.Join(dir, place.ConfigFile)
	glue, err := filepath.Abs("testdata/glue")
	if err != nil {
		t.Fatal(err)
	}
	replace(t, path, glue, "/not/here/glue")
	o.GLUEDir = glue
	if _, err := run.Resume(t.Context(), dir, o); err != nil {
		t.Fatal(err)
	}
	replace(t, path, "device: cpu", "device: cuda:97")
	var notes []string
	_, err = predict.Evaluate(t.Context(), predict.EvalOptions{Dir: dir, GLUEDir: glue, Note: func(text string) { notes = append(notes, text) }})
	if all := strings.Join(notes, "\n"); err != nil || !strings.Contains(all, "cuda:97 is not here") || !strings.Contains(all, "/not/here/glue is not here") {
		t.Errorf("%v, notes %q", err, notes)
	}
	// Training goes on where it was, or not at all.
	if _, err := run.Resume(t.Context(), dir, o); err == nil || !strings.Contains(err.Error(), "cuda:97") {
		t.Errorf("%v", err)
	}
}
