package hf

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"

	"github.com/metatt/metatt/pkg/download"
)

// tokenizerFiles are those that decide over ids, in any of a tokenizer's forms.
var tokenizerFiles = []string{
	"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
	"vocab.txt", "vocab.json", "merges.txt",
}

// snapshot is a model of the hub on its way into the Hugging Face cache, laid out as huggingface_hub does (see
// [snapshotDir]): the files themselves lie in blobs/ under their checksums.
type snapshot struct {
	hub            *hub
	repo, revision string
	commit         string // that the revision names
	stage          *download.Stage
}

// bring downloads what a model of the hub needs and returns its folder.
func (s *snapshot) bring(ctx context.Context) (dir string, err error) {
	if err := download.Offline(); err != nil {
		return "", err
	}
	config, commit, err := s.hub.describe(ctx, s.repo, s.revision, configFile)
	if err != nil {
		return "", err
	}
	s.commit, s.stage.Files = commit, []download.File{config}
	weights, err := s.describeWeights(ctx)
	if err != nil {
		return "", err
	}
	s.stage.Files = append(s.stage.Files, weights...)
	for _, name := range tokenizerFiles {
		file, err := s.describe(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		s.stage.Files = append(s.stage.Files, file)
	}
	if err := os.MkdirAll(s.stage.Dir, 0o755); err != nil { // not before it is known that there is something to keep
		return "", err
	}
	if err := s.stage.Fill(ctx, func(file download.File) error { return s.get(ctx, file) }); err != nil {
		return "", err
	}
	for _, file := range s.stage.Files {
		if err := s.link(file); err != nil {
			return "", err
		}
	}
	return s.dir(), s.name()
}

// describe is the hub's, at the commit: a branch that moves meanwhile must not mix two versions.
func (s *snapshot) describe(ctx context.Context, name string) (download.File, error) {
	file, _, err := s.hub.describe(ctx, s.repo, s.commit, name)
	return file, err
}

// describeWeights finds the weights in the first form that the model has, in the order of [OpenCheckpoint]. An index is
// downloaded at once: it names the shards.
func (s *snapshot) describeWeights(ctx context.Context) ([]download.File, error) {
	var missing []string
	for _, format := range formats {
		single, err := s.describe(ctx, format.file)
		if err == nil {
			return []download.File{single}, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		shards, err := s.describeShards(ctx, format.file+indexSuffix)
		if !errors.Is(err, fs.ErrNotExist) {
			return shards, err
		}
		missing = append(missing, format.file, format.file+indexSuffix)
	}
	return nil, fmt.Errorf("the model has none of %s", strings.Join(missing, ", "))
}

func (s *snapshot) describeShards(ctx context.Context, name string) ([]download.File, error) {
	file, err := s.describe(ctx, name)
	if err != nil {
		return nil, err
	}
	if file.Size > maxIndexFile {
		return nil, fmt.Errorf("%s: %d bytes, want at most %d", name, file.Size, maxIndexFile)
	}
	if err := os.MkdirAll(s.stage.Dir, 0o755); err != nil {
		return nil, err
	}
	if err := s.stage.Need(ctx, file, func(file download.File) error { return s.get(ctx, file) }); err != nil {
		return nil, err
	}
	text, err := readSmall(s.stage.Path(file), maxIndexFile)
	if err != nil {
		return nil, err
	}
	index, err := parseIndex(name, text)
	if err != nil {
		return nil, err
	}
	files := []download.File{file}
	for _, shard := range index.shards() {
		file, err := s.describe(ctx, shard)
		if errors.Is(err, fs.ErrNotExist) { // not to be taken for a model without an index
			return nil, fmt.Errorf("%s names %s, which the model does not have", name, shard)
		}
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

// get downloads one blob, under the lock that huggingface_hub takes for it.
func (s *snapshot) get(ctx context.Context, file download.File) error {
	unlock, err := download.Lock(filepath.Join(hubCache(), ".locks", repoFolder(s.repo), file.Stored+".lock"))
	if err != nil {
		return err
	}
	defer unlock()
	if file.Verify(s.stage.Path(file)) == nil { // another process was faster
		return nil
	}
	return s.hub.client.Get(ctx, s.hub.address(s.repo, s.commit, file.Name), file, s.stage)
}

func (s *snapshot) dir() string {
	return filepath.Join(hubCache(), repoFolder(s.repo), "snapshots", s.commit)
}

// link gives a blob its name in the snapshot.
func (s *snapshot) link(file download.File) error {
	if err := os.MkdirAll(s.dir(), 0o755); err != nil {
		return err
	}
	return renameio.Symlink(filepath.Join("..", "..", "blobs", file.Stored), filepath.Join(s.dir(), file.Name))
}

// name lets the revision's name mean the commit, now that all of its files are there.
func (s *snapshot) name() error {
	if s.revision == s.commit {
		return nil
	}
	ref := filepath.Join(hubCache(), repoFolder(s.repo), "refs", s.revision)
	if err := os.MkdirAll(filepath.Dir(ref), 0o755); err != nil {
		return err
	}
	return renameio.WriteFile(ref, []byte(s.commit), 0o644)
}
