package train

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/optim"
	"github.com/metatt/metatt/pkg/torch"
)

// Trainer is a run at work. Hooks are handed it between steps.
type Trainer struct {
	Setup
	graphs     *torch.Graphs
	objective  *Objective
	source     *Source
	optimizer  *optim.AdamW
	parameters []parameter // the adapter's, then the heads'
	frozen     []bool      // of them
	hooks      hooks
	journal    *journal
	best       *best
	clock      clock
	state      state
	company
	describe func(*EvalEvent) // of a hook that has something to say of an evaluation; may be nil
	awaits   bool             // see Await
	noted    bool             // that graphs have failed
	saved    *state           // in the last checkpoint that this process wrote; nil: it wrote none
}

// parameter is one that is trained, of the adapter or of a task's head.
type parameter struct {
	optim.Parameter
	task int // whose head it is of; -1: the adapter's
}

func newTrainer(s Setup) (*Trainer, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	var graphs *torch.Graphs
	if s.Tasks[0].Model.Packs() { // all stand on one backbone
		graphs = torch.NewGraphs(s.Device, s.Static)
	}
	t := &Trainer{Setup: s, graphs: graphs, objective: newObjective(s, graphs), source: newSource(s)}
	t.list()
	t.optimizer = optim.NewAdamW(t.forOptimizer(), s.Options.AdamW, graphs)
	if err := t.prepare(); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

// prepare takes up where the run is to begin or to go on.
func (t *Trainer) prepare() (err error) {
	if t.Resume != nil {
		if err := t.resume(t.Resume); err != nil {
			return &CheckpointError{err}
		}
	}
	if err := t.agree(); err != nil { // before rank 0 removes what others may be reading
		return err
	}
	t.best = &best{Trainer: t}
	t.clock.began(t.state)
	if t.journal, err = openJournal(t); err != nil {
		return err
	}
	if t.hooks, err = newHooks(t); err != nil {
		return err
	}
	return t.tidy()
}

// resume takes the state of a checkpoint over.
func (t *Trainer) resume(c *Checkpoint) error {
	t.state = c.state
	if err := t.state.check(t.Options); err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(c.Dir, stateFile), err)
	}
	return loadOptimizer(c, t.optimizer, adapter.Progress(t.Adapter))
}

// list takes stock of what is trained.
func (t *Trainer) list() {
	t.parameters = nil
	leaves := adapter.Leaves(t.Adapter)
	for i, p := range t.Adapter.Parameters() {
		t.add(p, leaves[i], -1, 1)
	}
	for k, task := range t.Tasks {
		for _, p := range task.Model.Head() {
			if len(t.Tasks) > 1 {
				p.Name = adapter.HeadPrefix(task.Name) + p.Name
			}
			t.add(p, p.Tensor, k, orOne(task.HeadScale))
		}
	}
	if t.frozen == nil {
		t.frozen = make([]bool, len(t.parameters))
	}
}

func (t *Trainer) add(p adapter.Parameter, leaf *torch.Tensor, task int, scale float64) {
	t.parameters = append(t.parameters, parameter{optim.Parameter{
		Name: p.Name, Value: p.Tensor, Leaf: leaf, Scale: scale, Undecayed: undecayed(p.Name),
	}, task})
}

// undecayed: weight decay is for matrices alone, as in BERT's own training.
func undecayed(name string) bool {
	return strings.HasSuffix(name, ".bias") || strings.Contains(name, "LayerNorm.")
}

func (t *Trainer) forOptimizer() []optim.Parameter {
	list := make([]optim.Parameter, len(t.parameters))
	for i, p := range t.parameters {
		list[i] = p.Parameter
	}
	return list
}

// idle tells which parameters a step leaves alone: those that are frozen, and heads of
// tasks that have no examples in it.
func (t *Trainer) idle(step Step) func(i int) bool {
	return func(i int) bool {
		task := t.parameters[i].task
		return t.frozen[i] || task >= 0 && !slices.ContainsFunc(step.Micros, func(m Micro) bool { return m.Task == task })
	}
}

// publish rounds fp32 masters into the model that they are of.
func (t *Trainer) publish() {
	if b, ok := t.Adapter.(adapter.BackboneTrainer); ok {
		b.Publish()
	}
}

// close frees everything, also where a device that failed has it panic.
func (t *Trainer) close() {
	if t.journal != nil {
		defer t.journal.close()
	}
	defer t.objective.free()
	defer t.optimizer.Free()
	t.source.take() // packing reads the tasks, which are the caller's again
	t.graphs.Forget()
}

func (t *Trainer) begin() {
	examples := 0
	for _, n := range t.source.examples() {
		examples += n
	}
	t.Observer.Begin(BeginInfo{
		Total: t.Options.Steps, Done: t.state.Step, Epochs: t.Epoch(t.Options.Steps),
		BatchSize: t.Options.BatchSize * t.source.accumulate, Examples: examples,
	})
}

// noteGraphs says, once, that what was to be a graph cannot be one.
func (t *Trainer) noteGraphs() {
	if err := t.graphs.Failed(); err != nil && !t.noted {
		t.Observer.Note(fmt.Sprintf("steps are not captured as CUDA graphs, which would be faster: %v", err))
		t.noted = true
	}
}

func (t *Trainer) folder(name string) string { return filepath.Join(t.Dir, "adapter", name) }

func (t *Trainer) result() Result {
	return Result{
		Steps: t.state.Step, Epochs: t.Epoch(t.state.Step), Stopped: t.state.Stopped, Last: t.state.Last, Best: t.state.Best,
		Seconds: t.clock.seconds(), SamplesPerSecond: t.clock.Trained.speed(), PeakBytes: t.recordedPeak(),
	}
}

// recordedPeak is the checkpoint's of the last step, where there is one, so that a summary that is
// made again of it says the same: writing it took memory, too.
func (t *Trainer) recordedPeak() int64 {
	if t.saved != nil && t.saved.Step == t.state.Step {
		return t.saved.PeakBytes
	}
	return t.peakMemory()
}

func (t *Trainer) peakMemory() int64 { return max(t.state.PeakBytes, peakMemory(t.Device)) }
