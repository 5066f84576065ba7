package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/metatt/metatt/pkg/hf"
)

func (p *program) fetchCommand() *cobra.Command {
	var pathOnly bool
	cmd := &cobra.Command{
		Use:     "fetch NAME",
		GroupID: "setup",
		Short:   "Bring a pretrained model (or GLUE) here and say where it is",
		Example: "  finetune fetch minilm\n  finetune fetch FacebookAI/roberta-base\n  finetune fetch glue",
		Args:    p.exactly(1, "name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			view := p.download(args[0])
			fetched, err := p.backend.fetch(cmd.Context(), args[0], hf.FetchOptions{Progress: view.update})
			view.close()
			if err != nil {
				return err
			}
			if fetched.Why != nil {
				p.note(fmt.Sprintf("%s: %v; what was there already is used", args[0], fetched.Why))
			}
			if pathOnly {
				fmt.Fprintln(p.stdout, fetched.Dir)
				return nil
			}
			origin := "from " + fetched.Source
			if fetched.Source == "" {
				origin = "it was there already"
			}
			if fetched.Verified {
				origin = "verified; " + origin
			}
			fmt.Fprintf(p.stdout, "%s is in %s (%s)\n", args[0], fetched.Dir, origin)
			return nil
		},
	}
	cmd.AddCommand(p.fetchGLUECommand())
	cmd.Flags().BoolVar(&pathOnly, "print-path", false, "print nothing but the folder")
	return cmd
}
