package run

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/metatt/metatt/pkg/digest"
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/place"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/task/glue"
	"github.com/metatt/metatt/pkg/task/own"
	"github.com/metatt/metatt/pkg/torch"
)

// Environment is what a run was made with: environment.json.
type Environment struct {
	Version   string            `json:"version"`
	Build     Build             `json:"build"`
	Command   []string          `json:"command,omitempty"`
	Torch     torch.Environment `json:"libtorch"`
	Device    string            `json:"device"`
	Processes int               `json:"processes,omitempty"` // that make the run together; 0: one
	Model     string            `json:"model_folder"`
	Inputs    Inputs            `json:"inputs"`
	StartedAt time.Time         `json:"started_at"`
	// Resumed are those with which the run went on, where they differ in what numbers depend on from those before.
	Resumed []Environment `json:"resumed,omitempty"`
}

// Inputs are the files that decide a run's numbers.
type Inputs struct {
	Model []File `json:"model"`           // of the model's folder
	Data  []File `json:"data,omitempty"`  // the splits that are read, of GLUE's folder or named by their keys
	Start []File `json:"start,omitempty"` // of the saved adapter that the run begins with
}

// File is one of them. Its name is the same wherever its folder stands.
type File struct {
	Name string `json:"name"` // "model.safetensors", "MRPC/train.tsv", "data.train"
	digest.Sum
}

// sums remembers what large files hold from run to run.
func sums() digest.Cache { return digest.Cache{Dir: filepath.Join(hf.Home(), "digests")} }

// ReadEnvironment is what a run would be made with, were it trained now. Of the model it reads what its files hold,
// not its tensors.
func ReadEnvironment(ctx context.Context, o Options) (e Environment, err error) {
	resolved := *o.Config
	a := &assembly{session: new(Session), config: &resolved, observer: o.Observer}
	if err = a.settleMachine(); err != nil {
		return e, err
	}
	from, err := openStart(a.config, nil)
	defer from.close()
	if err != nil {
		return e, err
	}
	a.startFiles = from.files()
	if err = a.settleTasks(o.GLUEDir, from); err != nil {
		return e, err
	}
	return a.environment(ctx, o)
}

// environment is what the run is made with.
func (a *assembly) environment(ctx context.Context, o Options) (Environment, error) {
	e := Environment{
		Version: o.Version, Build: ReadBuild(), Command: o.Command, Torch: torch.ReadEnvironment(), Device: a.device.String(),
		Model: place.Absolute(a.modelDir), StartedAt: time.Now().UTC(),
	}
	if a.group != nil {
		e.Processes = a.group.Size()
	}
	names, err := hf.Files(a.modelDir)
	if err != nil {
		return e, err
	}
	for _, name := range names {
		if err := add(ctx, &e.Inputs.Model, name, filepath.Join(a.modelDir, name)); err != nil {
			return e, err
		}
	}
	for _, t := range a.tasks {
		if err := t.record(ctx, &e.Inputs.Data, a.config.Data.TrainSubset); err != nil {
			return e, err
		}
	}
	for _, path := range a.startFiles {
		if err := add(ctx, &e.Inputs.Start, filepath.Base(path), path); err != nil {
			return e, err
		}
	}
	return e, nil
}

// record adds the files of a task's splits.
func (s *source) record(ctx context.Context, files *[]File, subset bool) error {
	for _, key := range []string{"data.train", "data.dev", "data.test"} {
		if s.files[key] == "" {
			continue
		}
		paths, err := own.Files(s.files[key])
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		for _, path := range paths {
			name := key
			if len(paths) > 1 {
				name += "/" + filepath.Base(path)
			}
			if err := add(ctx, files, name, path); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
		}
	}
	folder, isGLUE := s.from.(glue.Folder)
	if !isGLUE {
		return nil
	}
	for _, split := range []task.Split{s.trainSplit(subset), task.Dev} {
		path, err := folder.File(s.task, split)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(string(folder), path)
		if err != nil {
			return err
		}
		if err := add(ctx, files, name, path); err != nil {
			return err
		}
	}
	return nil
}

// add puts a file into a list; one that is there already, such as one that two tasks read, is not there twice.
func add(ctx context.Context, files *[]File, name, path string) error {
	if slices.ContainsFunc(*files, func(f File) bool { return f.Name == name }) {
		return nil
	}
	sum, err := sums().Of(ctx, path)
	if err != nil {
		return err
	}
	*files = append(*files, File{name, sum})
	return nil
}
