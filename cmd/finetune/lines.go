package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/train"
)

// view shows a run while it goes on.
type view interface {
	run.Observer
	close() // what is left on the terminal is final
}

// observer shows a bar on a terminal that understands it, else lines.
func (p *program) observer(logEvery int) view {
	if kind, _ := p.env("TERM"); p.columns(p.stderr) > 0 && kind != "dumb" {
		return &barView{out: p.stderr, columns: p.columns, colour: p.colour()}
	}
	return &lineView{out: p.stderr, every: logEvery}
}

// colour follows no-color.org.
func (p *program) colour() bool {
	refused, _ := p.env("NO_COLOR")
	return refused == ""
}

// lineView prints what a log file should hold: lines without control characters.
type lineView struct {
	mutex sync.Mutex // notes come from other goroutines
	out   io.Writer
	every int // steps between lines
}

func (v *lineView) print(line string) {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	fmt.Fprintln(v.out, line)
}

func (v *lineView) Begin(b train.BeginInfo) { v.print(beginLine(b)) }

func (v *lineView) Step(s train.StepInfo) {
	if s.Step%v.every == 0 || s.Step == 1 || s.Step == s.Total {
		v.print(fmt.Sprintf("step %*d/%d  epoch %d  loss %s  lr %.2e  %s samples/s  %s left",
			len(fmt.Sprint(s.Total)), s.Step, s.Total, s.Epoch, figure(s.Loss), s.LR, rate(s.SamplesPerSecond), clock(s.ETA)))
	}
}

func (v *lineView) Eval(e train.EvalInfo)   { v.print(evalLine(e)) }
func (v *lineView) Sweep(s train.SweepInfo) { v.print(sweepLines(s)) }
func (v *lineView) Checkpoint(path string)  { v.print("checkpoint " + path) }
func (v *lineView) Note(text string)        { v.print(text) }
func (v *lineView) close()                  {}

func beginLine(b train.BeginInfo) string {
	line := fmt.Sprintf("training: %s examples, batch %d, epochs %d, steps %s", grouped(int64(b.Examples)), b.BatchSize, b.Epochs, grouped(int64(b.Total)))
	if b.Done > 0 {
		line += fmt.Sprintf("; resumed after step %s", grouped(int64(b.Done)))
	}
	return line
}

// evalLine is an evaluation; of several tasks, one line more for each.
func evalLine(e train.EvalInfo) string {
	line := fmt.Sprintf("epoch %d  step %d", e.Epoch, e.Step)
	var each []string
	if len(e.Tasks) == 1 {
		line += "  " + metrics(e.Tasks[0].Metrics)
	} else {
		value := "undefined"
		if e.Value != nil {
			value = figure(*e.Value)
		}
		line += fmt.Sprintf("  %s %s", e.Criterion, value)
		for _, t := range e.Tasks {
			each = append(each, fmt.Sprintf("\n  %-6s %s%s", t.Task, metrics(t.Metrics), oneClass(t.OneClass)))
		}
	}
	line += fmt.Sprintf("  in %s", seconds(e.Seconds).Round(100*time.Millisecond))
	if e.IsBest {
		line += "  best so far"
	}
	if len(e.Tasks) == 1 {
		line += oneClass(e.Tasks[0].OneClass)
	}
	line += strings.Join(each, "")
	if e.Stops {
		line += "\nno new best for train.patience evaluations: training ends here"
	}
	return line
}

func oneClass(label string) string {
	if label == "" {
		return ""
	}
	return fmt.Sprintf("  every example is predicted as %.40q", label)
}

func metrics(all task.Metrics) string {
	words := make([]string, len(all))
	for i, m := range all {
		words[i] = m.Name + " " + metric(m)
	}
	return strings.Join(words, "  ")
}
