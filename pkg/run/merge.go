package run

import (
	"fmt"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/folder"
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/torch"
)

// Merge adds a saved adapter's updates to the weights of its model, in fp32 from
// the checkpoint's own, and writes the model with the adapter's head and its
// tokenizer into the new folder out, as transformers stores them. dir is an
// adapter folder or a run directory; model and task are what [PredictorOptions]
// says.
func Merge(dir, out, model, task string) error {
	if err := folder.CheckNew(out); err != nil {
		return err
	}
	p, err := OpenPredictor(dir, PredictorOptions{Model: model, Task: task})
	if err != nil {
		return err
	}
	defer p.Close()
	if err := p.merge(); err != nil {
		return fmt.Errorf("%s: %w", p.dir, err)
	}
	return folder.Make(out, func(dir string) error {
		if err := p.model.Save(dir); err != nil {
			return err
		}
		return hf.CopyTokenizer(dir, p.modelDir)
	})
}

// merge changes the model's weights; the predictor is not to be used after it.
func (p *Predictor) merge() error {
	config := p.model.Config()
	if config.ProblemType = "single_label_classification"; p.task.Regression {
		config.ProblemType = "regression"
	} else {
		config.ID2Label = p.task.Labels
	}
	return torch.Do(func() error {
		merged, err := adapter.Merge(p.adapter, p.model.Architecture(), p.model)
		if err != nil {
			return err
		}
		merged.Free()
		return nil
	})
}
