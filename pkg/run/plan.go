package run

import (
	"context"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/dmrg"
	"github.com/metatt/metatt/pkg/torch"
)

// Plan is what a run would do.
type Plan struct {
	Task, Method, Model, ModelType            string
	Hidden                                    int64
	Layers, Heads                             int
	Device, DType                             string
	Sites                                     int
	Targets                                   []string
	Modes                                     []adapter.Mode // of a tensor train that holds all updates
	Ranks                                     []int64
	AdapterParams, HeadParams, BackboneParams int64
	WholeParams                               int64    // of an adapter with frozen tasks, as stored; else 0
	FrozenTasks                               []string // which the run's task joins
	TrainsBackbone                            bool     // the adapter's parameters are the backbone's own
	Examples                                  []TaskExamples
	Steps, StepsPerEpoch, Epochs, BatchSize   int
	MemoryBytes                               int64      // estimate for the largest batch
	Sweeps                                    *dmrg.Plan // nil: the ranks stay
}

// TaskExamples is how many examples a task of the run has.
type TaskExamples struct {
	Task       string
	Train, Dev int
}

// Describe is [Session.Describe] in a session of one run.
func Describe(ctx context.Context, o Options) (*Plan, error) { return new(Session).Describe(ctx, o) }

// Describe reads and checks everything that training would, and says what it
// would do. Nothing is written.
func (s *Session) Describe(ctx context.Context, o Options) (*Plan, error) {
	a, err := s.assemble(ctx, o, nil)
	if err != nil {
		return nil, err
	}
	defer a.free()
	model, saved := a.first().Architecture(), a.adapter.Config()
	perEpoch := a.stepsPerEpoch()
	p := &Plan{
		Task: strings.Join(a.names(), ", "), Method: saved.Method, Model: a.modelDir, ModelType: model.ModelType,
		Hidden: model.Hidden, Layers: model.Layers, Heads: model.Heads,
		Device: a.device.String(), DType: a.config.Model.DType,
		Sites: model.Layers * len(saved.Targets), Targets: saved.Targets, Ranks: saved.Ranks,
		AdapterParams: adapter.Count(a.adapter.Parameters()), HeadParams: a.heads(), BackboneParams: a.first().Frozen(),
		FrozenTasks: adapter.FrozenTasks(a.adapter), TrainsBackbone: a.trainsBackbone(),
		Steps: a.options.Steps, StepsPerEpoch: perEpoch, Epochs: (a.options.Steps + perEpoch - 1) / perEpoch, BatchSize: a.options.BatchSize * max(1, a.options.Accumulate),
	}
	for _, t := range a.tasks {
		p.Examples = append(p.Examples, TaskExamples{t.task.Name, t.train.Len(), t.dev.Len()})
	}
	if p.WholeParams, err = a.wholeAdapter(); err != nil {
		return nil, err
	}
	p.MemoryBytes = a.memory()
	if a.ranks != nil {
		p.Sweeps = &a.ranks.Plan
	}
	if _, tensorTrain := a.adapter.(adapter.TensorTrain); !tensorTrain {
		return p, nil
	}
	return p, torch.Do(func() error {
		for i, core := range adapter.State(a.adapter) {
			if i < len(saved.Modes) {
				p.Modes = append(p.Modes, adapter.Mode{Name: saved.Modes[i], Size: core.Tensor.Size(1)})
			}
		}
		return nil
	})
}

// memory estimates what training holds at once: the backbone, four fp32 numbers
// for each trained one (value, gradient, two moments), and what the layers keep
// for backward of the largest batch. Those are, for each token and layer, about
// 24 vectors of the model's width (inputs, q, k, v and their padded copies,
// sublayer outputs and dropout masks), three of the feed-forward width, and for
// each head three rows of attention probabilities.
func (a *assembly) memory() int64 {
	model, element := a.first().Architecture(), a.dtype.Size()
	var kept int64 // of the task that keeps most
	for _, t := range a.tasks {
		longest := int64(t.train.Longest())
		tokens := int64(min(a.options.BatchSize, t.train.Len())) * longest
		perToken := 24*model.Hidden + 3*model.Intermediate + 3*int64(model.Heads)*longest
		kept = max(kept, tokens*perToken*int64(model.Layers)*element)
	}
	trained := adapter.Count(a.adapter.Parameters()) + a.heads()
	return a.first().Frozen()*element + trained*4*4 + kept
}
