package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/metatt/metatt/pkg/run"
)

func summaryTable(s *run.Summary) table {
	var quality []row
	if s.Best != nil && s.Best.Value != nil {
		quality = append(quality, row{s.Best.Metric, fmt.Sprintf("%-12s best, epoch %d", figure(*s.Best.Value), s.Best.Epoch)})
	}
	for _, m := range s.Last {
		quality = append(quality, row{m.Name, fmt.Sprintf("%-12s last", metric(m))})
	}
	for _, t := range s.Tasks {
		for _, m := range t.Metrics {
			quality = append(quality, row{t.Task + " " + m.Name, fmt.Sprintf("%-12s last", metric(m))})
		}
	}
	saved := []row{{"saved in", s.RunDir}}
	if s.Stopped {
		saved = append(saved, row{"stopped", fmt.Sprintf("after step %s, without a new best", grouped(int64(s.Steps)))})
	}
	if s.Interrupted {
		saved = append(saved, row{"interrupted", fmt.Sprintf("after step %s; go on with", grouped(int64(s.Steps)))},
			row{"", "finetune train --resume " + s.RunDir})
	}
	method := s.Method
	switch {
	case len(s.Ranks) > 0:
		method += " ranks " + list(s.Ranks)
	case s.Rank > 0:
		method += fmt.Sprintf(" rank %d", s.Rank)
	}
	return table{
		title: fmt.Sprintf("%s · %s · %s on %s", s.Task, method, s.DType, s.Device),
		blocks: [][]row{
			quality,
			parameterRows(s.AdapterParams, s.WholeParams, s.HeadParams, s.BackboneParams, s.TrainsBackbone, s.FrozenTasks),
			{
				{"time", fmt.Sprintf("%-12s %s steps", clock(seconds(s.Seconds)), grouped(int64(s.Steps)))},
				{"samples/s", rate(s.SamplesPerSecond)},
				{"peak memory", size(s.PeakBytes)},
			},
			saved,
		},
	}
}

// list writes numbers in a row, the middle of a long one left out.
func list[T any](numbers []T) string {
	text := make([]string, len(numbers))
	for i, n := range numbers {
		text[i] = fmt.Sprint(n)
	}
	const shown = 8
	if last := len(text) - 1; last > shown {
		text = slices.Concat(text[:shown-1], []string{"…", text[last]})
	}
	return strings.Join(text, " ")
}

// share writes part of whole in percent, with two significant digits or none behind the point.
func share(part, whole int64) string {
	if whole == 0 {
		return "-"
	}
	percent := 100 * float64(part) / float64(whole)
	if percent >= 10 {
		return fmt.Sprintf("%.0f %%", percent)
	}
	return fmt.Sprintf("%.2g %%", percent)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func planTable(p *run.Plan) table {
	model := []row{
		{"model", fmt.Sprintf("%s, %d layers, %d wide, %d heads", p.ModelType, p.Layers, p.Hidden, p.Heads)},
		{"from", p.Model},
		{"data", fmt.Sprintf("%s train, %s dev examples", grouped(int64(p.TrainExamples)), grouped(int64(p.DevExamples)))},
	}
	if p.Sites > 0 {
		model = append(model, row{"sites", fmt.Sprintf("%d: %s", p.Sites, strings.Join(p.Targets, ", "))})
	}
	if len(p.Modes) > 0 {
		modes := make([]string, len(p.Modes))
		for i, m := range p.Modes {
			modes[i] = fmt.Sprintf("%s %d", m.Name, m.Size)
		}
		model = append(model, row{"tensor train", strings.Join(modes, " × ")})
	}
	if len(p.Ranks) > 0 {
		model = append(model, row{"ranks", list(p.Ranks)})
	}
	var sweeps []row
	if s := p.Sweeps; s != nil {
		sweeps = append(sweeps, row{"sweeps", fmt.Sprintf("%s, moments %s", s.Mode, s.Moments)}, row{"after steps", list(s.At)})
		if len(s.Schedule.MaxDim) > 0 {
			sweeps = append(sweeps, row{"ranks at most", list(s.Schedule.MaxDim)})
		}
		if s.Budget > 0 {
			sweeps = append(sweeps, row{"parameters at most", grouped(s.Budget)})
		}
	}
	return table{
		title: fmt.Sprintf("dry run: %s · %s · %s on %s", p.Task, p.Method, p.DType, p.Device),
		blocks: [][]row{
			model,
			parameterRows(p.AdapterParams, p.WholeParams, p.HeadParams, p.BackboneParams, p.TrainsBackbone, p.FrozenTasks),
			{
				{"steps", fmt.Sprintf("%-12s %s an epoch, batch %d", grouped(int64(p.Steps)), grouped(int64(p.StepsPerEpoch)), p.BatchSize)},
				{"epochs", fmt.Sprint(p.Epochs)},
				{"memory", "about " + size(p.MemoryBytes)},
			},
			sweeps,
		},
	}
}

// parameterRows counts; with trains, the adapter's parameters are the backbone's
// own. With frozen tasks, adapter is what the new one adds, whole what is stored.
func parameterRows(adapter, whole, head, backbone int64, trains bool, frozen []string) []row {
	name, state := "adapter parameters", "frozen"
	if trains {
		name, state = "trained parameters", "trained in place"
	}
	var stored []row
	if len(frozen) > 0 {
		name = "the task's own"
		stored = []row{{"whole adapter", fmt.Sprintf("%-12s with %s, frozen", grouped(whole), strings.Join(frozen, ", "))}}
	}
	return slices.Concat(
		[]row{{name, fmt.Sprintf("%-12s %s of the backbone", grouped(adapter), share(adapter, backbone))}},
		stored,
		[]row{
			{"head parameters", grouped(head)},
			{"backbone", fmt.Sprintf("%-12s %s", grouped(backbone), state)},
		})
}
