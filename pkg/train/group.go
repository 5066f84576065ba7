package train

import (
	"context"
	"fmt"
	"hash/crc32"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/parallel"
	"github.com/metatt/metatt/pkg/torch"
)

// company is what a run keeps of the processes that make it together. Of one process
// nothing is done here.
type company struct {
	own  context.Context    // this process's, which may be asked to stop
	stop context.CancelFunc // cancels what the hooks of all are given
	sums []float32          // what the processes of a step add up
}

// leads: this process owns files and talks.
func (t *Trainer) leads() bool { return parallel.Leads(t.Group) }

// asked is the context that hooks are given. In a group it is cancelled in all processes
// after the same step: when one of them has been asked to stop.
func (t *Trainer) asked(ctx context.Context) (context.Context, context.CancelFunc) {
	t.own = ctx
	if t.Group == nil {
		return ctx, func() {}
	}
	return context.WithCancel(context.WithoutCancel(ctx))
}

// request is 1 where this process was asked to stop.
func (t *Trainer) request() float32 {
	if t.own.Err() != nil {
		return 1
	}
	return 0
}

// sumUp makes what this process has computed of a step what all have: gradients, losses, the
// adapter's own term. All is one sum.
func (t *Trainer) sumUp(step Step) error {
	if t.Group == nil {
		return nil
	}
	t.sums = t.sums[:0]
	torch.NoGrad(func() { torch.Scoped(func() { t.gather(step) }) })
	if err := t.Group.Sum(fmt.Sprintf("the gradients of step %d", step.Number+1), t.sums); err != nil {
		return err
	}
	torch.NoGrad(func() { torch.Scoped(t.scatter) })
	return nil
}

// gather lays out what is summed up, which scatter reads in the same order.
func (t *Trainer) gather(step Step) {
	add := func(tensor *torch.Tensor, factor float32) {
		from := len(t.sums)
		t.sums = append(t.sums, make([]float32, tensor.Numel())...)
		values := t.sums[from:]
		torch.CopyTo(values, tensor.ToDType(torch.Float32))
		if factor != 1 {
			for i := range values {
				values[i] *= factor
			}
		}
	}
	for _, g := range t.optimizer.Gradients() {
		add(g, 1)
	}
	add(t.objective.total, 1)
	for i, loss := range t.objective.losses {
		add(loss, float32(step.Micros[i].part())) // a mean over this process's examples
	}
	if _, regularized := t.Adapter.(adapter.Regularized); regularized {
		if t.objective.penalty == nil { // the first process adds it
			t.objective.penalty = torch.Zeros(torch.Float32, t.Device).Keep()
		}
		add(t.objective.penalty, 1)
	}
	t.sums = append(t.sums, t.request())
}

// scatter puts the sums where this process had its own.
func (t *Trainer) scatter() {
	left := t.sums
	take := func(tensor *torch.Tensor) {
		n := tensor.Numel()
		tensor.CopyFrom(torch.Upload(left[:n], t.Device).Reshape(tensor.Shape()...))
		left = left[n:]
	}
	for _, g := range t.optimizer.Gradients() {
		take(g)
	}
	take(t.objective.total)
	for _, loss := range t.objective.losses {
		take(loss)
	}
	if t.objective.penalty != nil {
		take(t.objective.penalty)
	}
	if left[0] > 0 {
		t.stop()
	}
}

// agree is an error where the processes of a group have not come to the same bits: what a
// checkpoint holds of them would be one's alone.
func (t *Trainer) agree() error {
	if t.Group == nil {
		return nil
	}
	numbers := []uint32{uint32(t.state.Step)}
	torch.NoGrad(func() {
		torch.Scoped(func() {
			tensors := t.optimizer.Buffers()
			for _, p := range adapter.Progress(t.Adapter) {
				tensors = append(tensors, p.Tensor)
			}
			for _, tensor := range tensors {
				numbers = append(numbers, crc32.Checksum(tensor.To(torch.CPU).Contiguous().Bytes(), crc32.MakeTable(crc32.Castagnoli)))
			}
		})
	})
	if err := parallel.Agree(t.Group, "parameters or moments", numbers...); err != nil {
		return fmt.Errorf("step %d: %w", t.state.Step, err)
	}
	return nil
}

// shareOut tells which batches of an evaluation this process computes: in a group each takes
// its turn, and before each round of turns they hear whether one was asked to stop.
func (t *Trainer) shareOut() func(batch int) (mine bool, err error) {
	if t.Group == nil {
		return func(int) (bool, error) { return true, nil }
	}
	return func(batch int) (bool, error) {
		if batch%t.Group.Size() == 0 {
			asked := []float32{t.request()}
			if err := t.Group.Sum(fmt.Sprintf("the evaluation after step %d", t.state.Step), asked); err != nil {
				return false, err
			}
			if asked[0] > 0 {
				t.stop()
			}
		}
		return batch%t.Group.Size() == t.Group.Rank(), nil
	}
}
