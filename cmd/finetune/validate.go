package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/metatt/metatt/pkg/config"
)

func (p *program) validateCommand() *cobra.Command {
	var layers []string
	var keys, markdown bool
	cmd := &cobra.Command{
		Use:     "validate -c FILE... [FILE ...] [key=value ...]",
		GroupID: "train",
		Short:   "Check configurations and print everything that is wrong",
		Long: `Check configurations and print everything that is wrong.

Files with a -c each are one configuration: they lie over one another as "train"
takes them. Of names behind one -c, as the shell makes of *.yaml, each is one.`,
		Example: `  finetune validate -c configs/*.yaml
  finetune validate -c configs/mrpc.yaml -c mine.yaml
  finetune validate --keys`,
		ValidArgsFunction: completeKeysOrFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case markdown:
				writeKeysAsMarkdown(p.stdout)
				return nil
			case keys:
				writeKeys(p.stdout)
				return nil
			}
			var overrides, alone []string
			for _, arg := range args {
				if strings.Contains(arg, "=") {
					overrides = append(overrides, arg)
				} else {
					alone = append(alone, arg)
				}
			}
			configurations := [][]string{layers}
			for _, file := range alone {
				configurations = append(configurations, []string{file})
			}
			switch {
			case len(layers) == 0 && len(alone) == 0:
				return &usageError{cmd, "no configuration: give -c FILE"}
			case len(layers) == 0:
				configurations = configurations[1:]
			case len(layers) > 1 && len(alone) > 0:
				return &usageError{cmd, fmt.Sprintf("%s has no -c: several files with a -c each are one configuration, and none stands beside it", alone[0])}
			}
			return p.validate(configurations, overrides)
		},
	}
	cmd.Flags().StringArrayVarP(&layers, "config", "c", nil, "`FILE` in YAML to check; may be repeated")
	cmd.Flags().BoolVar(&keys, "keys", false, "list every key with its type, default and meaning")
	cmd.Flags().BoolVar(&markdown, "markdown", false, "list them in Markdown, as docs/config.md has them")
	completeFlag(cmd, "config", completeYAML)
	return cmd
}

// validate checks configurations, each of files that lie over one another.
func (p *program) validate(configurations [][]string, overrides []string) error {
	var all config.Error
	for _, files := range configurations {
		_, err := config.Load(files, overrides, p.env)
		var wrong *config.Error
		switch {
		case err == nil:
			fmt.Fprintln(p.stdout, strings.Join(files, " + ")+": ok")
		case errors.As(err, &wrong):
			all.Problems = append(all.Problems, wrong.Problems...)
		default:
			return err
		}
	}
	if len(all.Problems) > 0 {
		return &all
	}
	return nil
}
