package main

import (
	"context"

	"github.com/metatt/metatt/pkg/glue"
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/torch"
)

// backend is what the commands call.
type backend struct {
	train       func(context.Context, run.Options) (*run.Summary, error)
	resume      func(ctx context.Context, dir string, o run.Options) (*run.Summary, error)
	describe    func(context.Context, run.Options) (*run.Plan, error)
	environment func() torch.Environment
	fetch       func(ctx context.Context, name string, o hf.FetchOptions) (hf.Fetched, error)
	fetchGLUE   func(ctx context.Context, dir string, t glue.Task, o glue.FetchOptions) (already bool, err error)
}

func wired() backend {
	return backend{
		train:       run.Train,
		resume:      run.Resume,
		describe:    run.Describe,
		environment: torch.ReadEnvironment,
		fetch:       hf.Fetch,
		fetchGLUE:   glue.Fetch,
	}
}
