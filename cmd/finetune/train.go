package main

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/place"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/train"
)

const trainHelp = `Train an adapter as a YAML file says, or several, each with -c: they lie over
one another key by key, and the later one counts.

Values given as key=value replace those of the files, and environment variables
stand between the two (METATT_TRAIN_LR for train.lr). "finetune validate --keys"
lists all keys.

Ctrl-C saves the run and leaves with exit code 130; a second Ctrl-C leaves at
once. --resume goes on with a run, by its own configuration, to the same numbers
as if it had never stopped; where its newest checkpoint is damaged,
--from-previous goes on from one before it and removes what came later. Progress
goes to standard error, the closing table to standard output.

Processes that mpirun or srun --mpi=pmix have started, on one machine or on
several with the same files, make one run together, whose numbers are those of
one process (docs/cluster.md).`

func (p *program) trainCommand() *cobra.Command {
	var files []string
	var resume string
	var dryRun, fromPrevious bool
	cmd := &cobra.Command{
		Use:     "train -c FILE... [key=value ...]",
		GroupID: "train",
		Short:   "Train an adapter",
		Long:    trainHelp,
		Example: `  finetune train -c configs/mrpc.yaml
  finetune train -c configs/mrpc.yaml adapter.rank=4 train.lr=5e-4
  finetune train --resume runs/mrpc-metatt4d-r8-s42`,
		ValidArgsFunction: completeKeys,
		RunE: func(cmd *cobra.Command, overrides []string) error {
			if err := p.joinJob(); err != nil {
				return err
			}
			if i := slices.IndexFunc(overrides, func(text string) bool { return !strings.Contains(text, "=") }); i >= 0 && (len(files) == 0 || isYAML(overrides[i])) {
				return &usageError{cmd, "a configuration is given as -c " + overrides[i]}
			}
			if len(files) == 0 && resume == "" {
				return &usageError{cmd, "no configuration: give -c FILE, or --resume RUN"}
			}
			if fromPrevious && resume == "" {
				return &usageError{cmd, "--from-previous is for a run that goes on: give --resume RUN"}
			}
			if len(files) == 0 { // values beside a run's are judged as parts of it: alone, they may make no sense
				files = []string{filepath.Join(resume, place.ConfigFile)}
			}
			c, err := config.Load(files, overrides, p.env)
			if err != nil {
				return err
			}
			start := p.backend.train
			if resume != "" {
				if c, err = recorded(resume, c); err != nil {
					return err
				}
				start = func(ctx context.Context, o run.Options) (*run.Summary, error) {
					o.FromPrevious = fromPrevious
					return p.backend.resume(ctx, resume, o)
				}
			}
			if dryRun && !p.leads() {
				return nil
			}
			if dryRun {
				return p.describe(cmd.Context(), c)
			}
			return p.train(cmd.Context(), c, start)
		},
	}
	cmd.Flags().StringArrayVarP(&files, "config", "c", nil, "`FILE` in YAML that describes the run; may be repeated")
	cmd.Flags().StringVar(&resume, "resume", "", "run `DIRECTORY` to go on with; -c may then be left out")
	completeFlag(cmd, "config", completeYAML)
	completeFlag(cmd, "resume", completeRuns)
	cmd.Flags().BoolVar(&fromPrevious, "from-previous", false, "with --resume, leave the newest checkpoint")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be trained, and stop")
	return cmd
}

// isYAML: the text of the command line is the name of a configuration.
func isYAML(text string) bool { return slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(text)) }

// recorded is the configuration of a run that goes on. What is given beside it must agree.
func recorded(dir string, given *config.Config) (*config.Config, error) {
	c, err := config.Load([]string{filepath.Join(dir, place.ConfigFile)}, nil, nil)
	if err != nil {
		return nil, err
	}
	return c, given.Agrees(c)
}

func (p *program) train(ctx context.Context, c *config.Config, start func(context.Context, run.Options) (*run.Summary, error)) error {
	var view view = silentView{}
	if p.leads() {
		view = p.observer(c.Run.LogEvery)
	}
	silence := context.AfterFunc(ctx, func() { view.Note("stopping: saving the run first; once more stops at once") })
	o := p.options(c, view)
	if p.job != nil {
		o.Group = p.job
	}
	summary, err := start(ctx, o)
	silence()
	view.close()
	if summary != nil && p.leads() && (err == nil || errors.Is(err, train.ErrInterrupted)) {
		writeTable(p.stdout, summaryTable(summary))
	}
	return err
}

func (p *program) describe(ctx context.Context, c *config.Config) error {
	plan, err := p.backend.describe(ctx, p.options(c, p.observer(c.Run.LogEvery)))
	if err != nil {
		return err
	}
	writeTable(p.stdout, planTable(plan))
	return nil
}

func (p *program) options(c *config.Config, o run.Observer) run.Options {
	glueDir, _ := p.env("GLUE_DIR")
	return run.Options{Config: c, GLUEDir: glueDir, Version: version(), Command: append([]string{"finetune"}, p.args...), Observer: o}
}
