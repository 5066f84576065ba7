package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/metatt/metatt/pkg/config"
)

func (p *program) validateCommand() *cobra.Command {
	var files []string
	var keys bool
	cmd := &cobra.Command{
		Use:     "validate -c FILE... [key=value ...]",
		GroupID: "train",
		Short:   "Check configurations and print everything that is wrong",
		Example: `  finetune validate -c configs/*.yaml
  finetune validate --keys`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if keys {
				writeKeys(p.stdout)
				return nil
			}
			// The shell turns -c configs/*.yaml into one -c and bare names.
			var overrides []string
			for _, arg := range args {
				if strings.Contains(arg, "=") {
					overrides = append(overrides, arg)
				} else {
					files = append(files, arg)
				}
			}
			if len(files) == 0 {
				return &usageError{cmd, "no configuration: give -c FILE"}
			}
			return p.validate(files, overrides)
		},
	}
	cmd.Flags().StringArrayVarP(&files, "config", "c", nil, "`FILE` in YAML to check; may be repeated")
	cmd.Flags().BoolVar(&keys, "keys", false, "list every key with its type, default and meaning")
	return cmd
}

func (p *program) validate(files, overrides []string) error {
	var all config.Error
	for _, file := range files {
		_, err := config.Load(file, overrides, p.env)
		var wrong *config.Error
		switch {
		case err == nil:
			fmt.Fprintln(p.stdout, file+": ok")
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

func writeKeys(w io.Writer) {
	for i, key := range config.Keys() {
		if i > 0 {
			fmt.Fprintln(w)
		}
		byDefault := key.Default
		if byDefault == "" {
			byDefault = `""`
		}
		fmt.Fprintf(w, "%s = %s\n", key.Name, byDefault)
		legal := strings.ReplaceAll(key.Type, "|", " | ")
		if methods := key.Methods(); methods != nil {
			legal += "; for " + strings.Join(methods, ", ")
		}
		for _, line := range append(wrap(key.Doc, 76), wrap("("+legal+")", 76)...) {
			fmt.Fprintf(w, "    %s\n", line)
		}
	}
}
