package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/metatt/metatt/pkg/experiment"
	"github.com/metatt/metatt/pkg/train"
)

const experimentHelp = `Make the runs of an experiment: a base configuration and what is varied of it. Of
several files one is made after the other.

Values given as key=value replace those of the file's set section. A run that has
ended counts as done where it is what is asked for, one that was interrupted is
gone on with; so the same command goes on after Ctrl-C, a crash or a change of
the file. A run that fails is left behind with its error, and tried again the
next time.

With --jobs N so many processes share the machine's cores. With --launcher slurm
a job array is submitted, whose tasks share the runs.`

// experimentFlags are those of the command.
type experimentFlags struct {
	files         []string
	launcher      string
	packed        string // folder of packed experiments, in the place of files
	part          int    // the one of the packed experiments that is meant; negative: all
	pack          string
	take, records string
	jobs          int
	dryRun        bool
	stopAfter     time.Duration
	worker        bool
	began, stopAt int64 // nanoseconds of Unix time, of the process that this one serves
	threads       int
}

func (p *program) experimentCommand() *cobra.Command {
	var f experimentFlags
	cmd := &cobra.Command{
		Use:     "experiment -c FILE [-c FILE ...] [key=value ...]",
		GroupID: "train",
		Short:   "Make many runs and compare them",
		Long:    experimentHelp,
		Example: `  finetune experiment -c experiments/budget-mrpc.yaml --dry-run
  finetune experiment -c experiments/budget-mrpc.yaml
  finetune experiment -c experiments/budget-mrpc.yaml --launcher slurm`,
		ValidArgsFunction: completeKeys,
		RunE: func(cmd *cobra.Command, overrides []string) error {
			if (len(f.files) == 0) == (f.packed == "") {
				return &usageError{cmd, "no experiment: give -c FILE"}
			}
			if f.launcher != "local" && f.launcher != "slurm" {
				return &usageError{cmd, "--launcher is local or slurm"}
			}
			if cmd.Flags().Changed("stop-after") && f.stopAfter <= 0 {
				return &usageError{cmd, "--stop-after is more than 0, as 90m"}
			}
			var instead []string // of making the runs
			for _, name := range []string{"dry-run", "pack", "records", "take"} {
				if cmd.Flags().Changed(name) {
					instead = append(instead, "--"+name)
				}
			}
			if len(instead) > 1 {
				return &usageError{cmd, strings.Join(instead, " and ") + ": each does one thing and stops: give one of them"}
			}
			if cmd.Flags().Changed("jobs") && f.jobs < 1 {
				return &usageError{cmd, "--jobs is at least 1"}
			}
			experiments, places, err := p.readExperiments(f)
			if err != nil {
				return err
			}
			var plans experiment.Plans
			for _, e := range experiments {
				if err := e.Override(overrides); err != nil {
					return err
				}
				if cmd.Flags().Changed("jobs") {
					e.Jobs = f.jobs
				}
				plan, err := e.Plan()
				if err != nil {
					return err
				}
				plans = append(plans, plan)
			}
			return p.experiments(cmd.Context(), plans, places, f, overrides)
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVarP(&f.files, "config", "c", nil, "`FILE` in YAML that describes an experiment")
	flags.BoolVar(&f.dryRun, "dry-run", false, "list the runs, their parameters and about how long they take, and stop")
	flags.IntVar(&f.jobs, "jobs", 1, "`PROCESSES` at once")
	flags.StringVar(&f.launcher, "launcher", "local", "`local` or slurm")
	flags.DurationVar(&f.stopAfter, "stop-after", 0, "save what goes on and stop after this `TIME`, as 90m")
	flags.StringVar(&f.pack, "pack", "", "write `ARCHIVE`, which makes the runs that are left on a machine with a PyTorch and nothing else, and stop")
	flags.StringVar(&f.take, "take", "", "add the records in `ARCHIVE`, which --records or a packed experiment wrote, and stop")
	flags.StringVar(&f.packed, "packed", "", "")
	flags.StringVar(&f.records, "records", "", "write `ARCHIVE`, the records of the runs that have ended or failed, without weights, and stop")
	flags.BoolVar(&f.worker, "worker", false, "")
	flags.IntVar(&f.part, "part", -1, "")
	flags.Int64Var(&f.began, "began", 0, "")
	flags.Int64Var(&f.stopAt, "stop-at", 0, "")
	flags.IntVar(&f.threads, "threads", 0, "")
	completeFlag(cmd, "config", completeYAML)
	for _, name := range []string{"packed", "worker", "part", "began", "stop-at", "threads"} {
		_ = flags.MarkHidden(name)
	}
	return cmd
}

// readExperiments reads the files, or the packed folder or its part.
func (p *program) readExperiments(f experimentFlags) (all []*experiment.Experiment, places *experiment.Places, err error) {
	if f.packed != "" {
		all, places, err = experiment.ReadPacked(f.packed)
		switch {
		case err != nil || f.part < 0:
			return all, places, err
		case f.part >= len(all):
			return nil, nil, fmt.Errorf("--part %d: %s has %d experiments", f.part, f.packed, len(all))
		}
		return all[f.part : f.part+1], places, nil
	}
	for _, file := range f.files {
		e, err := experiment.Read(file, p.env)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, e)
	}
	return all, nil, nil
}

func (p *program) experiments(ctx context.Context, plans experiment.Plans, places *experiment.Places, f experimentFlags, overrides []string) error {
	glueDir, _ := p.env("GLUE_DIR")
	o := experiment.Options{GLUEDir: glueDir, Version: version(), Threads: f.threads, Places: places}
	began := time.Now()
	if f.began != 0 {
		began = time.Unix(0, f.began)
	}
	switch {
	case f.stopAt != 0:
		o.Stop = time.Unix(0, f.stopAt)
	case f.stopAfter > 0:
		o.Stop = time.Now().Add(f.stopAfter)
	}
	switch {
	case f.pack != "":
		err := p.pack(ctx, plans, f.pack, o)
		p.planNotes(plans...)
		return err
	case f.records != "":
		count, err := plans.Records(f.records)
		p.planNotes(plans...)
		if err == nil {
			fmt.Fprintf(p.stdout, "records of %s in %s\n", runs(count), f.records)
		}
		return err
	case f.take != "":
		return p.takeRecords(plans, f.take)
	}
	var failed []error // of one experiment, which does not keep the others
	var job string     // of Slurm, that the next one waits for
	for i, plan := range plans {
		plan.Began = began // not before: what is packed, recorded or taken is as it is, and nothing tried again
		one := f
		switch {
		case f.packed == "":
			one.files = f.files[i : i+1]
		case f.part < 0:
			one.part = i
		}
		var err error
		if f.launcher == "slurm" && !f.worker && !f.dryRun {
			job, err = p.submit(ctx, plan, one, job, overrides)
		} else {
			err = p.experiment(ctx, plan, one, o, overrides)
		}
		if err != nil && len(plans) > 1 {
			err = fmt.Errorf("%s: %w", plan.File, err)
		}
		failed = append(failed, err)
		if ctx.Err() != nil || errors.Is(err, train.ErrInterrupted) || err != nil && f.launcher == "slurm" { // the next would not wait
			break
		}
	}
	return errors.Join(failed...)
}

// planNotes prints what plans say of their files and of what they found.
func (p *program) planNotes(plans ...*experiment.Plan) {
	for _, plan := range plans {
		for _, note := range plan.Notes {
			writeLines(p.stderr, note)
		}
	}
}

// experiment does with one experiment what the flags ask for.
func (p *program) experiment(ctx context.Context, plan *experiment.Plan, f experimentFlags, o experiment.Options, overrides []string) error {
	switch {
	case f.worker:
		o.Observe = experiment.Tell(p.stdout)
		ctx, cancel := experiment.Leash(ctx, p.stdin)
		defer cancel()
		return saved(plan.Execute(ctx, o))
	case f.dryRun:
		return p.describeExperiment(ctx, plan, o)
	}
	if err := plan.Refresh(); err != nil {
		return err
	}
	view := p.experimentView(plan)
	o.Observe = view.event
	var err error
	if jobs := min(plan.Jobs, len(plan.Runs)); jobs > 1 {
		err = p.processes(ctx, plan, jobs, o, f, overrides)
	} else {
		err = plan.Execute(ctx, o)
	}
	view.close()
	if err != nil && !errors.Is(err, train.ErrInterrupted) && !errors.Is(err, experiment.ErrStopped) {
		return err
	}
	return errors.Join(p.outcome(plan), saved(err))
}

// saved is an error that says with which code the process ends.
func saved(err error) error {
	if errors.Is(err, experiment.ErrStopped) {
		return fmt.Errorf("%w: %w", train.ErrInterrupted, err)
	}
	return err
}

// source is the command for the same experiment, one of those that the flags name.
func (f experimentFlags) source() []string {
	if f.packed != "" {
		return []string{"experiment", "--packed", f.packed, "--part", strconv.Itoa(f.part)}
	}
	return []string{"experiment", "-c", f.files[0]}
}

// processes makes the runs in several processes of this program.
func (p *program) processes(ctx context.Context, plan *experiment.Plan, jobs int, o experiment.Options, f experimentFlags, overrides []string) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	arguments := append(f.source(), "--worker", "--began", strconv.FormatInt(plan.Began.UnixNano(), 10),
		"--threads", strconv.Itoa(max(1, runtime.NumCPU()/jobs)))
	if !o.Stop.IsZero() {
		arguments = append(arguments, "--stop-at", strconv.FormatInt(o.Stop.UnixNano(), 10))
	}
	var commands []*exec.Cmd
	for range jobs {
		cmd := exec.Command(program, append(arguments, overrides...)...)
		cmd.Stderr = p.stderr
		commands = append(commands, cmd)
	}
	until := ctx
	if !o.Stop.IsZero() { // they stop by themselves then, which is no fault of theirs
		var cancel context.CancelFunc
		until, cancel = context.WithDeadline(ctx, o.Stop)
		defer cancel()
	}
	err = experiment.Processes(until, commands, o.Observe)
	if !o.Stop.IsZero() && !time.Now().Before(o.Stop) && ctx.Err() == nil {
		return experiment.ErrStopped
	}
	return err
}

// submit submits a job array, which begins when the job after has ended; "": at once.
func (p *program) submit(ctx context.Context, plan *experiment.Plan, f experimentFlags, after string, overrides []string) (job string, err error) {
	if err := plan.Refresh(); err != nil {
		return "", err
	}
	p.planNotes(plan)
	program, err := os.Executable()
	if err != nil {
		return "", err
	}
	if after != "" {
		plan.Slurm.Options = append([]experiment.SlurmOption{{Name: "dependency", Value: "afterany:" + after}}, plan.Slurm.Options...)
	}
	words := append([]string{program}, f.source()...)
	words = append(words, "--jobs", strconv.Itoa(plan.Jobs))
	if f.stopAfter > 0 {
		words = append(words, "--stop-after", f.stopAfter.String())
	}
	script := plan.SlurmScript(append(words, overrides...), plan.Began)
	job, file, err := plan.Submit(ctx, script)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(p.stdout, "submitted %s as job %s; its tasks write to %s\n", file, job, plan.Dir)
	return job, nil
}
