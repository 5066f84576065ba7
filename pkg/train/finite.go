package train

import (
	"fmt"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/optim"
	"github.com/metatt/metatt/pkg/torch"
)

// CheckFinite is the error of something that a checkpoint would hold and that is not
// finite.
func (t *Trainer) CheckFinite() error {
	if name := t.optimizer.NotFinite(); name != "" {
		return fmt.Errorf("%s is not finite", name)
	}
	progress := adapter.Progress(t.Adapter)
	tensors := make([]*torch.Tensor, len(progress))
	for i, p := range progress {
		tensors[i] = p.Tensor
	}
	if i := optim.FirstNotFinite(tensors); i >= 0 {
		return fmt.Errorf("%s is not finite", progress[i].Name)
	}
	return nil
}

// culprit says why a step was not made. Nothing has changed since, so that its
// gradients can be made again and looked at.
func (t *Trainer) culprit(f figures, norm float64) string {
	if err := t.gradients(f.step); err != nil {
		return err.Error()
	}
	gradients := make([]*torch.Tensor, len(t.parameters))
	for i := range gradients {
		gradients[i] = t.optimizer.Gradient(i)
	}
	if i := optim.FirstNotFinite(gradients); i >= 0 {
		return fmt.Sprintf("the gradient of %s is not finite", t.parameters[i].Name)
	}
	if optim.Finite(norm) {
		for _, later := range slices.Backward(t.journal.pending) {
			t.optimizer.Uncount(t.idle(later.step))
		}
		return t.optimizer.Overflown(f.lr, t.idle(f.step)) + " would not be finite after the update"
	}
	return fmt.Sprintf("the norm of the gradients is %g", norm)
}

// notMade ends a run at a step that was not made.
func (t *Trainer) notMade(f figures, what string) error {
	const most = 64 // examples that are named
	var ids []string
	for _, m := range f.step.Micros {
		for _, i := range m.examples() {
			id := t.Tasks[m.Task].Train.Examples[i].ID
			if len(t.Tasks) > 1 {
				id = t.Tasks[m.Task].Name + " " + id
			}
			ids = append(ids, id)
		}
	}
	if more := len(ids) - most; more > 0 {
		ids = append(ids[:most], fmt.Sprintf("%d more", more))
	}
	return fmt.Errorf("step %d: %s, and the step is not made: the learning rate %g may be too high, or something be wrong with the examples %s",
		f.step.Number+1, what, t.Options.Schedule.Peak, strings.Join(ids, ", "))
}
