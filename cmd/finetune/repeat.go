package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/metatt/metatt/pkg/repeat"
)

const repeatHelp = `Make a run again from its record, and say which numbers came out the same.

RUN is a run directory; its configuration, environment.json and metrics.jsonl
are enough. The repetition is a run of its own, in DIR or beside the first.
Before it begins, all that the numbers depend on is compared with the record:
the program, libtorch, the processor, threads, device, and by SHA-256 the files
of model and data. Afterwards the losses of each step, every evaluation, sweeps,
ranks and the adapters' tensors are. A run that was interrupted or killed is
repeated as far as its record goes.

The exit code is 1 where numbers differ although all that they depend on is the
same.`

// errNotSame is the failure of a repetition that nothing explains.
var errNotSame = errors.New("numbers differ, although all that they depend on is the same")

func (p *program) repeatCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "repeat RUN [DIR]",
		GroupID: "train",
		Short:   "Make a run again and compare",
		Long:    repeatHelp,
		Example: `  finetune repeat runs/mrpc-metatt4d-r8-s42
  finetune repeat runs/mrpc-metatt4d-r8-s42 /tmp/again`,
		Args:              p.atLeast(1, 2, "run directory"),
		ValidArgsFunction: completeRuns,
		RunE: func(cmd *cobra.Command, args []string) error {
			into := ""
			if len(args) > 1 {
				into = args[1]
			}
			return p.repeat(cmd.Context(), args[0], into)
		},
	}
}

// atLeast asks for least to most arguments, the first called what.
func (p *program) atLeast(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		return p.exactly(min(max(len(args), least), most), what)(cmd, args)
	}
}

func (p *program) repeat(ctx context.Context, dir, into string) error {
	plan, err := p.backend.repeat(ctx, dir, into, p.options(nil, nil), p.note)
	if err != nil {
		return err
	}
	for _, text := range plan.Record.Notes {
		p.note(dir + ": " + text)
	}
	writeTable(p.stdout, conditionsTable(plan))
	view := p.observer(plan.Record.Config.Run.LogEvery)
	silence := context.AfterFunc(ctx, func() { view.Note("stopping: saving the repetition first; once more stops at once") })
	compared, err := plan.Train(ctx, view, p.backend.train)
	silence()
	view.close()
	if compared != nil {
		writeTable(p.stdout, comparisonTable(compared))
	}
	if err == nil && !compared.Same() && len(plan.Differences) == 0 {
		return errNotSame
	}
	return err
}

// conditionsTable says what the numbers depend on and is not as it was.
func conditionsTable(plan *repeat.Plan) table {
	rows := []row{{"repeated in", plan.Dir}}
	if len(plan.Differences) == 0 {
		rows = append(rows, row{"as recorded", "program, libtorch, processor, device, model, data"})
	}
	for _, d := range plan.Differences {
		for i, side := range []string{"then " + d.Then, "now  " + d.Now} {
			name := d.What
			for k, line := range wrap(side, ruleWidth-nameWidth) {
				if i+k > 0 {
					name = ""
				}
				rows = append(rows, row{name, line})
			}
		}
	}
	return table{title: fmt.Sprintf("repeat · %s, %s after step %s", plan.Record.Dir, plan.Record.State, grouped(int64(plan.Record.Last()))), blocks: [][]row{rows}}
}

func comparisonTable(c *repeat.Comparison) table {
	numbers := slices.Concat(series("losses", c.Losses, "steps"), series("learning rates", c.Rates, "steps"), series("evaluations", c.Evaluations, ""))
	const shown = 12 // of a run of many epochs
	for i, f := range c.Figures {
		if i == shown {
			numbers = append(numbers, row{"", fmt.Sprintf("… and %d more numbers", len(c.Figures)-shown)})
			break
		}
		numbers = append(numbers, row{"", fmt.Sprintf("step %d %s: %s, now %s", f.Step, f.Name, f.Then, f.Now)})
	}
	if c.Sweeps.Compared > 0 {
		numbers = append(numbers, series("sweeps", c.Sweeps, "")...)
	}
	if c.Ranks[0] != nil || c.Ranks[1] != nil {
		text := list(c.Ranks[0]) + ", the same"
		if !slices.Equal(c.Ranks[0], c.Ranks[1]) {
			text = fmt.Sprintf("%s, now %s", list(c.Ranks[0]), list(c.Ranks[1]))
		}
		numbers = append(numbers, row{"ranks", text})
	}
	var tensors []row
	for _, a := range c.Adapters {
		text := fmt.Sprintf("%d tensors, the same bit for bit", a.Tensors)
		if a.Same < a.Tensors {
			text = fmt.Sprintf("%d of %d tensors the same; most %s, in %s", a.Same, a.Tensors, difference(a.Largest), a.In)
		}
		tensors = append(tensors, row{"adapter/" + a.Name, text})
	}
	for _, why := range c.NotKept {
		tensors = append(tensors, row{"not compared", why})
	}
	extent := row{"compared", grouped(int64(c.Steps)) + " steps"}
	if c.Short != "" {
		extent.text += ", " + c.Short
	}
	verdict := "every number is the same"
	switch {
	case c.Steps == 0:
		verdict = "no step was made"
	case !c.Same():
		verdict = "numbers differ"
	}
	return table{title: c.Dir + ": " + verdict, blocks: [][]row{{extent}, numbers, tensors}}
}

// series says of how many events all is the same.
func series(name string, s repeat.Series, what string) []row {
	if what != "" {
		what = " " + what
	}
	if s.Compared == 0 {
		return []row{{name, "none in both"}}
	}
	rows := []row{{name, fmt.Sprintf("%s of %s%s the same", grouped(int64(s.Same)), grouped(int64(s.Compared)), what)}}
	if s.First > 0 {
		rows = append(rows, row{"", fmt.Sprintf("first in step %d; most %s, in step %d", s.First, difference(s.Largest), s.At)})
	}
	return rows
}

// difference writes one; no numbers tell that of tensors of two shapes.
func difference(x float64) string {
	if math.IsInf(x, 0) {
		return "not to be told"
	}
	return strconv.FormatFloat(x, 'g', 2, 64)
}
