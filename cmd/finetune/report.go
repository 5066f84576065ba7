package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/metatt/metatt/pkg/report"
)

const reportHelp = `Compare runs: dev figures over seeds, what they cost, and differences between
groups of runs.

RUNS are run directories or folders of them. Runs that differ in the seed alone
are a group. What tells groups apart are the task, the method, the rank (or the
budget that chose it) and every key whose values differ, or what --by names: keys
of the configuration, or task, method, rank, ranks, parameters, device, dtype,
version. Groups of a task are compared with one of them, over the seeds that both
have: with the one that --against describes, such as lora,8 or method=head, else
with LoRA, else with the first. What could not be counted is said.

The tables go to standard output; files are written beside where they are asked
for. docs/reports.md says what each number is.`

func (p *program) reportCommand() *cobra.Command {
	var o report.Options
	var plots string
	files := []struct {
		flag, help, path string
		write            func(*report.Report, io.Writer) error
	}{
		{flag: "html", help: "`FILE` for a page with tables and plots, which needs no other file and no network", write: (*report.Report).WriteHTML},
		{flag: "markdown", help: "`FILE` for the tables in Markdown", write: (*report.Report).WriteMarkdown},
		{flag: "csv", help: "`FILE` for all numbers, in full", write: (*report.Report).WriteCSV},
		{flag: "latex", help: "`FILE` for the tables in LaTeX", write: (*report.Report).WriteLaTeX},
	}
	cmd := &cobra.Command{
		Use:     "report RUNS...",
		GroupID: "use",
		Short:   "Compare runs: tables, plots and a page",
		Long:    reportHelp,
		Example: `  finetune report runs
  finetune report runs/a runs/b --by method,rank,train.lr --against lora,8
  finetune report runs --html report.html --csv report.csv --plots plots`,
		ValidArgsFunction: func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
			return completeRuns(cmd, nil, typed) // any number of them
		},
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &usageError{cmd, "no runs: give run directories, or a folder of them"}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, runs []string) error {
			o.Runs = runs
			r, err := report.Make(o)
			if wrong := (*report.OptionError)(nil); errors.As(err, &wrong) {
				return &usageError{cmd, wrong.Error()}
			}
			if err != nil {
				return err
			}
			for _, f := range files {
				if f.path == "" {
					continue
				}
				if err := writeFile(f.path, func(w io.Writer) error { return f.write(r, w) }); err != nil {
					return err
				}
			}
			if plots != "" {
				if err := writePlots(plots, r); err != nil {
					return err
				}
			}
			writeReport(p.stdout, r)
			return nil
		},
	}
	cmd.Flags().StringSliceVar(&o.By, "by", nil, "what runs are told apart by, besides the task: `FIELD,FIELD`; default: what differs")
	cmd.Flags().StringVar(&o.Against, "against", "", "the `GROUP` that the others of its task are compared with")
	for i := range files {
		cmd.Flags().StringVar(&files[i].path, files[i].flag, "", files[i].help)
	}
	cmd.Flags().StringVar(&plots, "plots", "", "`FOLDER` for each plot as PNG and SVG")
	return cmd
}

// writeFile writes a file at once.
func writeFile(path string, write func(io.Writer) error) error {
	f, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o644))
	if err != nil {
		return err
	}
	defer f.Cleanup()
	if err := write(f); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return f.CloseAtomicallyReplace()
}

func writePlots(dir string, r *report.Report) error {
	figures, err := r.Figures()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, f := range figures {
		if err := writeFile(filepath.Join(dir, f.Name+".png"), f.WritePNG); err != nil {
			return err
		}
		if err := writeFile(filepath.Join(dir, f.Name+".svg"), f.WriteSVG); err != nil {
			return err
		}
	}
	return nil
}

// writeReport prints the tables, then what they leave out.
func writeReport(w io.Writer, r *report.Report) {
	for _, line := range r.Summary() {
		writeLines(w, line)
	}
	for _, t := range r.Tables() {
		writeGrid(w, t)
	}
	if len(r.Left) > 0 {
		fmt.Fprintf(w, "\n%d of %d runs are left out:\n", len(r.Left), r.Runs)
		for _, l := range r.Left {
			writeLines(w, "- "+l.Dir+" "+l.Why)
		}
	}
	if len(r.Notes) > 0 {
		fmt.Fprintln(w, "\nNotes:")
		for _, note := range r.Notes {
			writeLines(w, "- "+note)
		}
	}
}
