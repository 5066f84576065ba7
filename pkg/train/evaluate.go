package train

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/data"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/torch"
)

// Predict is the logits of every example, (examples, outputs) row by row in the
// set's order, without dropout. It runs inside [torch.Do].
func Predict(ctx context.Context, model Model, a adapter.Adapter, set *data.Set, batchSize int, dtype torch.DType) ([]float32, error) {
	return predict(ctx, model, a, set, batchSize, dtype, func(int) (bool, error) { return true, nil })
}

// predict leaves zeros in the place of batches, numbered from 0, that are not mine.
func predict(ctx context.Context, model Model, a adapter.Adapter, set *data.Set, batchSize int, dtype torch.DType, mine func(batch int) (bool, error)) ([]float32, error) {
	outputs := set.Outputs()
	logits := make([]float32, set.Len()*outputs)
	var batches []data.Batch
	var computed []*torch.Tensor // of each batch: a device is not waited for before it has them all
	defer func() {
		for _, t := range computed {
			t.Free()
		}
	}()
	number := -1
	for indices := range slices.Chunk(set.ByLength(), batchSize) {
		number++
		computes, err := mine(number)
		switch {
		case err != nil:
			return nil, err
		case ctx.Err() != nil:
			return nil, ErrInterrupted
		case !computes:
			continue
		}
		batch := set.Batch(indices)
		in := packed(batch)
		if err := model.Check(in); err != nil {
			return nil, err
		}
		torch.NoGrad(func() {
			torch.Scoped(func() {
				b := model.NewBatch(in)
				computed = append(computed, model.Logits(b, a.Begin(adapter.Step{DType: dtype, Tokens: int64(b.Tokens)}), encoder.Dropout{}).Keep())
			})
		})
		batches = append(batches, batch)
	}
	for k, batch := range batches {
		rows := torch.ToSlice[float32](computed[k])
		for i, example := range batch.Indices {
			copy(logits[example*outputs:(example+1)*outputs], rows[i*outputs:])
		}
	}
	return logits, nil
}

// evaluation is the hook that judges the dev sets when it is due, saves a new best, and
// ends a run whose best is too far back.
type evaluation struct{}

// Begin implements [Hook].
func (evaluation) Begin(*Trainer) error { return nil }

// After implements [Hook].
func (evaluation) After(ctx context.Context, t *Trainer) error {
	if !t.evaluationDue() || t.state.Evaluated {
		return nil
	}
	if err := t.Settle(); err != nil {
		return err
	}
	if err := t.evaluate(ctx); err != nil && !errors.Is(err, ErrInterrupted) { // which checkpoints see to
		return err
	}
	return nil
}

func (t *Trainer) evaluationDue() bool {
	step, every := t.state.Step, t.Options.EvalEvery
	if every == 0 {
		every = t.source.StepsPerEpoch()
	}
	return step > 0 && (step%every == 0 || step == t.Options.Steps)
}

// logits are those of a task's dev set, from all processes of a group: each batch is one
// process's, so that its logits are what they would be without the others.
func (t *Trainer) logits(ctx context.Context, task Task) ([]float32, error) {
	logits, err := predict(ctx, task.Model, adapter.ForTask(t.Adapter, task.Index), task.Dev, t.Options.EvalBatchSize, t.DType, t.shareOut())
	if err == nil && t.Group != nil {
		err = t.Group.Sum("the logits of "+task.Name, logits)
	}
	return logits, err
}

// evaluate judges the dev sets, records the figures and saves a new best.
func (t *Trainer) evaluate(ctx context.Context) error {
	began := time.Now()
	step, epoch := t.state.Step, t.Epoch(t.state.Step)
	var found []TaskEval
	var predicted [][]float32
	var loss float64
	for _, task := range t.Tasks {
		logits, err := t.logits(ctx, task)
		if err != nil {
			return err
		}
		e := TaskEval{Task: task.Name}
		if e.Metrics, err = task.Dev.Evaluate(logits); err != nil {
			return fmt.Errorf("step %d: %w", step, err)
		}
		mean := t.objective.ofSet(task.Dev, logits)
		if !finite(mean) {
			return fmt.Errorf("step %d: the dev loss of %s is %v", step, task.Name, mean)
		}
		e.Loss, loss = float32(mean), loss+mean/float64(len(t.Tasks))
		e.OneClass, _ = task.Dev.Task.OneClass(logits)
		found, predicted = append(found, e), append(predicted, logits)
	}
	seconds := time.Since(began).Seconds()
	value := t.Options.Best.of(found)
	isBest, err := t.best.take(value, epoch, predicted)
	if err != nil {
		return err
	}
	event := EvalEvent{Event: "eval", Step: step, Epoch: epoch, Loss: float32(loss), Best: isBest}
	if len(found) == 1 {
		event.Metrics, event.OneClass = found[0].Metrics, found[0].OneClass
	} else {
		event.Tasks, event.Criterion = found, value
	}
	if t.describe != nil {
		t.describe(&event)
	}
	if err := t.Record(event); err != nil {
		return err
	}
	since := t.clock.Lap
	if err := t.Time(EvalTiming{"eval", step, since.Seconds, since.speed(), seconds}); err != nil {
		return err
	}
	t.clock.Lap, t.state.Last, t.state.Evaluated = lap{}, found, true
	t.state.Stopped = t.Options.Patience > 0 && t.state.Waited >= t.Options.Patience && step < t.Options.Steps
	t.Observer.Eval(EvalInfo{Epoch: epoch, Step: step, Tasks: found, Criterion: t.Options.Best.Name, Value: value, Seconds: seconds, IsBest: isBest, Stops: t.state.Stopped})
	return nil
}
