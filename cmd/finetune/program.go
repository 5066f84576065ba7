package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/spelling"
	"github.com/metatt/metatt/pkg/train"
)

// The exit codes.
const (
	exitDone        = 0
	exitFailure     = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// program is the command line with all that it touches outside.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer // results; progress and errors
	env            func(string) (string, bool)
	columns        func(io.Writer) int // width of the terminal behind a writer; 0: it is none
	backend        backend
	args           []string // of the command line that is executed
	job            job      // that this process has joined; nil: it is alone
}

// columns asks the terminal anew each time: it may have been resized.
func columns(w io.Writer) int {
	file, ok := w.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// usageError is a command line that cannot be understood.
type usageError struct {
	command *cobra.Command
	message string
}

func (e *usageError) Error() string {
	return fmt.Sprintf("%s (see %s --help)", e.message, e.command.CommandPath())
}

// run executes one command line and returns the exit code.
func (p *program) run(ctx context.Context, args []string) int {
	p.args = args
	root := p.rootCommand()
	root.SetArgs(args)
	err := p.leave(root.ExecuteContext(ctx))
	code := p.report(ctx, err)
	p.end(err, code)
	return code
}

// report prints an error, which is done here and nowhere else, and returns the exit code.
func (p *program) report(ctx context.Context, err error) int {
	var usage *usageError
	var wrong *config.Error
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, train.ErrInterrupted), ctx.Err() != nil && errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &wrong):
		// Each line of it begins with its own place, behind what is said around it.
		fmt.Fprintln(p.stderr, strings.TrimSpace(err.Error()))
		return exitUsage
	case errors.As(err, &usage):
		fmt.Fprintln(p.stderr, "finetune:", usage)
		return exitUsage
	}
	fmt.Fprintln(p.stderr, "finetune:", strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; "))
	return exitFailure
}

func (p *program) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "finetune",
		Short:         "Fine-tune BERT and RoBERTa with tensor adapters",
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          unknownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SetFlagErrorFunc(wrongFlag)
	root.AddGroup(
		&cobra.Group{ID: "train", Title: "Training:"},
		&cobra.Group{ID: "use", Title: "Using what was trained:"},
		&cobra.Group{ID: "setup", Title: "Setting up:"},
	)
	root.SetHelpCommandGroupID("setup")
	root.SetCompletionCommandGroupID("setup")
	root.AddCommand(p.trainCommand(), p.experimentCommand(), p.validateCommand(), p.evalCommand(), p.predictCommand(), p.inspectCommand(), p.mergeCommand(), p.exportCommand(), p.repeatCommand(), p.reportCommand(),
		p.listCommand(), p.importCommand(), p.fetchCommand(), p.envCommand())
	p.addCompletion(root)
	return root
}

// unknownCommand turns what is left for the root command into an error with the nearest command's name.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	message := fmt.Sprintf("unknown command %q", args[0])
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		message += fmt.Sprintf("; did you mean %s?", near[0])
	}
	return &usageError{cmd, message}
}

// wrongFlag names the flag that an unknown one most likely means. Behind a command that does not exist, every flag is
// unknown: the command is the mistake.
func wrongFlag(cmd *cobra.Command, err error) error {
	if before := cmd.Flags().Args(); cmd.HasSubCommands() && len(before) > 0 {
		if unknown := cmd.ValidateArgs(before[:1]); unknown != nil {
			return unknown
		}
	}
	message := err.Error()
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if near := spelling.Nearest(unknown.GetSpecifiedName(), names); near != "" {
			message += "; did you mean --" + near + "?"
		}
	}
	return &usageError{cmd, message}
}

// version is the module's; a build from a checkout has what Go makes of the commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version
}
