package hf

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/fileformat"
	"github.com/metatt/metatt/pkg/internal/allocbound"
	"github.com/metatt/metatt/pkg/safetensors"
)

// writeShard stores tensors of two bytes, both the first letter of its name.
func writeShard(t *testing.T, path string, names ...string) {
	t.Helper()
	var tensors []safetensors.Tensor
	for _, name := range names {
		tensors = append(tensors, safetensors.Tensor{Name: name, DType: safetensors.BF16, Shape: []int64{1}, Data: []byte{name[0], name[0]}})
	}
	if err := safetensors.Write(path, tensors, nil); err != nil {
		t.Fatal(err)
	}
}

func writeText(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestOpenCheckpointSingleFile(t *testing.T) {
	dir := t.TempDir()
	writeShard(t, filepath.Join(dir, "model.safetensors"), "a", "b")
	writeText(t, filepath.Join(dir, "model.safetensors.index.json"), "not read: the single file comes first")
	c, err := OpenCheckpoint(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := c.Names(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("names %v", got)
	}
	if want := filepath.Join(dir, "model.safetensors"); c.Path("b") != want || c.Path("none") != want {
		t.Errorf("paths %s, %s", c.Path("b"), c.Path("none"))
	}
}

func TestOpenCheckpointShards(t *testing.T) {
	dir := t.TempDir()
	index := filepath.Join(dir, "model.safetensors.index.json")
	writeShard(t, filepath.Join(dir, "model-1.safetensors"), "a", "tied", "c")
	writeShard(t, filepath.Join(dir, "model-2.safetensors"), "b", "tied", "unlisted")
	writeText(t, index, `{"metadata":{"total_size":8},"weight_map":{"b":"model-2.safetensors","a":"model-1.safetensors","c":"model-1.safetensors","tied":"model-2.safetensors"}}`)
	c, err := OpenCheckpoint(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := c.Names(); !slices.Equal(got, []string{"a", "c", "b", "tied", "unlisted"}) {
		t.Errorf("names %v", got)
	}
	if got := c.Path("tied"); filepath.Base(got) != "model-2.safetensors" {
		t.Errorf("the index places tied in model-2, got %s", got)
	}
	if c.Path("none") != index {
		t.Errorf("a tensor that is nowhere is missing from %s", c.Path("none"))
	}
	for _, name := range c.Names() {
		info, ok := c.Info(name)
		data := make([]byte, info.Size)
		if err := c.ReadInto(name, data); !ok || err != nil || !bytes.Equal(data, []byte{name[0], name[0]}) {
			t.Errorf("%s: %v %q %v", name, ok, data, err)
		}
	}
	if _, ok := c.Info("none"); ok {
		t.Error("Info of a tensor that is nowhere")
	}
	if err := c.ReadInto("none", nil); err == nil || err.Error() != index+`: no tensor "none"` {
		t.Errorf("ReadInto of a tensor that is nowhere: %v", err)
	}
}

func TestOpenCheckpointPickled(t *testing.T) {
	saved, err := os.ReadFile("pickle/testdata/model.bin")
	if err != nil {
		t.Fatal(err)
	}
	for _, files := range []map[string]string{
		{"pytorch_model.bin": string(saved)},
		{"x.bin": string(saved), "pytorch_model.bin.index.json": `{"weight_map":{"bias":"x.bin"}}`},
	} {
		dir := t.TempDir()
		for name, content := range files {
			writeText(t, filepath.Join(dir, name), content)
		}
		c, err := OpenCheckpoint(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		info, ok := c.Info("bias")
		if data := make([]byte, 12); !ok || info.Size != 12 || c.ReadInto("bias", data) != nil || bytes.Equal(data, make([]byte, 12)) {
			t.Errorf("%+v", info)
		}
	}
}

func TestOpenCheckpointRefuses(t *testing.T) {
	const index = "model.safetensors.index.json"
	for name, c := range map[string]struct {
		index  string
		shards map[string][]string
		want   string // after the folder
	}{
		"nothing":        {want: ": holds none of model.safetensors, model.safetensors.index.json, pytorch_model.bin, pytorch_model.bin.index.json: file does not exist"},
		"tensor twice":   {index: `{"weight_map":{"a":"x.safetensors","a":"x.safetensors"}}`, want: "/" + index + `: weight_map: tensor "a" twice`},
		"no object":      {index: `{"weight_map":3}`, want: "/" + index + ": weight_map: number where an object belongs"},
		"ends early":     {index: `{"weight_map":{`, want: "/" + index + ": byte 15: unexpected EOF"},
		"empty map":      {index: `{"weight_map":{}}`, want: "/" + index + ": weight_map: missing or empty"},
		"no map":         {index: `{}`, want: "/" + index + ": weight_map: missing or empty"},
		"wrong type":     {index: `{"weight_map":{"a":1}}`, want: "/" + index + `: weight_map: tensor "a": is number, want string`},
		"climbs out":     {index: `{"weight_map":{"a":"../model.safetensors"}}`, want: "/" + index + `: weight_map: tensor "a": "../model.safetensors" is not the name of a .safetensors file of this folder`},
		"absolute":       {index: `{"weight_map":{"a":"/model.safetensors"}}`, want: "/" + index + `: weight_map: tensor "a": "/model.safetensors" is not the name of a .safetensors file of this folder`},
		"other file":     {index: `{"weight_map":{"a":"config.json"}}`, want: "/" + index + `: weight_map: tensor "a": "config.json" is not the name of a .safetensors file of this folder`},
		"absent .bin":    {index: `{"weight_map":{"a":"x.bin"}}`, want: "/" + index + `: weight_map: tensor "a": "x.bin" is not the name of a .safetensors file of this folder`},
		"missing shard":  {index: `{"weight_map":{"a":"x.safetensors"}}`, want: "/x.safetensors: no such file or directory"},
		"missing tensor": {index: `{"weight_map":{"a":"x.safetensors","b":"x.safetensors"}}`, shards: map[string][]string{"x.safetensors": {"a"}}, want: "/" + index + `: weight_map: tensor "b" is not in x.safetensors`},
		"a broken line":  {index: `{"weight_map":{"a":"x.safetensors"}}`, shards: map[string][]string{"x.safetensors": {"a", "b\nc"}}, want: `/x.safetensors: unsupported: tensor "b\nc": a control character in its name`},
		"unlisted twice": {index: `{"weight_map":{"a":"x.safetensors","b":"y.safetensors"}}`, shards: map[string][]string{"x.safetensors": {"a", "c"}, "y.safetensors": {"b", "c"}}, want: `/y.safetensors: tensor "c" is in x.safetensors too`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if c.index != "" {
				writeText(t, filepath.Join(dir, index), c.index)
			}
			for file, names := range c.shards {
				writeShard(t, filepath.Join(dir, file), names...)
			}
			_, err := OpenCheckpoint(dir)
			if err == nil || strings.TrimPrefix(err.Error(), "open ") != dir+c.want {
				t.Errorf("got %v, want %s%s", err, dir, c.want)
			}
		})
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "model.safetensors")
	writeShard(t, path, "a")
	if err := os.Truncate(path, 70); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCheckpoint(dir); !errors.As(err, new(*fileformat.Error)) {
		t.Errorf("truncated: %v", err)
	}
}

func TestIndexMemoryIsInProportionToTheFile(t *testing.T) {
	for name, entry := range map[string]string{"shards": `,"%[1]x":"%[1]x.safetensors"`, "one shard": `,"%x":".safetensors"`, "refused": `,"%x":""`, "escaped": `,"\n%[1]x":"\u0061.safetensors"`} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			for i := range 115_000 { // over 7/8 of a power of two, where a map has just grown
				fmt.Fprintf(&b, entry, i)
			}
			_, err := parseBounded(t, []byte(`{"weight_map":{`+b.String()[1:]+"}}"))
			t.Logf("%.90v", err)
		})
	}
}

// parseBounded reads an index within the bound on what that allocates.
func parseBounded(t *testing.T, text []byte) (shards []string, err error) {
	t.Helper()
	allocbound.Check(t, len(text), func() {
		var index *shardIndex
		if index, err = parseIndex("model.safetensors.index.json", bytes.Clone(text)); err == nil {
			shards = index.shards()
		}
	})
	return shards, err
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte(`{"metadata":{"total_size":8},"weight_map":{"b":"model-2.safetensors","a":"model-1.safetensors"}}`))
	f.Add([]byte(`{"weight_map":{"a":"../x.safetensors"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		shards, err := parseBounded(t, text)
		if err != nil {
			if !errors.As(err, new(*fileformat.Error)) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		for _, shard := range shards {
			if dir, file := filepath.Split(filepath.Join("folder", shard)); dir != "folder/" || file != shard {
				t.Fatalf("%q leaves its folder", shard)
			}
		}
	})
}
