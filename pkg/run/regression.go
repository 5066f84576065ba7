package run

import (
	"fmt"
	"slices"

	"github.com/metatt/metatt/pkg/torch"
)

// centreRegressions lets the bias of a regression's output, where it was made for this run, begin at the mean of the
// training scores. From zero, as transformers has it, the first steps have to carry the mean: a bias takes mean / lr
// of them, and until then adapter and classifier turn the hidden states into a constant, out of which a run may not
// come back (STS-B on MiniLM at the rates that are its best: experiments/glue-minilm).
func (a *assembly) centreRegressions(from start) error {
	for _, t := range a.tasks {
		if !t.task.Regression {
			continue
		}
		head := t.model.Head()
		bias := head[len(head)-1] // of the last layer
		if !slices.Contains(t.model.Report().New, bias.Name) {
			continue // the checkpoint's
		}
		if saved := from.trained(); saved != nil && saved.BringsOfHead(t.task.Name, bias) {
			continue
		}
		mean := 0.0
		for _, example := range t.train.Examples {
			mean += example.Score / float64(t.train.Len())
		}
		err := torch.Do(func() error {
			torch.NoGrad(func() { bias.Tensor.CopyFrom(torch.FromSlice([]float32{float32(mean)})) })
			return nil
		})
		if err != nil {
			return err
		}
		a.observer.Note(fmt.Sprintf("%s: the output begins at %.4g, the mean of the training scores", t.task.Name, mean))
	}
	return nil
}
