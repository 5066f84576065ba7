// Package predict is a saved adapter in use: what it makes of examples, of files
// that are read as they come, and how it is judged.
package predict

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"path/filepath"

	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/data"
	"github.com/metatt/metatt/pkg/place"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/tokenizer"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/train"
	"github.com/metatt/metatt/pkg/tuned"
)

// Options say what an adapter is put on. Empty fields are the defaults.
type Options struct {
	Task      string       // of an adapter for several; by default the only one
	Model     string       // folder or name; by default what the adapter recorded
	Device    string       // "cpu" by default; "auto", "cuda:1"
	DType     string       // of the frozen model: by default that of a run directory's run, else "fp32"; or "bf16"
	BatchSize int          // examples computed at once; 64 by default
	Note      func(string) // is told what the user should know; nil: nobody is
}

// Predictor is a saved adapter and head on their frozen model. Its methods may
// be called from several goroutines.
type Predictor struct {
	model     *tuned.Model
	tokens    *tokenizer.Tokenizer
	batchSize int
	note      func(string)
}

// Open reads an adapter and the model it was trained on. The folder is an
// adapter's, or a run directory, of which the best adapter is taken. One that PEFT
// wrote names no task: o.Task does.
func Open(dir string, o Options) (*Predictor, error) {
	if o.DType == "" && place.IsRun(dir) {
		c, err := config.Load([]string{filepath.Join(dir, place.ConfigFile)}, nil, nil)
		if err != nil {
			return nil, err
		}
		o.DType = place.RecordedDType(c.Model.DType, o.Device, func(text string) {
			if o.Note != nil {
				o.Note(text)
			}
		})
	}
	model, err := tuned.Open(dir, tuned.Options{Task: o.Task, Model: o.Model, Device: o.Device, DType: o.DType, Note: o.Note})
	if err != nil {
		return nil, err
	}
	p := &Predictor{model: model, batchSize: cmp.Or(o.BatchSize, 64), note: o.Note}
	if p.note == nil {
		p.note = func(string) {}
	}
	if p.tokens, err = tokenizer.Load(model.ModelDir); err != nil {
		p.Close()
		return nil, err
	}
	for _, text := range p.tokens.Notes() {
		p.note(text)
	}
	return p, nil
}

// Task is what the adapter was trained on, its labels in the order of the logits.
func (p *Predictor) Task() task.Task { return p.model.Task }

// DType is the number format of the frozen model, as model.dtype names it.
func (p *Predictor) DType() string { return p.model.DTypeName }

// Logits is one row of logits for each example, in order; a regression's row is
// its score. Only the texts of the examples are looked at. When ctx ends, the
// error is [train.ErrInterrupted].
func (p *Predictor) Logits(ctx context.Context, examples []task.Example) (rows [][]float32, err error) {
	flat, cut, err := p.logits(ctx, examples)
	p.noteCut(cut, len(examples))
	if err == nil {
		rows = make([][]float32, len(examples))
		for i := range rows {
			rows[i] = p.row(flat, i)
		}
	}
	return rows, err
}

// row is an example's logits, of those of all.
func (p *Predictor) row(flat []float32, example int) []float32 {
	outputs := p.model.Task.Outputs()
	return flat[example*outputs : (example+1)*outputs : (example+1)*outputs]
}

// noteCut says of how many examples only a part was looked at.
func (p *Predictor) noteCut(cut, examples int) {
	if cut > 0 {
		p.note(p.cutNote(cut, fmt.Sprintf("%d examples", examples)))
	}
}

func (p *Predictor) cutNote(cut int, of string) string {
	return fmt.Sprintf("%d of %s are longer than the %d tokens that adapter and model allow, and are cut", cut, of, p.model.MaxLength)
}

// logits is Logits end to end, and how many examples were cut.
func (p *Predictor) logits(ctx context.Context, examples []task.Example) (flat []float32, cut int, err error) {
	set, err := data.Encode(ctx, p.tokens, p.model.Task, examples, p.model.MaxLength)
	if err != nil {
		if ctx.Err() != nil {
			err = train.ErrInterrupted
		}
		return nil, 0, err
	}
	err = torch.Do(func() error {
		flat, err = train.Predict(ctx, p.model.Encoder, p.model.Adapter, set, p.batchSize, p.model.DType)
		return err
	})
	return flat, set.Cut(), err
}

// Prediction is what a model makes of an example.
type Prediction struct {
	Label         string    // the most probable; empty for a regression
	Probabilities []float64 // of the task's labels, in their order; nil for a regression
	Score         float64   // of a regression
}

// Predict is one prediction for each example, in order.
func (p *Predictor) Predict(ctx context.Context, examples []task.Example) ([]Prediction, error) {
	predictions, cut, err := p.predict(ctx, examples)
	p.noteCut(cut, len(examples))
	return predictions, err
}

// predict is Predict, and how many examples were cut.
func (p *Predictor) predict(ctx context.Context, examples []task.Example) (predictions []Prediction, cut int, err error) {
	flat, cut, err := p.logits(ctx, examples)
	if err != nil {
		return nil, 0, err
	}
	predictions = make([]Prediction, len(examples))
	for i := range predictions {
		row := p.row(flat, i)
		for _, logit := range row {
			if l := float64(logit); math.IsNaN(l) || math.IsInf(l, 0) {
				return nil, 0, fmt.Errorf("example %s has the logit %v: %s is damaged", examples[i].ID, logit, p.model.Dir)
			}
		}
		if p.model.Task.Regression {
			predictions[i].Score = float64(row[0])
			continue
		}
		predictions[i] = Prediction{Label: p.model.Task.Labels[task.Class(row)], Probabilities: softmax(row)}
	}
	return predictions, cut, nil
}

func softmax(logits []float32) []float64 {
	highest := logits[0]
	for _, logit := range logits {
		highest = max(highest, logit)
	}
	var sum float64
	probabilities := make([]float64, len(logits))
	for i, logit := range logits {
		probabilities[i] = math.Exp(float64(logit) - float64(highest))
		sum += probabilities[i]
	}
	for i := range probabilities {
		probabilities[i] /= sum
	}
	return probabilities
}

// Close releases the model and the adapter.
func (p *Predictor) Close() { p.model.Free() }
