package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/metatt/metatt/pkg/inspect"
)

func (p *program) inspectCommand() *cobra.Command {
	var asJSON bool
	var picture string
	var o inspect.Options
	cmd := &cobra.Command{
		Use:     "inspect ADAPTER",
		GroupID: "use",
		Short:   "Show what a saved adapter holds: modes, ranks, norms, spectra",
		Long: `Show what a saved adapter holds: modes, ranks, parameters, norms, the singular
values of a tensor train's bonds, and how much each matrix is changed.

ADAPTER is an adapter folder, or a run directory, whose best adapter is taken.`,
		Example: `  finetune inspect runs/mrpc-metatt4d-r8-s42
  finetune inspect runs/mrpc-metatt4d-r8-s42/adapter/last --plot adapter.png`,
		Args:              p.exactly(1, "adapter"),
		ValidArgsFunction: completeRuns,
		RunE: func(_ *cobra.Command, args []string) error {
			o.Dir = args[0]
			i, err := p.backend.inspect(o)
			if err != nil {
				return err
			}
			for _, text := range i.Notes {
				p.note(text)
			}
			if picture != "" {
				var png bytes.Buffer
				if err := p.backend.plot(&png, i); err != nil {
					return err
				}
				if err := renameio.WriteFile(picture, png.Bytes(), 0o644); err != nil {
					return err
				}
			}
			if asJSON {
				text, err := json.MarshalIndent(i, "", "  ")
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(p.stdout, "%s\n", text)
				return err
			}
			writeTable(p.stdout, inspectionTable(i))
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON in the place of a table")
	cmd.Flags().StringVar(&o.Task, "task", "", "`TASK` whose updates are measured, where they differ; default: the last")
	cmd.Flags().StringVar(&o.Model, "model", "", "`MODEL` folder or name, for an adapter that PEFT wrote; default: the recorded one")
	cmd.Flags().StringVar(&picture, "plot", "", "PNG `FILE` to draw the spectra and the sizes of the updates into")
	return cmd
}

func inspectionTable(i *inspect.Inspection) table {
	c := i.Config
	about := []row{{"adapter", i.Dir}}
	if i.Run != "" {
		about = append(about, row{"run", fmt.Sprintf("%s, seed %d", i.Run, *i.Seed)})
	}
	about = append(about,
		row{"model", fmt.Sprintf("%s (%s)", c.BaseModel, c.Architecture())},
	)
	if len(c.Tasks) > 0 { // what PEFT wrote names none
		about = append(about, row{"tasks", strings.Join(c.Tasks, ", ")})
	}
	if len(c.FrozenTasks) > 0 {
		about = append(about, row{"frozen", strings.Join(c.FrozenTasks, ", ")})
	}
	shape := []row{{"targets", strings.Join(c.Targets, ", ")}}
	if len(i.Modes) > 0 {
		modes := make([]string, len(i.Modes))
		for k, m := range i.Modes {
			modes[k] = fmt.Sprintf("%s %d", m.Name, m.Size)
		}
		shape = append(shape, row{"modes", strings.Join(modes, " × ")})
	}
	if len(c.Ranks) > 0 {
		shape = append(shape, row{"ranks", list(c.Ranks)})
	}
	if c.TTRank > 0 {
		shape = append(shape, row{"rank of the tensor trains", fmt.Sprint(c.TTRank)})
	}
	shape = append(shape, row{"alpha", figure(c.Alpha)}, row{"parameters", grouped(i.Count)})
	t := table{title: fmt.Sprintf("%s · %s", c.Method, c.PEFTType), blocks: [][]row{about, shape}}

	var norms []row
	const listed = 12 // a LoRA has hundreds
	for k, p := range i.Parameters {
		if k == listed {
			norms = append(norms, row{"…", fmt.Sprintf("and %d more (--json lists all)", len(i.Parameters)-listed)})
			break
		}
		norms = append(norms, row{p.Name, fmt.Sprintf("norm %.4g  shape %v", p.Norm, p.Shape)})
	}
	t.blocks = append(t.blocks, norms)
	var spectra []row
	for b, s := range i.Spectra {
		const values = 6
		text := make([]string, 0, values+1)
		for n, value := range s {
			if n == values {
				text = append(text, "…")
				break
			}
			text = append(text, fmt.Sprintf("%.3g", value))
		}
		spectra = append(spectra, row{i.Modes[b].Name + " | " + i.Modes[b+1].Name, strings.Join(text, "  ")})
	}
	t.blocks = append(t.blocks, spectra)
	var deltas []row
	of := ""
	if len(c.Tasks) > 1 && i.Task != "" {
		of = " of " + i.Task
	}
	for l, layer := range i.Deltas {
		text := make([]string, len(layer))
		for k, norm := range layer {
			text[k] = fmt.Sprintf("%s %.3g", c.Targets[k], norm)
		}
		deltas = append(deltas, row{fmt.Sprintf("‖ΔW‖%s layer %d", of, l), strings.Join(text, "  ")})
	}
	t.blocks = append(t.blocks, deltas)
	return t
}
