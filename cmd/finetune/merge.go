package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

const mergeHelp = `Add an adapter's updates to the weights of its model and write the model.

ADAPTER is an adapter folder, or a run directory, whose best adapter is taken.
OUT is a new folder: config.json, model.safetensors with the adapter's
classifier, and the tokenizer's files, as transformers stores them. Weights are
merged in fp32 from the checkpoint's own. Of an adapter for several tasks, the
one that --task names is merged.`

func (p *program) mergeCommand() *cobra.Command {
	var model, task string
	cmd := &cobra.Command{
		Use:     "merge ADAPTER OUT",
		GroupID: "use",
		Short:   "Write the model with an adapter merged into its weights",
		Long:    mergeHelp,
		Example: "  finetune merge runs/mrpc-metatt4d-r8-s42 mrpc-merged",
		Args:    p.exactly(2, "adapter and a new folder"),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := p.backend.merge(args[0], args[1], model, task); err != nil {
				return err
			}
			_, err := fmt.Fprintf(p.stdout, "the merged model is in %s\n", args[1])
			return err
		},
	}
	cmd.Flags().StringVar(&task, "task", "", taskUsage)
	cmd.Flags().StringVar(&model, "model", "", "`MODEL` folder or name; default: the recorded one")
	return cmd
}
