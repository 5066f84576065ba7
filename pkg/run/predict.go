package run

import (
	"context"
	"fmt"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/data"
	"github.com/metatt/metatt/pkg/glue"
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/models"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/tokenizer"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/train"
)

// Predictor is a saved adapter and head on their frozen model, on the CPU in
// fp32. Its methods may be called from several goroutines.
type Predictor struct {
	task    glue.Task
	tokens  *tokenizer.Tokenizer
	model   *encoder.Model
	adapter adapter.Adapter
}

// OpenPredictor reads an adapter folder and the model it was trained on: the
// folder or name in model, or what the adapter recorded where that is empty.
func OpenPredictor(adapterDir, model string) (p *Predictor, err error) {
	saved, err := adapter.Read(adapterDir)
	if err != nil {
		return nil, err
	}
	defer saved.Close()
	if len(saved.Config.Tasks) != 1 {
		return nil, fmt.Errorf("%s: an adapter for %d tasks; one is needed to predict", adapterDir, len(saved.Config.Tasks))
	}
	if model == "" {
		model = saved.Config.BaseModel
	}
	p = &Predictor{}
	defer func() {
		if err != nil {
			p.Close()
			p = nil
		}
	}()
	if p.task, err = glue.Lookup(saved.Config.Tasks[0]); err != nil {
		return p, fmt.Errorf("%s: %w", adapterDir, err)
	}
	dir, err := hf.Resolve(model)
	if err != nil {
		return p, err
	}
	if p.tokens, err = tokenizer.Load(dir); err != nil {
		return p, err
	}
	if p.model, err = models.Load(dir, encoder.Options{Labels: max(1, len(p.task.Labels)), DType: torch.Float32, Device: torch.CPU}); err != nil {
		return p, err
	}
	if p.adapter, err = saved.Open(p.model.Architecture(), torch.CPU); err != nil {
		return p, err
	}
	return p, saved.LoadHead(p.model.Head())
}

// Labels names the classes in the order of the logits; nil for a regression.
func (p *Predictor) Labels() []string { return p.task.Labels }

// Logits is one row of logits for each example, in order; a regression's row is
// its score. Only the texts of the examples are looked at.
func (p *Predictor) Logits(ctx context.Context, examples []glue.Example) (rows [][]float32, err error) {
	set, err := data.Encode(ctx, p.tokens, p.task, examples, p.model.MaxLength())
	if err != nil {
		return nil, err
	}
	var flat []float32
	err = torch.Do(func() error {
		const batchSize = 64
		flat, err = train.Predict(ctx, p.model, p.adapter, set, batchSize, torch.Float32)
		return err
	})
	for i := 0; i < len(flat); i += set.Outputs() {
		rows = append(rows, flat[i:i+set.Outputs()])
	}
	return rows, err
}

// Close releases the model and the adapter.
func (p *Predictor) Close() {
	if p.adapter != nil {
		p.adapter.Free()
	}
	if p.model != nil {
		p.model.Free()
	}
}
