package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/metatt/metatt/pkg/convert"
)

const exportHelp = `Write an adapter as a LoRA, exactly: what serves LoRAs serves it.

ADAPTER is an adapter folder, or a run directory, whose best adapter is taken.
OUT is a new folder as PEFT stores a LoRA with its classifier. Each matrix has
the rank that its update has; nothing is approximated. Methods whose updates are
no LoRA are refused; finetune merge writes most of them into the model.`

func (p *program) exportCommand() *cobra.Command {
	var o convert.ExportOptions
	cmd := &cobra.Command{
		Use:               "export ADAPTER OUT",
		GroupID:           "use",
		Short:             "Write an adapter as a LoRA that PEFT loads",
		Long:              exportHelp,
		Example:           "  finetune export runs/mrpc-metatt4d-r8-s42 mrpc-lora",
		Args:              p.exactly(2, "adapter and a new folder"),
		ValidArgsFunction: completeRuns,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Dir, o.Out, o.Note = args[0], args[1], p.note
			e, err := p.backend.export(cmd.Context(), o)
			if err != nil {
				return err
			}
			rank := fmt.Sprint(e.Highest)
			if e.Lowest < e.Highest {
				rank = fmt.Sprintf("%d to %d", e.Lowest, e.Highest)
			}
			_, err = fmt.Fprintf(p.stdout, "%s holds %s as a LoRA of rank %s on %s of %d layers (%s parameters) with its head\n",
				o.Out, e.Method, rank, strings.Join(e.Targets, ", "), e.Layers, grouped(e.Parameters))
			return err
		},
	}
	cmd.Flags().StringVar(&o.Task, "task", "", "the `TASK` to export; default: the only one")
	cmd.Flags().StringVar(&o.Model, "model", "", "`MODEL` folder or name, for an adapter that PEFT wrote; default: the recorded one")
	return cmd
}
