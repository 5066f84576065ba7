// Package train is the training loop: batches, gradients, updates, evaluation
// and checkpoints of one adapter and head on one task. It knows no method by
// name.
package train

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/data"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/optim"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/torch"
)

// Model is a frozen backbone with a trainable head.
type Model interface {
	// Check tells whether the model can take the input.
	Check(encoder.Input) error
	// Forward is the logits (examples, outputs), fp32.
	Forward(in encoder.Input, pass adapter.Pass, drop encoder.Dropout) *torch.Tensor
	// Head lists the head's trainable fp32 tensors.
	Head() []adapter.Parameter
}

// Setup is everything a run needs. The tensors stay the caller's.
type Setup struct {
	Model      Model
	Adapter    adapter.Adapter
	Task       int // that Train and Dev are of, of an adapter with a task mode
	Train, Dev *data.Set
	Dir        string          // the run directory, which exists
	Records    []string        // files in Dir that others write by a temporary name
	Resume     *Checkpoint     // nil: from the start. Adapter and head hold its tensors already
	DType      torch.DType     // of the backbone
	Dropout    encoder.Dropout // of training
	Device     torch.Device
	Options    Options
	Ranks      *Ranks // nil: they stay as they are
	Observer   Observer
	// SaveAdapter writes adapter and head, as they are, as an adapter folder.
	SaveAdapter func(dir string) error
}

// Options are the constants of the loop.
type Options struct {
	Steps           int // S, all optimizer steps
	BatchSize       int
	EvalBatchSize   int
	Shuffle         bool
	Seed            uint64
	Schedule        optim.Schedule
	AdamW           optim.AdamWConfig
	ClipNorm        float64 // 0: none
	CheckpointEvery int     // steps between checkpoints; 0: none but on interruption
	KeepCheckpoints int
	BestMetric      string // a metric of the task; of equals the earlier is best
}

// ErrInterrupted: the context was cancelled; the state is saved.
var ErrInterrupted = errors.New("interrupted")

// Best is the best evaluation so far.
type Best struct {
	Epoch  int      `json:"epoch"`
	Step   int      `json:"step"`
	Metric string   `json:"metric"`
	Value  *float64 `json:"value"` // nil: undefined
}

// Result is what a run came to.
type Result struct {
	Steps  int          // updates done
	Epochs int          // begun
	Last   task.Metrics // of the last evaluation; nil where there was none
	Best   *Best
	// All over all resumptions: seconds of training and evaluation, examples per
	// second of training alone, largest resident memory of a process.
	Seconds          float64
	SamplesPerSecond float64
	PeakBytes        int64
}

// StepsPerEpoch is the number of batches of an epoch; the last may be short.
func StepsPerEpoch(examples, batchSize int) int { return (examples + batchSize - 1) / batchSize }

// Run trains until all steps are done or ctx is cancelled; then the state is
// saved and the error is [ErrInterrupted].
func Run(ctx context.Context, setup Setup) (Result, error) {
	var result Result
	err := torch.Do(func() error {
		t, err := newTrainer(setup)
		if err != nil {
			return err
		}
		defer t.close()
		err = t.run(ctx)
		result = t.result()
		return err
	})
	return result, err
}

type trainer struct {
	Setup
	parameters []adapter.Parameter // adapter's and head's
	leaves     []*torch.Tensor     // what gradients are taken of, in their order
	active     []bool              // which of them are trained now
	sweeper    *sweeper            // nil: ranks stay as they are
	optimizer  *optim.AdamW
	metrics    *journal
	timings    *journal
	state      state
	perEpoch   int

	bestStep int       // that adapter/best is of; 0: there is none
	began    time.Time // this process
	trained  lap       // by this process
}

func newTrainer(s Setup) (*trainer, error) {
	t := &trainer{Setup: s, perEpoch: StepsPerEpoch(s.Train.Len(), s.Options.BatchSize), began: time.Now()}
	var err error
	if t.sweeper, err = newSweeper(s); err != nil {
		return nil, err
	}
	t.list()
	masters := make([]*torch.Tensor, len(t.parameters))
	for i, p := range t.parameters {
		masters[i] = p.Tensor
	}
	t.optimizer = optim.NewAdamW(masters, s.Options.AdamW)
	if s.Resume != nil {
		if err := t.resume(s.Resume); err != nil {
			t.optimizer.Free()
			return nil, &CheckpointError{err}
		}
	}
	t.activate()
	if t.metrics, t.timings, err = openJournals(s.Dir, t.state); err != nil {
		t.optimizer.Free()
		return nil, err
	}
	if err := t.tidy(); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

// resume takes the state of a checkpoint over.
func (t *trainer) resume(c *Checkpoint) error {
	t.state = c.state
	if err := t.state.check(t.Options, t.sweeper); err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(c.Dir, stateFile), err)
	}
	return loadOptimizer(c, t.optimizer, t.parameters, adapter.Progress(t.Adapter))
}

// list takes stock of what is trained.
func (t *trainer) list() {
	head := t.Model.Head()
	t.parameters = slices.Concat(t.Adapter.Parameters(), head)
	t.leaves = slices.Clone(adapter.Leaves(t.Adapter))
	for _, p := range head {
		t.leaves = append(t.leaves, p.Tensor)
	}
	for _, leaf := range t.leaves {
		leaf.SetRequiresGrad(true)
	}
}

// gradients are those of the leaves that are trained now, clipped together, in
// fp32; nil for the others.
func (t *trainer) gradients(objective *torch.Tensor) ([]*torch.Tensor, error) {
	var trained []*torch.Tensor
	var names []string
	for i, leaf := range t.leaves {
		if t.active[i] {
			trained, names = append(trained, leaf), append(names, t.parameters[i].Name)
		}
	}
	found := torch.Gradients(objective, trained)
	for i, g := range found {
		found[i] = g.ToDType(torch.Float32) // of a bf16 backbone that is trained
	}
	if norm := optim.Clip(found, t.Options.ClipNorm); !optim.Finite(norm) {
		if i := optim.FirstNotFinite(found); i >= 0 {
			return nil, fmt.Errorf("the gradient of %s is not finite", names[i])
		}
		return nil, fmt.Errorf("the norm of the gradients is %g", norm)
	}
	all := make([]*torch.Tensor, len(t.leaves))
	for i := range all {
		if t.active[i] {
			all[i], found = found[0], found[1:]
		}
	}
	return all, nil
}

// adaptRanks lets an adapter whose ranks fall do so, and the optimizer follow.
func (t *trainer) adaptRanks(step int, gradients []*torch.Tensor) {
	r, ok := t.Adapter.(adapter.RankAdapter)
	if !ok {
		return
	}
	shrunk := r.AfterUpdate(step, t.Options.Steps, gradients[:len(gradients)-len(t.Model.Head())])
	if len(shrunk) == 0 {
		return
	}
	t.list()
	t.activate()
	for _, s := range shrunk {
		t.optimizer.Shrink(s.Parameter, t.parameters[s.Parameter].Tensor, s.Dim, s.Keep)
	}
}

func (t *trainer) close() {
	t.optimizer.Free()
	t.metrics.close()
	t.timings.close()
}

func (t *trainer) run(ctx context.Context) error {
	total := t.Options.Steps
	t.Observer.Begin(BeginInfo{
		Total: total, Done: t.state.Step, Epochs: t.epoch(total),
		BatchSize: t.Options.BatchSize, Examples: t.Train.Len(),
	})
	var order []int
	for {
		if err := t.afterStep(ctx); err != nil || t.state.Step == total {
			return err
		}
		step := t.state.Step // from 0
		epoch, batch := step/t.perEpoch, step%t.perEpoch
		if order == nil || batch == 0 {
			order = t.Train.Order(t.Options.Seed, epoch, t.Options.Shuffle)
		}
		first := batch * t.Options.BatchSize
		indices := order[first:min(first+t.Options.BatchSize, len(order))]
		if err := t.step(step, t.Train.Batch(t.heldOut(indices))); err != nil {
			return err
		}
	}
}

// step is one update, and its event.
func (t *trainer) step(step int, batch data.Batch) error {
	began := time.Now()
	in, err := input(t.Model, batch)
	if err != nil {
		return err
	}
	lr := t.Options.Schedule.LR(step)
	var loss float64
	var penalty *float64
	torch.Seed(stepSeed(t.Options.Seed, step))
	torch.Scoped(func() {
		pass := t.Adapter.Begin(adapter.Step{DType: t.DType, Training: true, Task: t.Task, Tokens: int64(len(batch.IDs))})
		objective := t.loss(t.Model.Forward(in, pass, t.Dropout), batch)
		loss = objective.Item()
		sum := loss
		if r, ok := t.Adapter.(adapter.Regularized); ok {
			term := r.Penalty()
			value := term.Item()
			objective, penalty, sum = objective.Add(term), &value, loss+value
		}
		if !finite(sum) {
			err = fmt.Errorf("the loss is %v", sum)
			return
		}
		err = t.update(step, lr, objective)
	})
	if err != nil {
		return t.notFinite(step, batch, err.Error())
	}
	t.state.Step, t.state.Evaluated = step+1, false
	seconds := time.Since(began).Seconds()
	for _, l := range []*lap{&t.trained, &t.state.Trained, &t.state.Lap} {
		l.add(seconds, len(batch.Indices))
	}
	info := StepInfo{
		Step: step + 1, Total: t.Options.Steps, Epoch: t.epoch(step + 1), Loss: loss, LR: lr,
		SamplesPerSecond: t.trained.speed(), ETA: t.eta(),
	}
	event := StepEvent{Event: "step", Step: step + 1, Loss: float32(loss), LR: lr}
	if penalty != nil {
		info.Penalty, event.Penalty = *penalty, new(float32)
		*event.Penalty = float32(*penalty)
	}
	t.Observer.Step(info)
	return t.metrics.append(event)
}

// update changes the parameters by the gradients of the objective. Where something
// of that is not finite, they stay and the error says what.
func (t *trainer) update(step int, lr float64, objective *torch.Tensor) error {
	gradients, err := t.gradients(objective)
	if err != nil {
		return err
	}
	t.scalePair(step)
	if i := t.optimizer.Step(lr, gradients); i >= 0 {
		return fmt.Errorf("%s would not be finite after the update", t.parameters[i].Name)
	}
	if b, ok := t.Adapter.(adapter.BackboneTrainer); ok {
		b.Publish()
	}
	t.adaptRanks(step+1, gradients)
	return nil
}

// loss is the mean over the batch: cross entropy, or the squared error of a
// regression's one output.
func (t *trainer) loss(logits *torch.Tensor, batch data.Batch) *torch.Tensor {
	if batch.Labels == nil {
		return logits.Reshape(-1).MSE(torch.FromSlice(batch.Scores).To(t.Device))
	}
	return logits.CrossEntropy(torch.FromSlice(batch.Labels).To(t.Device))
}

// afterStep does what is due after the steps done so far: sweeps, evaluation at
// the end of an epoch and of the run, checkpoints. Interrupted, it saves and says so.
func (t *trainer) afterStep(ctx context.Context) error {
	step := t.state.Step
	if err := t.adaptCores(); err != nil {
		return err
	}
	epochEnd := step > 0 && (step%t.perEpoch == 0 || step == t.Options.Steps)
	if epochEnd && !t.state.Evaluated {
		if err := t.evaluate(ctx); err != nil && !errors.Is(err, ErrInterrupted) {
			return err
		}
	}
	if ctx.Err() != nil {
		if err := t.save(); err != nil {
			return err
		}
		return errors.Join(t.SaveAdapter(t.folder("last")), ErrInterrupted)
	}
	if every := t.Options.CheckpointEvery; every > 0 && step > 0 && (step%every == 0 || step == t.Options.Steps) && t.checkpointDue() {
		if err := t.save(); err != nil {
			return err
		}
	}
	if step == t.Options.Steps {
		return t.SaveAdapter(t.folder("last"))
	}
	return nil
}

// checkpointDue is false right after resuming: that checkpoint is there.
func (t *trainer) checkpointDue() bool {
	return t.Resume == nil || t.state.Step != t.Resume.state.Step || t.state.Evaluated != t.Resume.state.Evaluated
}

func (t *trainer) folder(name string) string { return filepath.Join(t.Dir, "adapter", name) }

// epoch is the epoch, from 1, that step belongs to.
func (t *trainer) epoch(step int) int { return max(1, (step+t.perEpoch-1)/t.perEpoch) }

// seconds is the time since the run began, without the pauses between
// resumptions.
func (t *trainer) seconds() float64 {
	before := 0.0
	if t.Resume != nil {
		before = t.Resume.state.Seconds
	}
	return before + time.Since(t.began).Seconds()
}

func (t *trainer) eta() time.Duration {
	left := (t.Options.Steps - t.state.Step) * t.Options.BatchSize
	return time.Duration(float64(left) * t.trained.Seconds / float64(t.trained.Samples) * float64(time.Second))
}

func (t *trainer) peakMemory() int64 { return max(t.state.PeakBytes, peakMemory()) }

func (t *trainer) result() Result {
	return Result{
		Steps: t.state.Step, Epochs: t.epoch(t.state.Step), Last: t.state.Last, Best: t.state.Best,
		Seconds: t.seconds(), SamplesPerSecond: t.state.Trained.speed(), PeakBytes: t.peakMemory(),
	}
}

// stepSeed mixes run seed and step (splitmix64's finaliser): neighbouring steps
// get unrelated generators.
func stepSeed(seed uint64, step int) uint64 {
	z := seed + 0x9e3779b97f4a7c15*uint64(step+1)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
