package train

import (
	"errors"
	"fmt"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/data"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/optim"
	"github.com/metatt/metatt/pkg/parallel"
	"github.com/metatt/metatt/pkg/torch"
)

// Model is a frozen backbone with a trainable head.
type Model interface {
	// Check tells whether the model can take the input.
	Check(encoder.Input) error
	// Packs: batches of one shape can take each other's place.
	Packs() bool
	// NewBatch puts a checked input on the device.
	NewBatch(in encoder.Input) *encoder.Batch
	// NewBatchOf is NewBatch with room for others of that shape.
	NewBatchOf(in encoder.Input, shape encoder.Shape) *encoder.Batch
	// Logits is (examples, outputs), fp32.
	Logits(batch *encoder.Batch, pass adapter.Pass, drop encoder.Dropout) *torch.Tensor
	// Head lists the head's trainable fp32 tensors.
	Head() []adapter.Parameter
}

// Task is one task of a run.
type Task struct {
	Name       string
	Index      int   // among the tasks of an adapter with a task mode
	Model      Model // the backbone that all tasks share, with the task's head
	Train, Dev *data.Set
	Weight     float64 // factor of its loss; 0: 1
	HeadScale  float64 // factor of the learning rate for its head; 0: 1
}

func (t Task) weight() float64 { return orOne(t.Weight) }

func orOne(x float64) float64 {
	if x == 0 {
		return 1
	}
	return x
}

// Setup is everything a run needs. The tensors stay the caller's.
type Setup struct {
	// Group is the processes that make the run together, each with a setup of the same
	// values: they share out the examples of each micro-batch and the batches of each
	// evaluation, and make the same updates. Rank 0 alone writes files. nil: one process.
	Group    parallel.Group
	Adapter  adapter.Adapter
	Tasks    []Task
	Dir      string          // the run directory, which exists
	Records  []string        // files in Dir that others write by a temporary name
	Resume   *Checkpoint     // nil: from the start. Adapter and heads hold its tensors already
	DType    torch.DType     // of the backbone
	Dropout  encoder.Dropout // of training
	Device   torch.Device
	Options  Options
	Static   bool   // batches stand where graphs would read them, also where the device has none; models have to pack
	Hooks    []Hook // between the journal and evaluation, in order
	Observer Observer
	// SaveAdapter writes adapter and heads, as they are, as an adapter folder.
	SaveAdapter func(dir string) error
}

// Options are the constants of the loop.
type Options struct {
	Steps           int // all optimizer steps
	BatchSize       int // examples of a micro-batch
	Accumulate      int // micro-batches of a step; 0: 1
	EvalBatchSize   int
	Shuffle         bool
	Seed            uint64
	Mixture         Mixture // of several tasks
	Schedule        optim.Schedule
	AdamW           optim.AdamWConfig
	CheckpointEvery int // steps between checkpoints; 0: none but on interruption
	KeepCheckpoints int
	EvalEvery       int // steps between evaluations; 0: an epoch's
	Patience        int // evaluations in a row without a new best that end the run; 0: none do
	Best            Criterion
	Predictions     bool // keep the best adapter's, see PredictionsFile
}

// ErrInterrupted: the context was cancelled; the state is saved.
var ErrInterrupted = errors.New("interrupted")

// Result is what a run came to.
type Result struct {
	Steps   int        // updates done
	Epochs  int        // begun
	Stopped bool       // by patience, before all steps
	Last    []TaskEval // of the last evaluation; nil where there was none
	Best    *Best
	// All over all resumptions: seconds of training and evaluation, examples per
	// second of training alone, and the most memory: of the device where that is known, else
	// resident of a process.
	Seconds          float64
	SamplesPerSecond float64
	PeakBytes        int64
}

// check says what is wrong with a setup, if anything is.
func (s Setup) check() error {
	if len(s.Tasks) == 0 {
		return errors.New("no task to train on")
	}
	names := map[string]bool{}
	for _, task := range s.Tasks {
		switch {
		case names[task.Name]:
			return fmt.Errorf("the task %s is there twice", task.Name)
		case task.Train.Len() == 0:
			return fmt.Errorf("%s: no examples to train on", task.Name)
		case task.Dev.Len() == 0:
			return fmt.Errorf("%s: no examples to evaluate on", task.Name)
		}
		names[task.Name] = true
	}
	if o := s.Options; o.BatchSize < 1 || o.EvalBatchSize < 1 || o.Accumulate < 0 {
		return fmt.Errorf("batches of %d and %d examples, %d a step: each is at least 1", o.BatchSize, o.EvalBatchSize, o.Accumulate)
	}
	if s.Static && !s.Tasks[0].Model.Packs() {
		return errors.New("static batches of a model that pads for attention")
	}
	return s.Options.Best.check(s.Tasks)
}
