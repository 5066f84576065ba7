package run

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/torch"
)

// Merge adds a saved adapter's updates to the weights of its model, in fp32 from
// the checkpoint's own, and writes the model with the adapter's head and its
// tokenizer into the new folder out, as transformers stores them. dir is an
// adapter folder or a run directory; model is what [PredictorOptions] says.
func Merge(dir, out, model string) error {
	if _, err := os.Stat(out); err == nil {
		return fmt.Errorf("%s is there already: choose a folder that is not", out)
	}
	p, err := OpenPredictor(dir, PredictorOptions{Model: model})
	if err != nil {
		return err
	}
	defer p.Close()
	if err := p.merge(); err != nil {
		return fmt.Errorf("%s: %w", p.dir, err)
	}
	// Under another name until it is whole.
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	staging, err := os.MkdirTemp(filepath.Dir(out), ".merge-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(staging)
	if err := os.Chmod(staging, 0o755); err != nil {
		return err
	}
	if err := p.model.Save(staging); err != nil {
		return err
	}
	if err := hf.CopyTokenizer(staging, p.modelDir); err != nil {
		return err
	}
	return os.Rename(staging, out)
}

// merge changes the model's weights; the predictor is not to be used after it.
func (p *Predictor) merge() error {
	if err := adapter.CheckMergeable(p.adapter); err != nil {
		return err
	}
	config := p.model.Config()
	if config.ProblemType = "single_label_classification"; p.task.Regression {
		config.ProblemType = "regression"
	} else {
		config.ID2Label = p.task.Labels
	}
	model := p.model.Architecture()
	return torch.Do(func() error {
		torch.NoGrad(func() {
			for layer := range model.Layers {
				for _, kind := range adapter.Kinds() {
					torch.Scoped(func() {
						site := model.Site(layer, kind)
						if delta := p.adapter.Delta(site); delta != nil {
							weight, _ := p.model.Projection(site)
							weight.AddInPlace(delta.T())
						}
					})
				}
			}
		})
		return nil
	})
}
