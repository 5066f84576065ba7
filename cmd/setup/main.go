// Command setup makes a Go module build against libtorch: it finds or installs a
// libtorch, adapts gotch to it in the module's .gotch folder and writes a go.work
// that uses the copy. Afterwards plain go build, go test and gopls work there. Where the
// libtorch has CUDA it compiles the CUDA helper, too, and where there is an MPI the MPI helper.
//
//	GOWORK=off go run ./cmd/setup
//	go run github.com/metatt/metatt/cmd/setup@latest --module DIR
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"github.com/metatt/metatt/cmd/setup/internal/fit"
	"github.com/metatt/metatt/cmd/setup/internal/libtorch"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err() // not what the interruption broke
	}
	stop()
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "setup: interrupted")
		os.Exit(130)
	case errors.Is(err, errUsage):
		os.Exit(2)
	default:
		fmt.Fprintf(os.Stderr, "setup: %v\n", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("wrong usage") // package flag has printed the details

func run(ctx context.Context, arguments []string, output io.Writer) error {
	flags := flag.NewFlagSet("setup", flag.ContinueOnError)
	moduleDir := flags.String("module", "", "the Go module to prepare (default: the one around the current folder)")
	check := flags.Bool("check", false, "say what would be done, change nothing")
	verbose := flags.Bool("v", false, "name the functions of gotch that the libtorch does not have")
	if err := flags.Parse(arguments); errors.Is(err, flag.ErrHelp) {
		return err
	} else if err != nil {
		return errUsage
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "setup: %q is not understood: it takes flags only (-h lists them)\n", flags.Arg(0))
		return errUsage
	}
	if err := checkPlatform(); err != nil {
		return err
	}
	module, err := fit.OpenModule(ctx, *moduleDir)
	if err != nil {
		return err
	}
	search := libtorch.Search{
		ModuleDir: module.Dir,
		Getenv:    os.Getenv,
		LookPath:  exec.LookPath,
		HasDriver: libtorch.HasNVIDIADriver,
		Notes:     output,
	}
	if *check {
		return preview(ctx, module, search, output)
	}
	unlock, err := module.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	return prepare(ctx, module, search, output, *verbose)
}

func checkPlatform() error {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return fmt.Errorf("only linux/amd64 is supported, this is %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	if _, err := os.Stat(libtorch.Loader); err != nil {
		return fmt.Errorf("only Linux with glibc is supported: %s is missing", libtorch.Loader)
	}
	return nil
}

// preview says what prepare would do.
func preview(ctx context.Context, module fit.Module, search libtorch.Search, output io.Writer) error {
	choice, err := search.Find(ctx)
	if errors.Is(err, libtorch.ErrNotInstalled) {
		fmt.Fprintf(output, "no libtorch is here: setup would install %s\n", search.Plan())
		return nil
	}
	if err != nil {
		return err
	}
	printChoice(output, choice)
	state, err := module.State(choice.Library)
	if err != nil {
		return err
	}
	if state.UpToDate {
		fmt.Fprintf(output, "%s is up to date\n", module.Dir)
	} else {
		fmt.Fprintf(output, "setup would adapt gotch to it in %s\n", module.Dir)
	}
	return nil
}

func prepare(ctx context.Context, module fit.Module, search libtorch.Search, output io.Writer, verbose bool) error {
	choice, err := search.Find(ctx)
	if errors.Is(err, libtorch.ErrNotInstalled) {
		choice, err = search.Install(ctx)
	}
	if err != nil {
		return err
	}
	printChoice(output, choice)
	result, err := module.Fit(ctx, choice.Library, output)
	if err != nil {
		return err
	}
	if result.UpToDate {
		fmt.Fprintln(output, "gotch is adapted to it already: up to date")
	} else {
		fmt.Fprintf(output, "gotch adapted to it in %s; %d of its functions are not in this libtorch and fail at run time. The next go build compiles it once, about two minutes\n",
			module.Dir, len(result.Unavailable))
	}
	if verbose && len(result.Unavailable) > 0 {
		fmt.Fprintf(output, "not in this libtorch: %s\n", strings.Join(result.Unavailable, " "))
	}
	if err := buildHelper(ctx, module.Dir, choice.Library, search, output); err != nil {
		return err
	}
	return buildMPI(ctx, module.Dir, output)
}

func printChoice(output io.Writer, choice libtorch.Choice) {
	abi := "old"
	if choice.CXX11ABI {
		abi = "new"
	}
	fmt.Fprintf(output, "libtorch %s (%s C++ ABI) in %s: %s\n", choice.Version, abi, choice.Root, choice.Why)
}
