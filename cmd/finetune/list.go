package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/metatt/metatt/pkg/config"
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
		Short: "List the adapter methods with their equation, parameter count, source and keys",
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
				if keys := keysOf(m.Name); len(keys) > 0 {
					if _, err := fmt.Fprintf(p.stdout, "    keys of its own: %s\n", strings.Join(keys, ", ")); err != nil {
						return err
					}
				}
			}
			return nil
		},
	})
	return list
}

// keysOf are the keys that are not all methods'.
func keysOf(method string) (names []string) {
	for _, key := range config.Keys() {
		if slices.Contains(key.Methods(), method) {
			names = append(names, key.Name)
		}
	}
	return names
}
