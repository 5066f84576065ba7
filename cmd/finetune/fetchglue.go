package main

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/task/glue"
)

func (p *program) fetchGLUECommand() *cobra.Command {
	var into, host string
	cmd := &cobra.Command{
		Use:     "glue [TASK...]",
		Short:   "Bring GLUE's tasks here, all or those named",
		Example: "  finetune fetch glue mrpc rte\n  finetune fetch glue --into ~/glue",
		RunE: func(cmd *cobra.Command, args []string) error {
			tasks := glue.Published()
			if len(args) > 0 {
				tasks = nil
			}
			for _, name := range args {
				t, err := task.Lookup(name)
				if err != nil {
					return &usageError{cmd, err.Error()}
				}
				tasks = append(tasks, t)
			}
			fromEnv, _ := p.env("GLUE_DIR")
			dir := cmp.Or(into, fromEnv, glue.StandardFolder)
			for _, t := range tasks {
				view := p.download(t.Name)
				already, err := p.backend.fetchGLUE(cmd.Context(), dir, t, glue.FetchOptions{Host: host, Progress: view.update})
				view.close()
				if err != nil {
					return err
				}
				how := "verified"
				if already {
					how = "verified; it was there already"
				}
				fmt.Fprintf(p.stdout, "%s is in %s (%s)\n", t.Name, glue.Folder(dir).Of(t), how)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&into, "into", "", "the GLUE folder; empty: $GLUE_DIR, else "+glue.StandardFolder)
	cmd.Flags().StringVar(&host, "from", "", "a mirror in the place of https://dl.fbaipublicfiles.com")
	return cmd
}
