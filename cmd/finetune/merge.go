package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/metatt/metatt/pkg/convert"
)

const mergeHelp = `Add an adapter's updates to the weights of its model and write the model.

ADAPTER is an adapter folder, or a run directory, whose best adapter is taken.
OUT is a new folder: config.json, model.safetensors with the adapter's
classifier, and the tokenizer's files, as transformers stores them. Weights are
merged in fp32 from the checkpoint's own. Of an adapter for several tasks, the
one that --task names is merged.`

func (p *program) mergeCommand() *cobra.Command {
	var o convert.MergeOptions
	cmd := &cobra.Command{
		Use:               "merge ADAPTER OUT",
		GroupID:           "use",
		Short:             "Write the model with an adapter merged into its weights",
		Long:              mergeHelp,
		Example:           "  finetune merge runs/mrpc-metatt4d-r8-s42 mrpc-merged",
		Args:              p.exactly(2, "adapter and a new folder"),
		ValidArgsFunction: completeRuns,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Dir, o.Out, o.Note = args[0], args[1], p.note
			if err := p.backend.merge(cmd.Context(), o); err != nil {
				return err
			}
			_, err := fmt.Fprintf(p.stdout, "the merged model is in %s\n", args[1])
			return err
		},
	}
	cmd.Flags().StringVar(&o.Task, "task", "", taskUsage)
	cmd.Flags().StringVar(&o.Model, "model", "", "`MODEL` folder or name; default: the recorded one")
	return cmd
}
