package hf

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/metatt/metatt/pkg/fileformat"
	"github.com/metatt/metatt/pkg/hf/pickle"
	"github.com/metatt/metatt/pkg/internal/rawjson"
	"github.com/metatt/metatt/pkg/safetensors"
)

const (
	indexSuffix  = ".index.json"
	maxIndexFile = 64 << 20
)

// formats are tried in this order, each as one file and then as shards.
var formats = []struct {
	file string
	open func(path string) (*safetensors.Tensors, error)
}{
	{"model.safetensors", openSafetensors},
	{"pytorch_model.bin", pickle.Open},
}

func openSafetensors(path string) (*safetensors.Tensors, error) {
	file, err := safetensors.Open(path)
	if err != nil {
		return nil, err
	}
	return file.Tensors, nil
}

// Checkpoint is a model's tensors, whatever files they stand in. Its methods
// may be called from several goroutines at once.
type Checkpoint struct {
	names  []string
	holder map[string]*safetensors.Tensors
	files  []*safetensors.Tensors
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
			return newCheckpoint(path, []*safetensors.Tensors{file}, nil)
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

func openShards(path string, index *shardIndex, open func(string) (*safetensors.Tensors, error)) (*Checkpoint, error) {
	var files []*safetensors.Tensors
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
func newCheckpoint(path string, files []*safetensors.Tensors, index *shardIndex) (*Checkpoint, error) {
	c := &Checkpoint{holder: map[string]*safetensors.Tensors{}, files: files, path: path}
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
		if err := file.CheckNames(); err != nil {
			return err
		}
		for _, name := range file.Names() {
			if index != nil {
				if shard, placed := index.weightMap[name]; placed && shard != filepath.Base(file.Path()) {
					continue
				}
			}
			if other, twice := c.holder[name]; twice {
				return &fileformat.Error{Path: file.Path(), Problem: fmt.Sprintf("tensor %.200q is in %s too", name, filepath.Base(other.Path()))}
			}
			c.holder[name] = file
			c.names = append(c.names, name)
		}
	}
	if index == nil {
		return nil
	}
	for name, shard := range index.weightMap {
		if c.holder[name] == nil {
			return &fileformat.Error{Path: index.path, Key: "weight_map", Problem: fmt.Sprintf("tensor %.200q is not in %s", name, shard)}
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

// ReadInto fills dst, of exactly the tensor's size, as [safetensors.Tensors.ReadInto].
func (c *Checkpoint) ReadInto(name string, dst []byte) error {
	file, ok := c.holder[name]
	if !ok {
		return fmt.Errorf("%s: no tensor %q", c.Path(name), name)
	}
	return file.ReadInto(name, dst)
}

// Close closes every file.
func (c *Checkpoint) Close() error { return closeAll(c.files) }

func closeAll(files []*safetensors.Tensors) error {
	var errs []error
	for _, file := range files {
		errs = append(errs, file.Close())
	}
	return errors.Join(errs...)
}

// shardIndex is what says in which shard each tensor is.
type shardIndex struct {
	path      string
	weightMap map[string]string // a tensor's name to its shard's
}

func readIndex(path string) (*shardIndex, error) {
	text, err := readSmall(path, maxIndexFile)
	if err != nil {
		return nil, err
	}
	return parseIndex(path, text)
}

func parseIndex(path string, text []byte) (*shardIndex, error) {
	var weightMap []byte
	err := rawjson.Members(text, func(name string, value []byte) error {
		if name == "weight_map" {
			weightMap = value
		}
		return nil
	})
	if err != nil {
		return nil, &fileformat.Error{Path: path, Problem: err.Error()}
	}
	index := &shardIndex{path: path, weightMap: make(map[string]string, rawjson.Len(weightMap))}
	if weightMap != nil {
		err = rawjson.Members(weightMap, index.place)
	}
	if err == nil && len(index.weightMap) == 0 {
		err = errors.New("missing or empty")
	}
	if err != nil {
		return nil, &fileformat.Error{Path: path, Key: "weight_map", Problem: err.Error()}
	}
	return index, nil
}

// place reads one entry of the map.
func (index *shardIndex) place(tensor string, value []byte) error {
	if kind := rawjson.Kind(value); kind != "string" {
		return fmt.Errorf("tensor %.200q: is %s, want string", tensor, kind)
	}
	name, err := jsontext.AppendUnquote(nil, value)
	if err != nil {
		return fmt.Errorf("tensor %.200q: %w", tensor, err)
	}
	shard := string(name)
	// A shard lies beside its index; anything else could leave the folder.
	extension := filepath.Ext(strings.TrimSuffix(index.path, indexSuffix))
	if !filepath.IsLocal(shard) || shard != filepath.Base(shard) || filepath.Ext(shard) != extension {
		return fmt.Errorf("tensor %.200q: %.200q is not the name of a %s file of this folder", tensor, shard, extension)
	}
	if _, twice := index.weightMap[tensor]; twice {
		return fmt.Errorf("tensor %.200q twice", tensor)
	}
	index.weightMap[tensor] = shard
	return nil
}

// shards lists the files of the index, each once, sorted.
func (index *shardIndex) shards() []string {
	files := slices.AppendSeq(make([]string, 0, len(index.weightMap)), maps.Values(index.weightMap))
	slices.Sort(files)
	return slices.Compact(files)
}
