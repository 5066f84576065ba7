package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/metatt/metatt/pkg/predict"
)

const evalHelp = `Judge a trained adapter on the dev set: of MNLI, on both.

RUN is a run directory, whose best adapter, data and model are taken, or any
adapter folder, which knows its task and its model. A run of several tasks is
judged on each that has what is asked for, or on that of --task. --data names a
file of own data in the place of the run's.

GLUE's test sets have hidden labels: --submission writes the predictions for
them into a zip file as the GLUE site takes it (of MNLI also for the diagnostic
set, AX). Name the same file for several adapters to gather all tasks in it.`

func (p *program) evalCommand() *cobra.Command {
	var o predict.EvalOptions
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "eval RUN",
		GroupID: "use",
		Short:   "Judge a trained adapter, or write predictions for the GLUE site",
		Long:    evalHelp,
		Example: `  finetune eval runs/mrpc-metatt4d-r8-s42
  finetune eval runs/mrpc-metatt4d-r8-s42 --submission glue.zip
  finetune eval runs/custom-metatt4d-r8-s42/adapter/last --data test.csv --json`,
		Args:              p.exactly(1, "run directory or adapter folder"),
		ValidArgsFunction: completeRuns,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains([]string{"dev", "test"}, o.Split) {
				return &usageError{cmd, fmt.Sprintf("no split %q to evaluate; there are dev and test", o.Split)}
			}
			o.Dir = args[0]
			o.GLUEDir, _ = p.env("GLUE_DIR")
			o.Note = p.note
			all, err := p.evaluate(cmd.Context(), o)
			if asJSON && len(all) > 0 { // what came before an error was computed, and may be in the submission
				return errors.Join(p.writeEvaluations(all), err)
			}
			for _, e := range all {
				writeTable(p.stdout, evalTable(e, o.Submission))
			}
			return err
		},
	}
	cmd.Flags().StringVar(&o.Split, "split", "dev", "`SPLIT` to judge: dev or test")
	cmd.Flags().StringVar(&o.Data, "data", "", "`FILE` of own data to judge on")
	cmd.Flags().StringVar(&o.GLUE, "glue", "", "GLUE `FOLDER`; default: the run's, $GLUE_DIR, data/glue")
	cmd.Flags().StringVar(&o.Submission, "submission", "", "zip `FILE` to add predictions for GLUE's site to")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON in the place of a table")
	predictorFlags(cmd.Flags(), &o.Predictor)
	return cmd
}

// evaluate judges the adapter on the task that is asked for, or of a run that learned
// several on each.
func (p *program) evaluate(ctx context.Context, o predict.EvalOptions) (all []*predict.Evaluation, err error) {
	tasks := []string{o.Predictor.Task}
	if o.Predictor.Task == "" {
		several, err := predict.RunTasks(o)
		if err != nil {
			return nil, err
		}
		if len(several) > 0 {
			tasks = several
		}
	}
	for _, name := range tasks {
		o.Predictor.Task = name
		e, err := p.backend.evaluate(ctx, o)
		if err != nil {
			return all, err
		}
		all = append(all, e)
	}
	return all, nil
}

// writeEvaluations writes one as an object, several as a list of them.
func (p *program) writeEvaluations(all []*predict.Evaluation) error {
	var value any = all
	if len(all) == 1 {
		value = all[0]
	}
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "%s\n", text)
	return err
}

// note tells the user of something beside the results.
func (p *program) note(text string) { fmt.Fprintln(p.stderr, text) }

// taskUsage is --task's of every command that reads an adapter.
const taskUsage = "`TASK`, where the adapter has several or names none"

// predictorFlags are those of every command that computes with a saved adapter.
func predictorFlags(flags *pflag.FlagSet, o *predict.Options) {
	flags.StringVar(&o.Task, "task", "", taskUsage)
	flags.StringVar(&o.Model, "model", "", "`MODEL` folder or name; default: the recorded one")
	flags.StringVar(&o.Device, "device", "", "`DEVICE`: auto, cpu, cuda or cuda:N")
	flags.StringVar(&o.DType, "dtype", "", "`FORMAT`: fp32, bf16, tf32; by default the run's")
}

func evalTable(e *predict.Evaluation, zip string) table {
	t := table{title: fmt.Sprintf("%s · %s on %s", e.Task, e.DType, e.Device)}
	for _, s := range e.Splits {
		block := []row{{s.Split, grouped(int64(s.Examples)) + " examples"}}
		for _, m := range s.Metrics {
			block = append(block, row{m.Name, metric(m)})
		}
		t.blocks = append(t.blocks, block)
	}
	saved := []row{{"adapter", e.Adapter}, {"model", e.Model}}
	if len(e.Submission) > 0 {
		saved = append(saved, row{"submission", zip + ": " + strings.Join(e.Submission, ", ")})
	}
	t.blocks = append(t.blocks, saved)
	return t
}
