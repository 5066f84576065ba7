package main

import (
	"context"
	"io"
	"iter"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/convert"
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/inspect"
	"github.com/metatt/metatt/pkg/parallel"
	"github.com/metatt/metatt/pkg/predict"
	"github.com/metatt/metatt/pkg/repeat"
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
	repeat      func(ctx context.Context, dir, into string, o run.Options, note func(string)) (*repeat.Plan, error)
	evaluate    func(context.Context, predict.EvalOptions) (*predict.Evaluation, error)
	predictor   func(dir string, o predict.Options) (predictor, error)
	merge       func(context.Context, convert.MergeOptions) error
	export      func(context.Context, convert.ExportOptions) (*convert.Exported, error)
	inspect     func(inspect.Options) (*inspect.Inspection, error)
	plot        func(io.Writer, *inspect.Inspection) error
	methods     func() []adapter.Method
	importLoRA  func(convert.ImportOptions) (*convert.Imported, error)
	environment func() torch.Environment
	mpi         func() (name, path string, err error)
	join        func(env func(string) (string, bool), output io.Writer) (job, error)
	fetch       func(ctx context.Context, name string, o hf.FetchOptions) (hf.Fetched, error)
	fetchGLUE   func(ctx context.Context, dir string, t task.Task, o glue.FetchOptions) (already bool, err error)
}

func wired() backend {
	return backend{
		train:       run.Train,
		resume:      run.Resume,
		describe:    run.Describe,
		repeat:      repeat.Prepare,
		evaluate:    predict.Evaluate,
		predictor:   openPredictor,
		merge:       convert.Merge,
		export:      convert.Export,
		inspect:     inspect.Adapter,
		plot:        report.PlotInspection,
		methods:     adapter.Methods,
		importLoRA:  convert.Import,
		environment: torch.ReadEnvironment,
		mpi:         parallel.Library,
		join:        join,
		fetch:       hf.Fetch,
		fetchGLUE:   glue.Fetch,
	}
}

// predictor is what predict needs of a [predict.Predictor].
type predictor interface {
	Task() task.Task
	Predict(context.Context, []task.Example) ([]predict.Prediction, error)
	Examples(predict.Input) (iter.Seq2[task.Example, error], error)
	Stream(context.Context, iter.Seq2[task.Example, error], func(predict.Prediction) error) error
	Close()
}

func openPredictor(dir string, o predict.Options) (predictor, error) {
	p, err := predict.Open(dir, o)
	if err != nil {
		return nil, err // and not an interface that holds a nil
	}
	return p, nil
}
