package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func (p *program) listCommand() *cobra.Command {
	list := &cobra.Command{
		Use:     "list",
		GroupID: "setup",
		Short:   "List what there is to choose from",
		Args:    unknownCommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	list.AddCommand(&cobra.Command{
		Use:   "methods",
		Short: "List the adapter methods with their equation, parameter count and source",
		Args:  p.exactly(0, "argument"),
		RunE: func(*cobra.Command, []string) error {
			for _, m := range p.backend.methods() {
				modes := ""
				if len(m.Modes) > 0 {
					modes = " (modes " + strings.Join(m.Modes, ", ") + ")"
				}
				if _, err := fmt.Fprintf(p.stdout, "%s%s\n    %s\n", m.Name, modes, m.Summary); err != nil {
					return err
				}
			}
			return nil
		},
	})
	return list
}
