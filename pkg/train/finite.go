package train

import (
	"fmt"
	"math"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/data"
	"github.com/metatt/metatt/pkg/optim"
	"github.com/metatt/metatt/pkg/torch"
)

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// checkFinite fails where something that a checkpoint would hold is not finite.
func (t *trainer) checkFinite() error {
	var tensors []*torch.Tensor
	var names []string
	for i, p := range t.parameters {
		first, second := t.optimizer.Moments(i)
		tensors = append(tensors, p.Tensor, first, second)
		moments := momentNames(p)
		names = append(names, p.Name, moments[0], moments[1])
	}
	for _, p := range adapter.Progress(t.Adapter) {
		tensors, names = append(tensors, p.Tensor), append(names, p.Name)
	}
	if i := optim.FirstNotFinite(tensors); i >= 0 {
		return fmt.Errorf("%s is not finite", names[i])
	}
	return nil
}

// notFinite ends a run at a step that was not made.
func (t *trainer) notFinite(step int, batch data.Batch, what string) error {
	const most = 64 // examples that are named
	var ids []string
	for _, i := range batch.Indices[:min(most, len(batch.Indices))] {
		ids = append(ids, t.Train.Examples[i].ID)
	}
	if more := len(batch.Indices) - most; more > 0 {
		ids = append(ids, fmt.Sprintf("%d more", more))
	}
	return fmt.Errorf("step %d: %s, and the step is not made: the learning rate %g may be too high, or something be wrong with the examples %s",
		step+1, what, t.Options.Schedule.Peak, strings.Join(ids, ", "))
}
