package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/metatt/metatt/pkg/experiment"
	"github.com/metatt/metatt/pkg/report"
)

// experimentView shows how far an experiment is: a line for each run that is over and, on
// a terminal, a bar for the whole below.
type experimentView struct {
	mutex   sync.Mutex // events come from the processes of the runs
	out     io.Writer
	columns func(io.Writer) int
	bar     *bar // nil: no terminal
	shown   time.Time

	began       time.Time
	whole       int                         // runs
	over, fresh float64                     // runs that are over, and of these (with parts) what was done since began
	now         map[string]experiment.Event // the last one of each that goes on
	from        map[string]float64          // its part when it was taken up
	said        map[string]bool             // notes
}

// runs counts them in words.
func runs(n int) string {
	if n == 1 {
		return "1 run"
	}
	return fmt.Sprintf("%d runs", n)
}

// barSteps of the bar are a run.
const barSteps = 1000

func (p *program) experimentView(plan *experiment.Plan) *experimentView {
	v := &experimentView{out: p.stderr, columns: p.columns, began: time.Now(), whole: len(plan.Runs), now: map[string]experiment.Event{}, from: map[string]float64{}, said: map[string]bool{}}
	for _, r := range plan.Runs {
		if r.State == experiment.Ended {
			v.over++
		}
	}
	line := fmt.Sprintf("%s in %s", runs(v.whole), plan.Dir)
	if v.over > 0 {
		line += fmt.Sprintf(", %.0f of them done before", v.over)
	}
	fmt.Fprintln(v.out, line)
	if kind, _ := p.env("TERM"); p.columns(p.stderr) > 0 && kind != "dumb" {
		v.bar = &bar{out: p.stderr, total: int64(v.whole * barSteps)}
		v.show()
	}
	return v
}

func (v *experimentView) event(e experiment.Event) {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	switch e.Kind {
	case experiment.Note:
		if !v.said[e.Text] { // many runs have the same to say
			v.said[e.Text] = true
			v.bar.above(v.out, strings.TrimPrefix(e.Run+": "+e.Text, ": "))
		}
	case experiment.Began:
		v.now[e.Run], v.from[e.Run] = e, part(e)
		if v.bar == nil {
			v.bar.above(v.out, e.Run+": began")
		}
	case experiment.Step:
		v.now[e.Run] = e
	case experiment.Over:
		last := v.now[e.Run]
		delete(v.now, e.Run)
		switch e.State {
		case experiment.Stopped:
			v.fresh += part(last) - v.from[e.Run]
		case experiment.Failed:
			v.over++
		default:
			v.fresh += 1 - v.from[e.Run]
			v.over++
		}
		v.bar.above(v.out, overLine(e))
	}
	if time.Since(v.shown) >= redraw {
		v.show()
	}
}

// part is how much of a run is done.
func part(e experiment.Event) float64 { return float64(e.Step) / float64(max(1, e.Total)) }

func overLine(e experiment.Event) string {
	line := e.Run + ": "
	switch {
	case e.State == experiment.Failed:
		return line + "failed: " + strings.ReplaceAll(e.Text, "\n", "; ")
	case e.State == experiment.Stopped:
		return line + "interrupted, saved"
	case e.Value == nil:
		return line + "done in " + clock(seconds(e.Seconds))
	}
	return line + fmt.Sprintf("%s %s in %s", e.Metric, figure(*e.Value), clock(seconds(e.Seconds)))
}

// show draws the bar.
func (v *experimentView) show() {
	if v.bar == nil {
		return
	}
	v.shown = time.Now()
	done, fresh := v.over, v.fresh
	names := slices.Sorted(maps.Keys(v.now))
	var running []string
	for _, name := range names {
		e := v.now[name]
		done, fresh = done+part(e), fresh+part(e)-v.from[name]
		running = append(running, fmt.Sprintf("%s %d/%d", name, e.Step, e.Total))
	}
	text := fmt.Sprintf("%.0f of %d", v.over, v.whole)
	left := ""
	if fresh > 0.05 {
		left = "  " + clock(time.Duration(float64(time.Since(v.began))/fresh*(float64(v.whole)-done))) + " left"
	}
	v.bar.show(int64(done*barSteps), v.columns(v.out),
		text+left+"  "+strings.Join(running, ", "),
		text+left+"  "+cmp.Or(strings.Join(running[:min(1, len(running))], ""), "starting"),
		text+left,
		text,
	)
}

func (v *experimentView) close() {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	if v.bar != nil {
		v.bar.clear()
		v.bar = nil
	}
}

// describeExperiment lists what would be run.
func (p *program) describeExperiment(ctx context.Context, plan *experiment.Plan, o experiment.Options) error {
	described, err := plan.Describe(ctx, o)
	if err != nil {
		return err
	}
	p.planNotes(plan)
	fmt.Fprintf(p.stdout, "\n%s in %s\n", runs(len(plan.Runs)), plan.Dir)
	fmt.Fprintf(p.stdout, "%4s %4s %9s %6s %7s %7s  %s\n", "runs", "left", "adapter", "head", "steps", "each", "first of them")
	var left, unknown float64
	var errs []string
	for _, d := range described {
		open := 0
		for _, r := range d.Runs {
			if r.State != experiment.Ended {
				open++
			}
		}
		each := "?"
		if d.Seconds > 0 {
			each = clock(seconds(d.Seconds))
			left += float64(open) * d.Seconds
		} else if open > 0 {
			unknown += float64(open)
		}
		if d.Err != nil {
			fmt.Fprintf(p.stdout, "%4d %4d %9s %6s %7s %7s  %s\n", len(d.Runs), open, "fails", "", "", "", d.Runs[0].Name)
			if text := strings.ReplaceAll(d.Err.Error(), "\n", "; "); !slices.Contains(errs, text) {
				errs = append(errs, text)
			}
			continue
		}
		fmt.Fprintf(p.stdout, "%4d %4d %9s %6s %7s %7s  %s\n", len(d.Runs), open, grouped(d.Plan.AdapterParams), grouped(d.Plan.HeadParams),
			grouped(int64(d.Plan.Steps)), each, d.Runs[0].Name)
	}
	line := "about " + clock(seconds(left)) + " for what is left, one after the other"
	if unknown > 0 {
		line += fmt.Sprintf(", without %.0f runs of unknown time", unknown)
	}
	fmt.Fprintln(p.stdout, line)
	if len(errs) > 0 {
		return errors.New(strings.Join(errs, "; "))
	}
	return nil
}

// outcome compares the runs, once all are made, and says which failed, and of what.
func (p *program) outcome(plan *experiment.Plan) error {
	if err := plan.Refresh(); err != nil {
		return err
	}
	count := map[experiment.State]int{}
	var ended []string
	for _, r := range plan.Runs {
		count[r.State]++
		// Runs that a choice makes alike are one.
		if r.State == experiment.Ended && !r.Choosing && !slices.Contains(ended, r.Dir) {
			ended = append(ended, r.Dir)
		}
	}
	if len(ended) > 0 && count[experiment.Ended]+count[experiment.Failed] == len(plan.Runs) {
		r, err := report.Make(report.Options{Runs: ended})
		if err != nil {
			return err
		}
		writeReport(p.stdout, r)
		fmt.Fprintln(p.stdout)
	}
	for _, r := range plan.Runs {
		if r.State == experiment.Failed {
			writeLines(p.stdout, fmt.Sprintf("failed: %s: %s", r.Name, strings.ReplaceAll(r.Failure, "\n", "; ")))
		}
	}
	fmt.Fprintf(p.stdout, "%d of %d runs done in %s\n", count[experiment.Ended], len(plan.Runs), plan.Dir)
	if failed := count[experiment.Failed]; failed > 0 {
		return fmt.Errorf("%s failed: the same command tries again", runs(failed))
	}
	return nil
}
