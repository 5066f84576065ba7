package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/data"
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/models"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/task/own"
	"github.com/metatt/metatt/pkg/tokenizer"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/train"
)

// PredictorOptions say what an adapter is put on. Empty fields are the defaults.
type PredictorOptions struct {
	Task      string       // of an adapter for several; by default the only one
	Model     string       // folder or name; by default what the adapter recorded
	Device    string       // "cpu" by default; "auto", "cuda:1"
	DType     string       // of the frozen model: "fp32" by default, or "bf16"
	BatchSize int          // examples computed at once; 64 by default
	Note      func(string) // is told what the user should know; nil: nobody is
}

// Predictor is a saved adapter and head on their frozen model. Its methods may
// be called from several goroutines.
type Predictor struct {
	dir       string // of the adapter
	modelDir  string
	task      task.Task
	maxLength int
	batchSize int
	dtypeName string
	dtype     torch.DType
	device    torch.Device
	tokens    *tokenizer.Tokenizer
	model     *encoder.Model
	adapter   adapter.Adapter
}

// OpenPredictor reads an adapter and the model it was trained on. The folder is
// an adapter's, or a run directory, of which the best adapter is taken. One that
// PEFT wrote names no task: o.Task does.
func OpenPredictor(dir string, o PredictorOptions) (*Predictor, error) {
	p, err := openPredictor(dir, o, true)
	if err != nil {
		return nil, err
	}
	if p.tokens, err = tokenizer.Load(p.modelDir); err != nil {
		p.Close()
		return nil, err
	}
	if o.Note != nil {
		for _, text := range p.tokens.Notes() {
			o.Note(text)
		}
	}
	return p, nil
}

// openPredictor is OpenPredictor without the tokenizer. With needsTask false, an
// adapter may name no task, and the options none either.
func openPredictor(dir string, o PredictorOptions, needsTask bool) (p *Predictor, err error) {
	dir, err = adapterFolder(dir)
	if err != nil {
		return nil, err
	}
	saved, err := adapter.Read(dir)
	if err != nil {
		return nil, err
	}
	defer saved.Close()
	p = &Predictor{dir: dir, batchSize: cmp.Or(o.BatchSize, 64), dtypeName: cmp.Or(o.DType, "fp32")}
	defer func() {
		if err != nil {
			p.Close()
			p = nil
		}
	}()
	defer func() { noteAll(saved, o.Note) }()
	index := 0
	switch {
	case len(saved.Config.Tasks) > 0:
		if index, err = chooseTask(saved, o.Task); err != nil {
			return p, err
		}
		if p.task, err = savedTask(saved.Config, index); err != nil {
			return p, fmt.Errorf("%s: %w", filepath.Join(dir, adapter.ConfigFile), err)
		}
	case o.Task == "" && needsTask:
		return p, fmt.Errorf("%s names no task: --task NAME says what its classifier is for", filepath.Join(dir, adapter.ConfigFile))
	}
	var known bool
	if p.dtype, known = dtypes[p.dtypeName]; !known {
		return p, invalid("model.dtype", fmt.Errorf("%q is unknown; legal: fp32, bf16", p.dtypeName))
	}
	if p.device, err = torch.ParseDevice(cmp.Or(o.Device, "cpu")); err != nil {
		return p, invalid("device", err)
	}
	if p.modelDir, err = findModel(o.Model, saved); err != nil {
		return p, err
	}
	labels := p.task.Outputs()
	if len(saved.Config.Tasks) == 0 {
		if p.task, labels, err = nameTask(saved, o.Task, p.modelDir, o.Note); err != nil {
			return p, err
		}
	}
	if p.model, err = models.Load(p.modelDir, encoder.Options{Labels: labels, DType: p.dtype, Device: p.device, TrainPooler: saved.BringsPooler()}); err != nil {
		return p, err
	}
	p.maxLength = p.model.MaxLength()
	name := ""
	if len(saved.Config.Tasks) > 0 {
		name = saved.Config.Tasks[index]
	}
	if trained := saved.Config.LongestOf(name); trained > 0 {
		p.maxLength = min(p.maxLength, trained)
	}
	opened, err := openAdapter(saved, name, p.model, p.device, o.Note)
	if err != nil {
		return p, err
	}
	p.adapter = adapter.ForTask(opened, index)
	return p, nil
}

// findModel is the folder of a saved adapter's model: one that the options name,
// or that the adapter recorded.
func findModel(named string, saved *adapter.Saved) (string, error) {
	ref := cmp.Or(named, saved.Config.ModelRef())
	if ref == "" {
		return "", fmt.Errorf("%s names no model: --model FOLDER says what it is for", filepath.Join(saved.Dir, adapter.ConfigFile))
	}
	return hf.Resolve(ref)
}

// nameTask settles the task of an adapter that names none: the one of that name,
// with the classes in the order of the checkpoint's names, or where that is empty
// none. labels is the number of the head's outputs, 0 where nothing says it.
func nameTask(saved *adapter.Saved, name, modelDir string, note func(string)) (t task.Task, labels int, err error) {
	model, err := hf.ReadConfig(modelDir)
	if err != nil {
		return t, 0, err
	}
	if labels, err = saved.Outputs(int64(model.HiddenSize)); err != nil || name == "" {
		return t, labels, err
	}
	if name == own.TaskName {
		return t, 0, fmt.Errorf("%s does not say what the labels and columns of own data are: it cannot be used for task %s", filepath.Join(saved.Dir, adapter.ConfigFile), name)
	}
	if note == nil {
		note = func(string) {}
	}
	s := source{}
	if s.task, err = task.Lookup(name); err != nil {
		return t, 0, err
	}
	if err = s.orderClasses(modelDir, nil, note); err != nil {
		return t, 0, err
	}
	if s.guessed != "" {
		note(s.guessed)
	}
	want := s.task.Outputs()
	if labels != 0 && labels != want {
		return t, 0, fmt.Errorf("%s: the adapter's classifier has %d outputs, %s has %d", saved.Dir, labels, s.task.Name, want)
	}
	return s.task, want, nil
}

// chooseTask is the index of the task that --task names, or of the only one.
func chooseTask(saved *adapter.Saved, name string) (int, error) {
	index, err := saved.Config.Task(name)
	switch {
	case err != nil && name == "" && len(saved.Config.Tasks) > 1:
		return 0, fmt.Errorf("%s: %w: choose it by --task", saved.Dir, err)
	case err != nil:
		return 0, fmt.Errorf("%s: %w", filepath.Join(saved.Dir, adapter.ConfigFile), err)
	}
	return index, nil
}

// adapterFolder is dir itself, or of a run directory that of its best adapter, or
// of its last one where none has been judged.
func adapterFolder(dir string) (string, error) {
	if !isRun(dir) {
		return dir, nil
	}
	for _, name := range []string{"best", "last"} {
		folder := filepath.Join(dir, "adapter", name)
		if _, err := os.Stat(folder); err == nil || !errors.Is(err, fs.ErrNotExist) {
			return folder, err
		}
	}
	return "", fmt.Errorf("%s: the run has no adapter yet", dir)
}

// isRun tells a run directory from an adapter folder.
func isRun(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, ConfigFile))
	return err == nil
}

// savedTask is a task that an adapter was trained on, its classes in the order of
// the head's rows.
func savedTask(c adapter.Config, index int) (task.Task, error) {
	name := c.Tasks[index]
	labels := c.Labels[name]
	if name == own.TaskName {
		columns := task.Columns(c.Columns[name])
		if err := own.CheckColumns(columns); err != nil {
			return task.Task{}, fmt.Errorf("columns of task %s: %w", name, err)
		}
		return own.Task(columns, labels)
	}
	t, err := task.Lookup(name)
	if err != nil || labels == nil {
		return t, err
	}
	return t.WithLabels(labels)
}

// Task is what the adapter was trained on, its labels in the order of the logits.
func (p *Predictor) Task() task.Task { return p.task }

// Logits is one row of logits for each example, in order; a regression's row is
// its score. Only the texts of the examples are looked at. When ctx ends, the
// error is [train.ErrInterrupted].
func (p *Predictor) Logits(ctx context.Context, examples []task.Example) (rows [][]float32, err error) {
	flat, err := p.logits(ctx, examples)
	for outputs := p.task.Outputs(); len(flat) > 0; flat = flat[outputs:] {
		rows = append(rows, flat[:outputs])
	}
	return rows, err
}

// logits is Logits end to end.
func (p *Predictor) logits(ctx context.Context, examples []task.Example) (flat []float32, err error) {
	set, err := data.Encode(ctx, p.tokens, p.task, examples, p.maxLength)
	if err != nil {
		if ctx.Err() != nil {
			err = train.ErrInterrupted
		}
		return nil, err
	}
	err = torch.Do(func() error {
		flat, err = train.Predict(ctx, p.model, p.adapter, set, p.batchSize, p.dtype)
		return err
	})
	return flat, err
}

// Prediction is what a model makes of an example.
type Prediction struct {
	Label         string    // the most probable; empty for a regression
	Probabilities []float64 // of the task's labels, in their order; nil for a regression
	Score         float64   // of a regression
}

// Predict is one prediction for each example, in order.
func (p *Predictor) Predict(ctx context.Context, examples []task.Example) ([]Prediction, error) {
	rows, err := p.Logits(ctx, examples)
	if err != nil {
		return nil, err
	}
	predictions := make([]Prediction, len(rows))
	for i, row := range rows {
		for _, logit := range row {
			if l := float64(logit); math.IsNaN(l) || math.IsInf(l, 0) {
				return nil, fmt.Errorf("example %s has the logit %v: %s is damaged", examples[i].ID, logit, p.dir)
			}
		}
		if p.task.Regression {
			predictions[i].Score = float64(row[0])
			continue
		}
		predictions[i] = Prediction{Label: p.task.Labels[task.Class(row)], Probabilities: softmax(row)}
	}
	return predictions, nil
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
func (p *Predictor) Close() {
	if p.adapter != nil {
		p.adapter.Free()
	}
	if p.model != nil {
		p.model.Free()
	}
}
