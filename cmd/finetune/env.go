package main

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/metatt/metatt/pkg/run"
)

func (p *program) envCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "env",
		GroupID: "setup",
		Short:   "Show the libtorch in use and what this machine offers it",
		Args:    p.exactly(0, ""),
		RunE: func(*cobra.Command, []string) error {
			e, build := p.backend.environment(), run.ReadBuild()
			devices := e.CUDA
			if len(devices) == 0 {
				devices = []string{"none"}
				if e.NoCUDA != "" {
					devices[0] += ": " + e.NoCUDA
				}
			}
			auto := "fp32"
			if e.BFloat16 {
				auto = "bf16"
			}
			rows := []row{
				{"finetune", version()},
				{"commit", commit(build)},
				{"go", build.Go},
				{"gotch", cmp.Or(build.Gotch, "unknown")},
				{"MPI", p.mpi()},
				{"libtorch", e.Version},
				{"from", e.Path},
				{"C++ ABI", e.ABI},
				{"threads", fmt.Sprint(e.Threads)},
				{"they wait by", p.spinning()},
				{"CPU", strings.Join(e.Capability, " ")},
				{"CPU kernels", e.Kernels},
				{"dtype auto", auto},
			}
			for i, device := range devices {
				name := ""
				if i == 0 {
					name = "CUDA"
				}
				rows = append(rows, row{name, device})
			}
			if e.Helper != "" {
				rows = append(rows, row{"CUDA helper", e.Helper})
			}
			writeRows(p.stdout, rows)
			return nil
		},
	}
}

// commit says which source the program was built of.
func commit(b run.Build) string {
	switch {
	case b.Commit == "":
		return "unknown: the build recorded none"
	case b.Modified:
		return b.Commit + ", with changes"
	}
	return b.Commit
}

// mpi is by what a run can be several processes, or why it cannot.
func (p *program) mpi() string {
	name, path, err := p.backend.mpi()
	if err != nil {
		return "none: " + err.Error()
	}
	return name + ", by " + path
}

// exactly asks for n arguments, called what.
func (p *program) exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) > n:
			return &usageError{cmd, fmt.Sprintf("unexpected argument %q", args[n])}
		case len(args) < n:
			return &usageError{cmd, "no " + what + " given"}
		}
		return nil
	}
}
