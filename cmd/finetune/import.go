package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/metatt/metatt/pkg/convert"
)

const importHelp = `Turn an adapter of microsoft/LoRA into an adapter folder.

FILE.bin holds the LoRA matrices and the classifier under their bare names, as
microsoft/LoRA publishes them. What it does not hold is to be said: the GLUE
task, the model and alpha; what is not is assumed, and told. Eval, predict,
adapter.init_from and PEFT read the folder DIR.`

func (p *program) importCommand() *cobra.Command {
	var o convert.ImportOptions
	cmd := &cobra.Command{
		Use:     "import FILE.bin DIR",
		GroupID: "use",
		Short:   "Turn an adapter of microsoft/LoRA into an adapter folder",
		Long:    importHelp,
		Example: "  finetune import roberta_base_lora_mnli.bin mnli-lora --task mnli --model roberta-base --alpha 16",
		Args:    p.exactly(2, "file and folder"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.File, o.Dir = args[0], args[1]
			for _, name := range []string{"task", "model", "alpha"} {
				if f := cmd.Flags().Lookup(name); !f.Changed {
					fmt.Fprintf(p.stderr, "--%s %s is assumed: the file does not say it\n", name, f.Value)
				}
			}
			imported, err := p.backend.importLoRA(o)
			if err != nil {
				return err
			}
			fmt.Fprintf(p.stdout, "%s holds a LoRA of rank %d on %s of %d layers with its head (%d tensors)\n",
				o.Dir, imported.Rank, strings.Join(imported.Targets, ", "), imported.Layers, imported.Tensors)
			return nil
		},
	}
	cmd.Flags().StringVar(&o.Task, "task", "mnli", "GLUE `TASK` of the classifier")
	cmd.Flags().StringVar(&o.Model, "model", "roberta-base", "`MODEL` folder or name to record")
	cmd.Flags().Float64Var(&o.Alpha, "alpha", 16, "scale that it was trained with: the update is `ALPHA`/r times B A")
	return cmd
}
