package run

import (
	"fmt"

	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/tensorboard"
	"github.com/metatt/metatt/pkg/train"
)

// tags name the values of a run in TensorBoard: "train/loss", "dev/accuracy", of a run
// of several tasks "dev/mrpc/accuracy".
type tags struct {
	several bool
	ranked  int // the step after the last whose ranks are written
}

func (t *tags) dev(name, figure string) string {
	if !t.several {
		return "dev/" + figure
	}
	return "dev/" + name + "/" + figure
}

func bestTag(criterion string) string { return "best/" + criterion }

func ofStep(e *train.StepEvent) []tensorboard.Value {
	values := []tensorboard.Value{tensorboard.Scalar("train/loss", float64(e.Loss)), tensorboard.Scalar("train/lr", e.LR)}
	if e.Penalty != nil {
		values = append(values, tensorboard.Scalar("train/penalty", float64(*e.Penalty)))
	}
	for name, loss := range e.Losses {
		values = append(values, tensorboard.Scalar("train/"+name+"/loss", float64(loss)))
	}
	return values
}

func (t *tags) ofEval(e *train.EvalEvent) []tensorboard.Value {
	values := append([]tensorboard.Value{tensorboard.Scalar("dev/loss", float64(e.Loss))}, t.figures("", e.Metrics)...)
	for _, each := range e.Tasks {
		values = append(values, tensorboard.Scalar(t.dev(each.Task, "loss"), float64(each.Loss)))
		values = append(values, t.figures(each.Task, each.Metrics)...)
	}
	if e.Criterion != nil {
		values = append(values, tensorboard.Scalar("dev/criterion", *e.Criterion))
	}
	return append(values, t.ofRanks(e.Step, e.Ranks)...)
}

// figures leave out what is undefined.
func (t *tags) figures(name string, metrics task.Metrics) (values []tensorboard.Value) {
	for _, m := range metrics {
		if !m.Undefined {
			values = append(values, tensorboard.Scalar(t.dev(name, m.Name), m.Value))
		}
	}
	return values
}

func (t *tags) ofSweep(e *train.SweepEvent) []tensorboard.Value {
	return append(t.ofRanks(e.Step, e.Ranks), tensorboard.Scalar("ranks/parameters", float64(e.Parameters)))
}

// ofRanks is those of the bonds, from the left; none where the step has had them, of a
// sweep before its evaluation.
func (t *tags) ofRanks(step int, ranks []int64) (values []tensorboard.Value) {
	if ranks == nil || step < t.ranked {
		return nil
	}
	t.ranked = step + 1
	for i, rank := range ranks {
		values = append(values, tensorboard.Scalar(fmt.Sprintf("ranks/bond_%d", i+1), float64(rank)))
	}
	return values
}

func speed(e train.EvalTiming) []tensorboard.Value {
	return []tensorboard.Value{tensorboard.Scalar("speed/samples_per_second", e.SamplesPerSecond)}
}
