package main

import (
	"context"
	"io"
	"iter"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/report"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/task/glue"
	"github.com/metatt/metatt/pkg/torch"
)

// backend is what the commands call.
type backend struct {
	train       func(context.Context, run.Options) (*run.Summary, error)
	resume      func(ctx context.Context, dir string, o run.Options) (*run.Summary, error)
	describe    func(context.Context, run.Options) (*run.Plan, error)
	evaluate    func(context.Context, run.EvalOptions) (*run.Evaluation, error)
	predictor   func(dir string, o run.PredictorOptions) (predictor, error)
	merge       func(context.Context, run.MergeOptions) error
	export      func(context.Context, run.ExportOptions) (*run.Exported, error)
	inspect     func(run.InspectOptions) (*run.Inspection, error)
	plot        func(io.Writer, *run.Inspection) error
	methods     func() []adapter.Method
	importLoRA  func(run.ImportOptions) (*run.Imported, error)
	environment func() torch.Environment
	fetch       func(ctx context.Context, name string, o hf.FetchOptions) (hf.Fetched, error)
	fetchGLUE   func(ctx context.Context, dir string, t task.Task, o glue.FetchOptions) (already bool, err error)
}

func wired() backend {
	return backend{
		train:       run.Train,
		resume:      run.Resume,
		describe:    run.Describe,
		evaluate:    run.Evaluate,
		predictor:   openPredictor,
		merge:       run.Merge,
		export:      run.Export,
		inspect:     run.Inspect,
		plot:        report.PlotInspection,
		methods:     adapter.Methods,
		importLoRA:  run.Import,
		environment: torch.ReadEnvironment,
		fetch:       hf.Fetch,
		fetchGLUE:   glue.Fetch,
	}
}

// predictor is what predict needs of a [run.Predictor].
type predictor interface {
	Task() task.Task
	Predict(context.Context, []task.Example) ([]run.Prediction, error)
	Examples(run.Input) (iter.Seq2[task.Example, error], error)
	Stream(context.Context, iter.Seq2[task.Example, error], func(run.Prediction) error) error
	Close()
}

func openPredictor(dir string, o run.PredictorOptions) (predictor, error) {
	p, err := run.OpenPredictor(dir, o)
	if err != nil {
		return nil, err // and not an interface that holds a nil
	}
	return p, nil
}
