package train

import (
	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/data"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/parallel"
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
	graphs  *torch.Graphs
	longest []int            // tokens of an example of each task
	places  map[shape]*place // where micro-batches stand that graphs read
	adds    bool             // the adapter's own term: one process of a group does

	total   *torch.Tensor   // (1) of the step so far, with weights and penalty
	losses  []*torch.Tensor // of its micro-batches
	penalty *torch.Tensor   // nil: there is none
}

func newObjective(s Setup, graphs *torch.Graphs) *Objective {
	o := &Objective{
		adapter: s.Adapter, tasks: s.Tasks, dtype: s.DType, device: s.Device, dropout: s.Dropout, graphs: graphs,
		places: map[shape]*place{}, adds: parallel.Leads(s.Group), total: torch.Zeros(torch.Float32, s.Device).Keep(),
	}
	for _, task := range s.Tasks {
		o.longest = append(o.longest, task.Train.Longest())
	}
	return o
}

// Backward adds the micro-batch's share of the step's gradient to what the optimizer
// reads, with the dropout of training; in a group, the part of it that this process's
// examples make. With the first micro-batch of a step the adapter's own term of the loss is
// added.
func (o *Objective) Backward(m Micro) {
	torch.Seed(m.Draws)
	torch.Scoped(func() {
		if m.First {
			o.restart()
		}
		if m.part() == 0 {
			o.losses = append(o.losses, torch.Zeros(torch.Float32, o.device).Keep())
			return
		}
		p, s := o.put(m)
		made := o.graphs.Run(s, func() []*torch.Tensor { return o.backward(m.Task, m.First, p) })
		torch.NoGrad(func() {
			o.losses = append(o.losses, made[0].Clone().Keep())
			if len(made) > 1 {
				o.penalty = made[1].Clone().Keep()
			}
		})
	})
}

// backward is the part of Backward that the device makes: the loss, and the penalty
// where there is one.
func (o *Objective) backward(task int, first bool, p *place) []*torch.Tensor {
	loss := o.mean(task, p, o.dropout, true)
	share, made := loss.Mul(p.share), []*torch.Tensor{loss.Detach()}
	if r, ok := o.adapter.(adapter.Regularized); ok && first && o.adds {
		penalty := r.Penalty()
		share, made = share.Add(penalty), append(made, penalty.Detach())
	}
	share.Backward()
	torch.NoGrad(func() { o.total.AddInPlace(share.Detach()) })
	return made
}

// restart begins a step.
func (o *Objective) restart() {
	o.clear()
	torch.NoGrad(func() { o.total.Zero() })
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
	o.clear()
	return figures
}

// clear frees what is known of a step.
func (o *Objective) clear() {
	for _, loss := range o.losses {
		loss.Free()
	}
	o.penalty.Free()
	o.losses, o.penalty = nil, nil
}

func (o *Objective) free() {
	o.clear()
	o.total.Free()
	for _, p := range o.places {
		p.free()
	}
}

// mean is the mean loss over a batch of one task.
func (o *Objective) mean(task int, p *place, drop encoder.Dropout, training bool) *torch.Tensor {
	pass := o.adapter.Begin(adapter.Step{
		DType: o.dtype, Training: training, Task: o.tasks[task].Index, Tokens: int64(p.batch.Tokens), Dropout: p.batch.Dropout,
	})
	return of(o.tasks[task].Model.Logits(p.batch, pass, drop), p.gold)
}

// of is the mean over a batch: cross entropy, or the squared error of a regression's
// one output.
func of(logits, gold *torch.Tensor) *torch.Tensor {
	if gold.DType() == torch.Float32 {
		return logits.Reshape(-1).MSE(gold)
	}
	return logits.CrossEntropy(gold)
}

// Loss is the loss over micro-batches with the adapter as it is, without dropout, each
// task with its weight. It waits for the device.
func (o *Objective) Loss(micros []Micro) (loss float64) {
	for _, m := range micros {
		torch.NoGrad(func() {
			torch.Scoped(func() {
				loss += o.mean(m.Task, o.upload(m), encoder.Dropout{}, false).Item() * m.Share * o.tasks[m.Task].weight()
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
			g := torch.Gradients(o.mean(m.Task, o.upload(m), encoder.Dropout{}, false), []*torch.Tensor{parameter})[0]
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
			loss = of(rows, gold(set.Batch(set.Order(0, 0, false)), o.device)).Item()
		})
	})
	return loss
}
