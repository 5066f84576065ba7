package train

import (
	"context"
	"fmt"
	"math"
	"path/filepath"

	"github.com/metatt/metatt/pkg/torch"
)

// journal writes the events of a run. It is the hook that reads the figures of steps.
type journal struct {
	*Trainer
	metrics, timings *eventFile
	// pending are figures that a device may still be computing. They are read when
	// there are more than lag of them, and when something is to follow: what reads the
	// last of them waits for the device.
	pending []figures
	lag     int
}

// figures is what a step came to.
type figures struct {
	step   Step
	lr     float64
	values *torch.Tensor // the losses of its micro-batches, the penalty, the gradient's norm, 1 or 0
}

// deviceLag is how many steps a device is ahead of the journal at most.
const deviceLag = 16

func openJournal(t *Trainer) (*journal, error) {
	j := &journal{Trainer: t}
	if t.Device != torch.CPU {
		j.lag = deviceLag
	}
	if !t.leads() {
		return j, nil
	}
	var err error
	if j.metrics, err = openEvents(filepath.Join(t.Dir, MetricsFile), t.state.MetricsBytes); err != nil {
		return nil, err
	}
	if j.timings, err = openEvents(filepath.Join(t.Dir, TimingsFile), t.state.TimingsBytes); err != nil {
		j.metrics.close()
		return nil, err
	}
	return j, nil
}

func (j *journal) close() {
	for _, f := range j.pending {
		f.values.Free()
	}
	j.metrics.close()
	j.timings.close()
}

// Begin implements [Hook].
func (j *journal) Begin(*Trainer) error { return nil }

// After implements [Hook].
func (j *journal) After(context.Context, *Trainer) error {
	if len(j.pending) <= j.lag {
		return nil
	}
	return j.settle()
}

// follow takes the figures of a step, which the journal frees.
func (j *journal) follow(step Step, lr float64, values *torch.Tensor) {
	j.pending = append(j.pending, figures{step, lr, values})
}

// settle reads what is pending. From here on the journal says all that was done, and
// what was done could be.
func (j *journal) settle() error {
	for len(j.pending) > 0 {
		f := j.pending[0]
		j.clock.start() // a device's steps take as long as they are waited for
		values := torch.ToSlice[float32](f.values)
		j.clock.stop(0)
		f.values.Free()
		j.pending = j.pending[1:]
		if err := j.write(f, values); err != nil {
			return err
		}
	}
	return nil
}

func (j *journal) write(f figures, values []float32) error {
	losses, rest := values[:len(f.step.Micros)], values[len(f.step.Micros):]
	norm, made := rest[len(rest)-2], rest[len(rest)-1] == 1
	event := StepEvent{Event: "step", Step: f.step.Number + 1, LR: f.lr}
	info := StepInfo{
		Step: event.Step, Total: j.Options.Steps, Epoch: j.Epoch(event.Step), LR: f.lr, GradientNorm: float64(norm),
		SamplesPerSecond: j.clock.here.speed(),
		ETA:              j.clock.eta((j.Options.Steps - event.Step) * j.Options.BatchSize * j.source.accumulate),
	}
	info.Loss = j.mean(f.step, losses, &event)
	if len(rest) > 2 {
		event.Penalty, info.Penalty = &rest[0], float64(rest[0])
	}
	if sum := info.Loss + info.Penalty; !finite(sum) {
		return j.notMade(f, fmt.Sprintf("the loss is %v", sum))
	}
	if !made {
		return j.notMade(f, j.culprit(f, float64(norm)))
	}
	event.Loss = float32(info.Loss)
	j.Observer.Step(info)
	return j.metrics.append(event)
}

// mean is the mean loss over a step's examples; those of each task of several go into
// the event.
func (j *journal) mean(step Step, of []float32, event *StepEvent) (mean float64) {
	perTask, share := map[string]float64{}, map[string]float64{}
	for i, m := range step.Micros {
		part := float64(of[i]) * m.Share
		mean += part
		name := j.Tasks[m.Task].Name
		perTask[name], share[name] = perTask[name]+part, share[name]+m.Share
	}
	if len(j.Tasks) > 1 {
		event.Losses = map[string]float32{}
		for name, sum := range perTask {
			event.Losses[name] = float32(sum / share[name])
		}
	}
	return mean
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// Record appends an event to metrics.jsonl, behind those of all steps before it.
func (t *Trainer) Record(event any) error {
	if err := t.Settle(); err != nil {
		return err
	}
	return t.journal.metrics.append(event)
}

// Time appends an event to timings.jsonl.
func (t *Trainer) Time(event any) error { return t.journal.timings.append(event) }

// Settle waits for all steps so far, and is the error of one that could not be made. A
// hook that reads or changes what steps have made begins with it.
func (t *Trainer) Settle() error { return t.journal.settle() }
