// Command profile says where the time of a training step, and of an evaluation, goes: by
// operation, forward, backward and what asks for no gradient.
//
//	profile -c configs/quick-mrpc.yaml [-steps 20] [-warmup 5] [-top 30] [key=value …]
//
// It trains the run that the file describes, or several with a -c each, for so many steps.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/torch/profile"
	"github.com/metatt/metatt/pkg/train"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := profileRun(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "profile:", err)
		os.Exit(1)
	}
}

func profileRun(ctx context.Context, arguments []string, out io.Writer) error {
	flags := flag.NewFlagSet("profile", flag.ExitOnError)
	var files []string
	flags.Func("c", "`FILE` in YAML that describes the run; may be repeated", func(file string) error {
		files = append(files, file)
		return nil
	})
	steps := flags.Int("steps", 20, "`STEPS` that are recorded")
	warmup := flags.Int("warmup", 5, "`STEPS` before them")
	top := flags.Int("top", 30, "`LINES` of a table")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if *steps < 1 || *warmup < 1 {
		return errors.New("-steps and -warmup are at least 1")
	}
	dir, err := os.MkdirTemp("", "metatt-profile-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	all := strconv.Itoa(*steps + *warmup)
	overrides := append(flags.Args(), "train.max_steps="+all, "train.eval_every="+all, "train.checkpoint_every=never", "run.dir="+dir+"/run")
	c, err := config.Load(files, overrides, os.LookupEnv)
	if err != nil {
		return err
	}
	r := &recorder{warmup: *warmup}
	summary, err := run.Train(ctx, run.Options{Config: c, GLUEDir: os.Getenv("GLUE_DIR"), Version: "profile", Observer: r})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s, %s r%d, %s on %s, batch %d\n", summary.Task, summary.Method, summary.Rank, summary.DType, summary.Device, c.Train.BatchSize)
	write(out, "a training step", r.training, *steps, *top)
	write(out, "an evaluation", r.evaluation, 1, *top)
	return nil
}

// recorder records the steps after the warm-up, and the evaluation that ends the run.
type recorder struct {
	warmup               int
	training, evaluation profile.Profile
}

// Step begins and ends the recording of steps. Evaluation follows the last.
func (r *recorder) Step(s train.StepInfo) {
	if s.Step == s.Total {
		r.training = profile.Stop()
	}
	if s.Step == r.warmup || s.Step == s.Total {
		profile.Start()
	}
}

func (r *recorder) Eval(train.EvalInfo) { r.evaluation = profile.Stop() }

func (*recorder) Begin(train.BeginInfo) {}
func (*recorder) Sweep(train.SweepInfo) {}
func (*recorder) Checkpoint(string)     {}
func (*recorder) Note(string)           {}

// write prints the operations of one of times that were recorded, the longest first, then the sums of the phases and
// what was outside all operations.
func write(out io.Writer, what string, p profile.Profile, times, top int) {
	each := func(d time.Duration) string { return fmt.Sprintf("%.3f", 1e3*d.Seconds()/float64(times)) }
	share := func(d time.Duration) string { return fmt.Sprintf("%.1f %%", 100*d.Seconds()/p.Wall.Seconds()) }
	fmt.Fprintf(out, "\n%s: %s ms\n", what, each(p.Wall))
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "ms\tshare\tcalls\tms a call\t\t operation")
	type sum struct {
		calls int64
		self  time.Duration
	}
	phases := map[profile.Phase]sum{}
	var rest sum
	for i, o := range p.Operations {
		phases[o.Phase] = sum{phases[o.Phase].calls + o.Calls, phases[o.Phase].self + o.Self}
		if i >= top {
			rest = sum{rest.calls + o.Calls, rest.self + o.Self}
			continue
		}
		fmt.Fprintf(table, "%s\t%s\t%.1f\t%.4f\t%s\t %s\n", each(o.Self), share(o.Self), float64(o.Calls)/float64(times), 1e3*o.Self.Seconds()/float64(o.Calls), o.Phase, o.Name)
	}
	if left := len(p.Operations) - top; left > 0 {
		fmt.Fprintf(table, "%s\t%s\t%.1f\t\t\t %d others\n", each(rest.self), share(rest.self), float64(rest.calls)/float64(times), left)
	}
	for _, phase := range []profile.Phase{profile.Forward, profile.Backward, profile.NoGrad} {
		if s := phases[phase]; s.calls > 0 {
			fmt.Fprintf(table, "%s\t%s\t%.1f\t\t%s\t all\n", each(s.self), share(s.self), float64(s.calls)/float64(times), phase)
		}
	}
	fmt.Fprintf(table, "%s\t%s\t\t\t\t outside operations\n", each(p.Outside()), share(p.Outside()))
	table.Flush()
}
