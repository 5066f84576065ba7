package train

import (
	"context"
	"fmt"
	"time"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/data"
	"github.com/metatt/metatt/pkg/dmrg"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/torch"
)

// Predict is the logits of every example, (examples, outputs) row by row in the
// set's order, without dropout. It runs inside [torch.Do].
func Predict(ctx context.Context, model Model, a adapter.Adapter, set *data.Set, batchSize int, dtype torch.DType) ([]float32, error) {
	outputs := set.Outputs()
	logits := make([]float32, set.Len()*outputs)
	order := set.ByLength()
	for first := 0; first < len(order); first += batchSize {
		if ctx.Err() != nil {
			return nil, ErrInterrupted
		}
		batch := set.Batch(order[first:min(first+batchSize, len(order))])
		in, err := input(model, batch)
		if err != nil {
			return nil, err
		}
		torch.NoGrad(func() {
			torch.Scoped(func() {
				rows := torch.ToSlice[float32](model.Forward(in, a.Begin(adapter.Step{DType: dtype, Tokens: int64(len(batch.IDs))}), encoder.Dropout{}))
				for i, example := range batch.Indices {
					copy(logits[example*outputs:(example+1)*outputs], rows[i*outputs:])
				}
			})
		})
	}
	return logits, nil
}

// input is a batch as the model takes it, checked.
func input(model Model, batch data.Batch) (encoder.Input, error) {
	in := encoder.Input{IDs: batch.IDs, TypeIDs: batch.TypeIDs, Offsets: batch.Offsets}
	return in, model.Check(in)
}

// evaluate judges the dev set, records the figures and saves a new best.
func (t *trainer) evaluate(ctx context.Context) error {
	began := time.Now()
	logits, err := Predict(ctx, t.Model, adapter.ForTask(t.Adapter, t.Task), t.Dev, t.Options.EvalBatchSize, t.DType)
	if err != nil {
		return err
	}
	step, epoch := t.state.Step, t.epoch(t.state.Step)
	metrics, err := t.Dev.Evaluate(logits)
	if err != nil {
		return fmt.Errorf("step %d: %w", step, err)
	}
	loss := t.devLoss(logits)
	if !finite(loss) {
		return fmt.Errorf("step %d: the dev loss is %v", step, loss)
	}
	seconds := time.Since(began).Seconds()
	isBest := t.judge(metrics, epoch)
	if isBest {
		if err := t.saveBest(); err != nil {
			return err
		}
	}
	oneClass, _ := t.Dev.Task.OneClass(logits)
	event := EvalEvent{"eval", step, epoch, float32(loss), metrics, isBest, t.ranks(), nil, oneClass}
	if pair, _ := t.sweeper.open(t.state.Events); pair != dmrg.NoPair {
		event.Open = &pair
	}
	if err := t.metrics.append(event); err != nil {
		return err
	}
	since := t.state.Lap
	if err := t.timings.append(timingEvent{"epoch", step, since.Seconds, since.speed(), seconds}); err != nil {
		return err
	}
	t.state.Lap, t.state.Last, t.state.Evaluated = lap{}, metrics, true
	t.Observer.Eval(EvalInfo{Epoch: epoch, Step: step, Metrics: metrics, Seconds: seconds, IsBest: isBest, OneClass: oneClass})
	return nil
}

// devLoss is the mean loss of the dev set's logits.
func (t *trainer) devLoss(logits []float32) (loss float64) {
	torch.NoGrad(func() {
		torch.Scoped(func() {
			all := t.Dev.Batch(t.Dev.Order(0, 0, false))
			rows := torch.FromSlice(logits, int64(t.Dev.Len()), int64(t.Dev.Outputs())).To(t.Device)
			loss = t.loss(rows, all).Item()
		})
	})
	return loss
}
