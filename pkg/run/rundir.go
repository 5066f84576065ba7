package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"

	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/place"
	"github.com/metatt/metatt/pkg/task/glue"
	"github.com/metatt/metatt/pkg/train"
)

// The files of a run directory beside its configuration and those that training writes.
const (
	EnvironmentFile = "environment.json"
	SummaryFile     = "summary.json"
)

// makeRunDir makes the folder of a new run. A configured folder must not hold a
// run yet; a folder named by default gets a number where its name is taken, and
// names the rank, where it has a name.
func makeRunDir(c *config.Config, rank string) (string, error) {
	if dir := c.Run.Dir; dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", fmt.Errorf("run.dir: %w", err)
		}
		if _, err := os.Stat(filepath.Join(dir, place.ConfigFile)); err == nil {
			return "", fmt.Errorf("run.dir: %s holds a run already: choose another folder, or go on with it by --resume %s", dir, dir)
		}
		return dir, nil
	}
	base := strings.Join(c.Tasks, "-") + "-" + c.Adapter.Method
	if rank != "" {
		base += "-r" + rank
	}
	if c.Adapter.Append.To != "" {
		base += "-append"
	}
	base += fmt.Sprintf("-s%d", c.Train.Seed)
	if err := os.MkdirAll("runs", 0o755); err != nil {
		return "", fmt.Errorf("run directory: %w", err)
	}
	for n := 1; ; n++ {
		dir := filepath.Join("runs", base)
		if n > 1 {
			dir = fmt.Sprintf("%s-%d", dir, n)
		}
		// Mkdir fails on a name that is taken, so that of two processes
		// one gets it.
		if err := os.Mkdir(dir, 0o755); err == nil {
			return dir, nil
		} else if !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("run directory: %w", err)
		}
	}
}

// settlePlaces makes a configuration mean the same in any folder.
func (a *assembly) settlePlaces() error {
	c := a.config
	for _, path := range []*string{&c.Data.Train, &c.Data.Dev, &c.Data.Test, &c.Adapter.InitFrom, &c.Adapter.Append.To} {
		*path = place.Absolute(*path)
	}
	for _, t := range a.tasks {
		if folder, ok := t.from.(glue.Folder); ok {
			c.Data.GLUE = place.Absolute(string(folder))
		}
	}
	return nil
}

// record writes config.yaml and environment.json.
func (a *assembly) record(ctx context.Context, dir string, o Options) error {
	environment, err := a.environment(ctx, o)
	if err != nil {
		return err
	}
	text, err := a.config.YAML()
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(filepath.Join(dir, place.ConfigFile), text, 0o644, renameio.WithTempDir(dir)); err != nil {
		return err
	}
	return writeJSON(filepath.Join(dir, EnvironmentFile), environment)
}

// keepPredictions puts those of the best adapter into the run directory too, where they
// outlive the weights.
func (a *assembly) keepPredictions(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, "adapter", "best", train.PredictionsFile))
	if errors.Is(err, fs.ErrNotExist) { // somebody has taken adapter/best away
		a.observer.Note("run.predictions: those of the best adapter are gone")
		return nil
	}
	if err != nil {
		return fmt.Errorf("run.predictions: %w", err)
	}
	return renameio.WriteFile(filepath.Join(dir, train.PredictionsFile), text, 0o644, renameio.WithTempDir(dir))
}

func writeJSON(path string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return renameio.WriteFile(path, append(text, '\n'), 0o644, renameio.WithTempDir(filepath.Dir(path)))
}
