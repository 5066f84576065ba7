package hf

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestFiles(t *testing.T) {
	const index = `{"weight_map": {"a": "model-2.safetensors", "b": "model-1.safetensors", "c": "model-2.safetensors"}}`
	for want, files := range map[string]map[string]string{
		"config.json tokenizer.json model.safetensors": {
			"config.json": "", "tokenizer.json": "", "model.safetensors": "", "pytorch_model.bin": "", "README.md": "", "model.safetensors.index.json": index},
		"config.json vocab.json merges.txt pytorch_model.bin":                              {"config.json": "", "merges.txt": "", "vocab.json": "", "pytorch_model.bin": ""},
		"config.json model.safetensors.index.json model-1.safetensors model-2.safetensors": {"config.json": "", "model.safetensors.index.json": index, "pytorch_model.bin": ""},
		"": {"README.md": ""},
	} {
		dir := t.TempDir()
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if names, err := Files(dir); err != nil || !slices.Equal(names, strings.Fields(want)) {
			t.Errorf("%q (%v), want %s", names, err, want)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "model.safetensors.index.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if names, err := Files(dir); err == nil || !strings.Contains(err.Error(), "model.safetensors.index.json") {
		t.Errorf("%q, %v", names, err)
	}
}
