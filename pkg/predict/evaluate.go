package predict

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/place"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/task/glue"
	"github.com/metatt/metatt/pkg/task/own"
)

// EvalOptions ask for an evaluation. What is empty is the run's own, or where an
// adapter folder is given the default.
type EvalOptions struct {
	Dir        string // a run directory, of which the best adapter is taken, or an adapter folder
	Split      string // "dev", also where it is empty, or "test"
	Data       string // file of own data in the place of the run's
	GLUE       string // GLUE folder
	GLUEDir    string // the environment's GLUE_DIR
	Submission string // zip file to put the predictions for GLUE's test sets into
	Predictor  Options
	Note       func(string) // is told what is being done; nil: nobody is

	judged      string // what own data is called in the result
	limit, seed int    // of the run's examples, as it drew them; 0: all
}

// Evaluation is what Evaluate found.
type Evaluation struct {
	Adapter    string      `json:"adapter"`
	Task       string      `json:"task"`
	Model      string      `json:"model"`
	Device     string      `json:"device"`
	DType      string      `json:"dtype"`
	Splits     []Judgement `json:"splits"`
	Submission []string    `json:"submission,omitempty"` // files put into the zip file
}

// Judgement is the figures of one split.
type Judgement struct {
	Split    string       `json:"split"` // or the file of own data that was asked for
	Examples int          `json:"examples"`
	Metrics  task.Metrics `json:"metrics"`
}

// Evaluate judges a saved adapter. Of MNLI both dev sets are judged, and with a
// submission the diagnostic set (AX) is predicted too.
func Evaluate(ctx context.Context, o EvalOptions) (*Evaluation, error) {
	if err := o.takeFromRun(); err != nil {
		return nil, err
	}
	if o.Predictor.Note == nil {
		o.Predictor.Note = o.Note
	}
	p, err := Open(o.Dir, o.Predictor)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	e := &Evaluation{Adapter: p.model.Dir, Task: p.model.Task.Name, Model: p.model.ModelDir, Device: p.model.Device.String(), DType: p.model.DTypeName}
	// Everything is looked at before anything is computed: what is missing shows at once.
	judged, err := p.readLabelled(o)
	if err != nil {
		return nil, err
	}
	var hidden []exampleSet
	if o.Submission != "" {
		if hidden, err = p.readHidden(o); err != nil {
			return nil, err
		}
		if err = glue.CheckZip(o.Submission); err != nil {
			return nil, err
		}
	}
	for _, set := range judged {
		set = o.draw(set)
		logits, err := p.setLogits(ctx, o, set)
		if err != nil {
			return nil, err
		}
		metrics, err := set.task.Evaluate(logits, set.task.Outputs(), set.examples)
		if err != nil {
			return nil, err
		}
		e.Splits = append(e.Splits, Judgement{Split: string(set.split), Examples: len(set.examples), Metrics: metrics})
	}
	if o.Submission == "" {
		return e, nil
	}
	submission := glue.Submission{}
	for _, set := range hidden {
		logits, err := p.setLogits(ctx, o, set)
		if err != nil {
			return nil, err
		}
		if err := submission.Add(set.task, set.split, logits, set.examples); err != nil {
			return nil, err
		}
	}
	e.Submission = submission.Names()
	return e, submission.WriteZip(o.Submission)
}

// exampleSet is one split of a task.
type exampleSet struct {
	task     task.Task
	split    task.Split
	examples []task.Example
}

func (p *Predictor) setLogits(ctx context.Context, o EvalOptions, set exampleSet) ([]float32, error) {
	o.note("%s: %d examples of %s", set.task.Name, len(set.examples), set.split)
	logits, cut, err := p.logits(ctx, set.examples)
	if cut > 0 {
		o.note("%s: %s", set.task.Name, p.cutNote(cut, fmt.Sprintf("%d examples of %s", len(set.examples), set.split)))
	}
	if label, one := set.task.OneClass(logits); one && err == nil {
		o.note("%s: every example of %s is predicted as %.40q", set.task.Name, set.split, label)
	}
	return logits, err
}

func readSplits(from task.Source, t task.Task, splits ...task.Split) ([]exampleSet, error) {
	var sets []exampleSet
	for _, split := range splits {
		examples, err := from.Read(t, split, nil)
		if err != nil {
			return nil, err
		}
		sets = append(sets, exampleSet{t, split, examples})
	}
	return sets, nil
}

// takeFromRun fills what is empty from the configuration of a run directory.
func (o *EvalOptions) takeFromRun() error {
	o.Split = cmp.Or(o.Split, "dev")
	if o.Split != "dev" && o.Split != "test" {
		return fmt.Errorf("no split %q to evaluate; there are dev and test", o.Split)
	}
	o.judged = cmp.Or(o.Data, o.Split)
	if !place.IsRun(o.Dir) {
		o.Predictor.Device = cmp.Or(o.Predictor.Device, "auto")
		return nil
	}
	c, err := config.Load([]string{filepath.Join(o.Dir, place.ConfigFile)}, nil, nil)
	if err != nil {
		return err
	}
	o.Predictor.Model = cmp.Or(o.Predictor.Model, c.Model.Path)
	if o.GLUE == "" {
		place.TakeRecorded(c, func(text string) { o.note("%s", text) })
	}
	if o.Predictor.Device == "" {
		o.Predictor.Device = place.RecordedDevice(c.Device, func(text string) { o.note("%s", text) })
	}
	if o.Predictor.DType == "" {
		o.Predictor.DType = place.RecordedDType(c.Model.DType, o.Predictor.Device, func(text string) { o.note("%s", text) })
	}
	o.Predictor.BatchSize = cmp.Or(o.Predictor.BatchSize, c.Train.EvalBatchSize)
	o.GLUE = cmp.Or(o.GLUE, c.Data.GLUE)
	if len(c.Tasks) == 1 { // of an adapter for several, the run's own
		o.Predictor.Task = cmp.Or(o.Predictor.Task, c.Task())
	}
	for _, name := range c.Tasks { // another task's data are not the run's
		if o.Data != "" || !adapter.SameTask(o.Predictor.Task, name) {
			continue
		}
		if name == own.TaskName {
			o.Data = map[string]string{"dev": c.Data.Dev, "test": c.Data.Test}[o.Split]
		}
		o.limit, o.seed = c.Drawn(name, false)
	}
	return nil
}

// draw leaves of the dev set what the run judged itself by. Of MNLI that is the matched
// one; the other is whole.
func (o EvalOptions) draw(set exampleSet) exampleSet {
	if set.split != task.Dev {
		return set
	}
	drawn := task.Draw(set.examples, o.limit, uint64(o.seed), string(set.split))
	if len(drawn) < len(set.examples) {
		o.note("%s: %d of %d examples of %s, as the run drew them; its adapter folder is judged by all", set.task.Name, len(drawn), len(set.examples), set.split)
	}
	set.examples = drawn
	return set
}

func (o *EvalOptions) note(format string, args ...any) {
	if o.Note != nil {
		o.Note(fmt.Sprintf(format, args...))
	}
}

// readLabelled reads what is to be judged.
func (p *Predictor) readLabelled(o EvalOptions) ([]exampleSet, error) {
	if p.model.Task.Name == own.TaskName {
		if o.Data == "" {
			return nil, fmt.Errorf("no file of own data to evaluate on: give --data FILE (or train with data.%s)", o.Split)
		}
		examples, err := own.Read(o.Data, p.model.Task)
		return []exampleSet{{p.model.Task, task.Split(o.judged), examples}}, err
	}
	if o.Data != "" {
		return nil, fmt.Errorf("%s is evaluated on GLUE's own files, not on %s; finetune predict takes any", p.model.Task.Name, o.Data)
	}
	if p.model.Task.Name != task.Sample && o.Split == "test" {
		return nil, errors.New("the labels of GLUE's test sets are hidden: --submission FILE.zip writes predictions that the GLUE site judges")
	}
	from, err := place.Examples(p.model.Task, o.GLUE, o.GLUEDir)
	if err != nil {
		return nil, err
	}
	splits := []task.Split{task.Split(o.Split)}
	if slices.Contains(p.model.Task.Splits, task.DevMismatched) {
		splits = append(splits, task.DevMismatched)
	}
	return readSplits(from, p.model.Task, splits...)
}

// readHidden reads the test sets of the task: of MNLI also the diagnostic set,
// where it is there.
func (p *Predictor) readHidden(o EvalOptions) ([]exampleSet, error) {
	splits := glue.SubmissionSplits(p.model.Task)
	if len(splits) == 0 {
		return nil, fmt.Errorf("task %s is none of GLUE's: nothing can be submitted", p.model.Task.Name)
	}
	from, err := place.Examples(p.model.Task, o.GLUE, o.GLUEDir)
	if err != nil {
		return nil, err
	}
	sets, err := readSplits(from, p.model.Task, splits...)
	if err != nil {
		return nil, err
	}
	diagnostic, err := task.Lookup("AX")
	if err != nil {
		return nil, err
	}
	if diagnostic, err = diagnostic.WithLabels(p.model.Task.Labels); err != nil {
		return sets, nil // the labels are not MNLI's
	}
	more, err := readSplits(from, diagnostic, task.Test)
	if errors.Is(err, fs.ErrNotExist) {
		o.note("no AX.tsv in the submission: %v", err)
		return sets, nil
	}
	return append(sets, more...), err
}
