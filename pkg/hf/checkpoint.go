package hf

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/hf/pickle"
	"github.com/metatt/metatt/pkg/safetensors"
)

const (
	indexSuffix  = ".index.json"
	maxIndexFile = 64 << 20
)

// tensorFile is one file of tensors in either format.
type tensorFile interface {
	Path() string
	Names() []string
	Info(name string) (safetensors.Info, bool)
	ReadInto(name string, dst []byte) error
	Close() error
}

// formats are tried in this order, each as one file and then as shards.
var formats = []struct {
	file string
	open func(path string) (tensorFile, error)
}{
	{"model.safetensors", func(path string) (tensorFile, error) { return safetensors.Open(path) }},
	{"pytorch_model.bin", func(path string) (tensorFile, error) { return pickle.Open(path) }},
}

// Checkpoint is a model's tensors, whatever files they stand in. Its methods
// may be called from several goroutines at once.
type Checkpoint struct {
	names  []string
	holder map[string]tensorFile
	files  []tensorFile
	path   string // the single file or the index
}

// OpenCheckpoint opens the first that dir has of model.safetensors, the shards
// of model.safetensors.index.json, pytorch_model.bin, and the shards of
// pytorch_model.bin.index.json. Tensors stay on disk until they are read.
func OpenCheckpoint(dir string) (*Checkpoint, error) {
	var missing []string
	for _, format := range formats {
		path := filepath.Join(dir, format.file)
		file, err := format.open(path)
		if err == nil {
			return newCheckpoint(path, []tensorFile{file}, nil)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		path += indexSuffix
		index, err := readIndex(path)
		if err == nil {
			return openShards(path, index, format.open)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		missing = append(missing, format.file, format.file+indexSuffix)
	}
	return nil, fmt.Errorf("%s: holds none of %s: %w", dir, strings.Join(missing, ", "), fs.ErrNotExist)
}

func openShards(path string, index *shardIndex, open func(string) (tensorFile, error)) (*Checkpoint, error) {
	var files []tensorFile
	for _, shard := range index.shards() {
		file, err := open(filepath.Join(filepath.Dir(path), shard))
		if err != nil {
			closeAll(files)
			return nil, err
		}
		files = append(files, file)
	}
	return newCheckpoint(path, files, index)
}

// newCheckpoint takes over the files; index is nil for a single one.
func newCheckpoint(path string, files []tensorFile, index *shardIndex) (*Checkpoint, error) {
	c := &Checkpoint{holder: map[string]tensorFile{}, files: files, path: path}
	if err := c.assign(index); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// assign gives each tensor the file that holds it. Where an index places a
// tensor, that file counts; tensors that it does not mention are found where
// they are, as transformers finds them.
func (c *Checkpoint) assign(index *shardIndex) error {
	for _, file := range c.files {
		for _, name := range file.Names() {
			if index != nil {
				if shard, placed := index.WeightMap[name]; placed && shard != filepath.Base(file.Path()) {
					continue
				}
			}
			if other, twice := c.holder[name]; twice {
				return &FormatError{file.Path(), "", fmt.Sprintf("tensor %.200q is in %s too", name, filepath.Base(other.Path()))}
			}
			c.holder[name] = file
			c.names = append(c.names, name)
		}
	}
	if index == nil {
		return nil
	}
	for name, shard := range index.WeightMap {
		if c.holder[name] == nil {
			return &FormatError{index.path, "weight_map", fmt.Sprintf("tensor %.200q is not in %s", name, shard)}
		}
	}
	return nil
}

// Names lists the tensors file by file, in the order of their bytes.
func (c *Checkpoint) Names() []string { return slices.Clone(c.names) }

// Info describes the tensor of that name.
func (c *Checkpoint) Info(name string) (safetensors.Info, bool) {
	file, ok := c.holder[name]
	if !ok {
		return safetensors.Info{}, false
	}
	return file.Info(name)
}

// Path is the file in which the tensor of that name stands, or would be
// expected, for error messages.
func (c *Checkpoint) Path(name string) string {
	if file, ok := c.holder[name]; ok {
		return file.Path()
	}
	return c.path
}

// ReadInto fills dst, of exactly the tensor's size, as [safetensors.File.ReadInto].
func (c *Checkpoint) ReadInto(name string, dst []byte) error {
	file, ok := c.holder[name]
	if !ok {
		return fmt.Errorf("%s: no tensor %q", c.Path(name), name)
	}
	return file.ReadInto(name, dst)
}

// Close closes every file.
func (c *Checkpoint) Close() error { return closeAll(c.files) }

func closeAll(files []tensorFile) error {
	var errs []error
	for _, file := range files {
		errs = append(errs, file.Close())
	}
	return errors.Join(errs...)
}

// shardIndex is what says in which shard each tensor is.
type shardIndex struct {
	WeightMap map[string]string `json:"weight_map"`
	path      string
}

func readIndex(path string) (*shardIndex, error) {
	text, err := readSmall(path, maxIndexFile)
	if err != nil {
		return nil, err
	}
	return parseIndex(path, text)
}

func parseIndex(path string, text []byte) (*shardIndex, error) {
	index := &shardIndex{path: path}
	if err := decodeJSON(path, text, index); err != nil {
		return nil, err
	}
	if len(index.WeightMap) == 0 {
		return nil, &FormatError{path, "weight_map", "missing or empty"}
	}
	extension := filepath.Ext(strings.TrimSuffix(path, indexSuffix))
	for name, shard := range index.WeightMap {
		// A shard lies beside its index; anything else could leave the folder.
		if !filepath.IsLocal(shard) || shard != filepath.Base(shard) || filepath.Ext(shard) != extension {
			return nil, &FormatError{path, "weight_map", fmt.Sprintf("tensor %.200q: %.200q is not the name of a %s file of this folder", name, shard, extension)}
		}
	}
	return index, nil
}

// shards lists the files of the index, each once, sorted.
func (index *shardIndex) shards() []string {
	files := map[string]bool{}
	for _, shard := range index.WeightMap {
		files[shard] = true
	}
	return slices.Sorted(maps.Keys(files))
}
