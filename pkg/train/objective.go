package train

import (
	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/data"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/torch"
)

// Objective is the loss of the tasks with the adapter and their heads as they are. Its
// methods run inside [torch.Do].
type Objective struct {
	adapter adapter.Adapter
	tasks   []Task
	dtype   torch.DType
	device  torch.Device
	dropout encoder.Dropout

	total   *torch.Tensor   // of the step so far, with weights and penalty; nil: nothing
	losses  []*torch.Tensor // of its micro-batches
	penalty *torch.Tensor   // nil: there is none
}

func newObjective(s Setup) *Objective {
	return &Objective{adapter: s.Adapter, tasks: s.Tasks, dtype: s.DType, device: s.Device, dropout: s.Dropout}
}

// Backward adds the micro-batch's share of the step's gradient to what the optimizer
// reads, with the dropout of training. With the first micro-batch of a step the
// adapter's own term of the loss is added.
func (o *Objective) Backward(m Micro) {
	torch.Seed(m.Seed)
	torch.Scoped(func() {
		loss := o.mean(m.Task, m.Batch, o.dropout, true)
		share := loss
		if factor := m.Share * o.tasks[m.Task].weight(); factor != 1 {
			share = loss.MulScalar(factor)
		}
		if m.First {
			o.free()
			if r, ok := o.adapter.(adapter.Regularized); ok {
				penalty := r.Penalty()
				share, o.penalty = share.Add(penalty), penalty.Detach().Keep()
			}
		}
		share.Backward()
		o.losses = append(o.losses, loss.Detach().Keep())
		torch.NoGrad(func() {
			total := share.Detach()
			if o.total != nil {
				total = total.Add(o.total)
				o.total.Free()
			}
			o.total = total.Keep()
		})
	})
}

// sum is the loss that the step's gradients are of, one element.
func (o *Objective) sum() *torch.Tensor { return o.total }

// figures is one tensor, kept, of the losses of the step's micro-batches, the penalty
// where there is one, and what the optimizer has to say.
func (o *Objective) figures(outcome *torch.Tensor) (figures *torch.Tensor) {
	torch.NoGrad(func() {
		torch.Scoped(func() {
			var parts []*torch.Tensor
			for _, loss := range o.losses {
				parts = append(parts, loss.Reshape(1))
			}
			if o.penalty != nil {
				parts = append(parts, o.penalty.Reshape(1))
			}
			figures = torch.Cat(0, append(parts, outcome)...).Keep()
		})
	})
	o.free()
	return figures
}

func (o *Objective) free() {
	for _, loss := range o.losses {
		loss.Free()
	}
	o.total.Free()
	o.penalty.Free()
	o.total, o.losses, o.penalty = nil, nil, nil
}

// mean is the mean loss over a batch of one task.
func (o *Objective) mean(task int, batch data.Batch, drop encoder.Dropout, training bool) *torch.Tensor {
	pass := o.adapter.Begin(adapter.Step{DType: o.dtype, Training: training, Task: o.tasks[task].Index, Tokens: int64(len(batch.IDs))})
	return o.of(o.tasks[task].Model.Forward(input(batch), pass, drop), batch)
}

// input is a batch as a model takes it.
func input(batch data.Batch) encoder.Input {
	return encoder.Input{IDs: batch.IDs, TypeIDs: batch.TypeIDs, Offsets: batch.Offsets}
}

// of is the mean over the batch: cross entropy, or the squared error of a regression's
// one output.
func (o *Objective) of(logits *torch.Tensor, batch data.Batch) *torch.Tensor {
	if batch.Labels == nil {
		return logits.Reshape(-1).MSE(torch.Upload(batch.Scores, o.device))
	}
	return logits.CrossEntropy(torch.Upload(batch.Labels, o.device))
}

// Loss is the loss over micro-batches with the adapter as it is, without dropout, each
// task with its weight. It waits for the device.
func (o *Objective) Loss(micros []Micro) (loss float64) {
	for _, m := range micros {
		torch.NoGrad(func() {
			torch.Scoped(func() {
				loss += o.mean(m.Task, m.Batch, encoder.Dropout{}, false).Item() * m.Share * o.tasks[m.Task].weight()
			})
		})
	}
	return loss
}

// Gradient is ∂Loss/∂parameter over micro-batches, in the current scope.
func (o *Objective) Gradient(micros []Micro, parameter *torch.Tensor) *torch.Tensor {
	var sum *torch.Tensor
	torch.NoGrad(func() { sum = parameter.Detach().ZerosLike() })
	for _, m := range micros {
		torch.Scoped(func() {
			g := torch.Gradients(o.mean(m.Task, m.Batch, encoder.Dropout{}, false), []*torch.Tensor{parameter})[0]
			torch.NoGrad(func() { sum.AddInPlace(g.MulScalar(m.Share * o.tasks[m.Task].weight())) })
		})
	}
	return sum
}

// ofSet is the mean loss of a whole set's logits.
func (o *Objective) ofSet(set *data.Set, logits []float32) (loss float64) {
	torch.NoGrad(func() {
		torch.Scoped(func() {
			rows := torch.FromSlice(logits, int64(set.Len()), int64(set.Outputs())).To(o.device)
			loss = o.of(rows, set.Batch(set.Order(0, 0, false))).Item()
		})
	})
	return loss
}
