// Package train is the training loop: micro-batches, gradients, updates, and between
// steps hooks: the journal, evaluation, checkpoints and what else is due. One adapter
// is trained on one task or several, with a head for each. It knows no method by name.
package train

import (
	"context"

	"github.com/metatt/metatt/pkg/torch"
)

// Run trains until all steps are done, the dev metric stays away for too long, or ctx
// is cancelled; then the state is saved and the error is [ErrInterrupted].
func Run(ctx context.Context, setup Setup) (Result, error) {
	var result Result
	err := torch.Do(func() (err error) {
		if torch.CanCapture(setup.Device) {
			defer torch.Finally(&err, torch.EnterStream(setup.Device).Leave)
		}
		setup.Device.ResetPeakMemory()
		t, err := newTrainer(setup)
		if err != nil {
			return err
		}
		defer torch.Finally(&err, t.close)
		err = t.loop(ctx)
		result = t.result()
		return err
	})
	return result, err
}

// loop makes the steps that are left.
func (t *Trainer) loop(ctx context.Context) error {
	ctx, t.stop = t.asked(ctx)
	defer t.stop()
	t.begin()
	for {
		if err := t.hooks.after(ctx, t); err != nil || t.done() {
			return err
		}
		step, err := t.source.Step(t.state.Step)
		if err != nil {
			return err
		}
		t.clock.start()
		torch.Scoped(func() {
			if err = t.gradients(step); err == nil {
				t.update(step)
			}
		})
		if err != nil {
			return err
		}
		t.clock.stop(step.Examples)
		t.noteGraphs()
	}
}

// gradients are those of the step, over all processes of a group, in the optimizer's buffers.
func (t *Trainer) gradients(step Step) error {
	t.optimizer.ZeroGradients()
	for _, micro := range step.Micros {
		t.objective.Backward(micro)
	}
	return t.sumUp(step)
}

// update changes the parameters by the gradients of the step's micro-batches. Whether
// it could be made shows when the journal reads the step's figures.
func (t *Trainer) update(step Step) {
	lr := t.Options.Schedule.LR(step.Number)
	outcome := t.optimizer.Step(lr, t.objective.sum(), t.idle(step))
	t.publish()
	t.journal.follow(step, lr, t.objective.figures(outcome))
	t.state.Step, t.state.Evaluated = step.Number+1, false
}

// done: there is nothing left to train.
func (t *Trainer) done() bool { return t.state.Step >= t.Options.Steps || t.state.Stopped }
