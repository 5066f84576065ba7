package run_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/internal/allocbound"
	"github.com/metatt/metatt/pkg/safetensors"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/train"
)

// addFolders adds configuration and weights of adapters of every kind.
func addFolders(f *testing.F, add func(config string, weights []byte)) {
	f.Helper()
	configs, err := filepath.Glob("testdata/*/adapter_config.json")
	more, _ := filepath.Glob("testdata/*/*/adapter_config.json")
	if configs = append(configs, more...); err != nil || len(configs) == 0 {
		f.Fatal(configs, err)
	}
	for _, path := range configs {
		config, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		weights, err := os.ReadFile(filepath.Join(filepath.Dir(path), adapter.WeightsFile))
		if err != nil {
			continue // an older form
		}
		add(string(config), weights)
	}
}

// A folder of any content is an error of one line, or an adapter for the model.
func FuzzAdapterFolder(f *testing.F) {
	addFolders(f, func(config string, weights []byte) { f.Add(config, weights) })
	lora := safetensorsFile(f, "base_model.model.bert.encoder.layer.0.attenti\n.self.query.lora_A.weight")
	f.Add(`{"peft_type":"LORA","r":1,"lora_alpha":1,"target_modules":["query"]}`, lora)
	f.Add(`{"peft_type":"LORA","r":1,"lora_alpha":1e308,"target_modules":["query"]}`, []byte{})
	model := adapter.Architecture{ModelType: "bert", Hidden: 12, Layers: 3, Heads: 3, Intermediate: 24}
	f.Fuzz(func(t *testing.T, config string, weights []byte) {
		dir := t.TempDir()
		writeInto(t, dir, map[string]string{adapter.ConfigFile: config, adapter.WeightsFile: string(weights)})
		var err error
		allocbound.Check(t, len(config)+len(weights), func() { err = openAdapterFolder(dir, model) })
		if err != nil && strings.ContainsAny(err.Error(), "\n\r") {
			t.Errorf("an error of several lines: %q", err)
		}
	})
}

// safetensorsFile is a file of one number of that name.
func safetensorsFile(f *testing.F, name string) []byte {
	f.Helper()
	path := filepath.Join(f.TempDir(), "one.safetensors")
	if err := safetensors.Write(path, []safetensors.Tensor{{Name: name, DType: "F32", Shape: []int64{1, 1}, Data: make([]byte, 4)}}, nil); err != nil {
		f.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	return content
}

// openAdapterFolder is what every reader of an adapter does.
func openAdapterFolder(dir string, model adapter.Architecture) error {
	saved, err := adapter.Read(dir)
	if err != nil {
		return err
	}
	defer saved.Close()
	opened, err := saved.Open(model, torch.CPU)
	if err != nil {
		return err
	}
	defer opened.Free()
	return torch.Do(func() error {
		head := []adapter.Parameter{
			{Name: "classifier.weight", Tensor: torch.Zeros(torch.Float32, torch.CPU, 2, model.Hidden)},
			{Name: "classifier.bias", Tensor: torch.Zeros(torch.Float32, torch.CPU, 2)},
		}
		if _, err := saved.LoadTaskHead("", head); err != nil {
			return err
		}
		return saved.CheckAllTaken()
	})
}

func writeInto(t *testing.T, dir string, contents map[string]string) {
	t.Helper()
	for name, content := range contents {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A checkpoint of any content is one to go on from, or what is wrong with it.
func FuzzLatestCheckpoint(f *testing.F) {
	const state = `{"step":3,"evaluated":true,"metrics_bytes":10,"timings_bytes":20,"seconds":1.5,` +
		`"best":{"epoch":1,"step":2,"metric":"accuracy","value":0.5},"last":{"accuracy":0.5,"f1":null},"events":1,"optimizer":[{"steps":3}]}`
	addFolders(f, func(config string, weights []byte) { f.Add(state, config, weights, weights) })
	f.Add(`{"step":-1}`, `{}`, []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, state, config string, weights, optimizer []byte) {
		run := t.TempDir()
		dir := filepath.Join(run, "checkpoints", "step-00000003")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		writeInto(t, dir, map[string]string{
			"state.json": state, adapter.ConfigFile: config, adapter.WeightsFile: string(weights), "optimizer.safetensors": string(optimizer),
		})
		var c *train.Checkpoint
		var err error
		allocbound.Check(t, len(state)+len(config)+len(weights)+len(optimizer), func() { c, err = train.LatestCheckpoint(run) })
		switch {
		case err == nil && (c == nil || c.Dir != dir):
			t.Errorf("%+v", c)
		case err != nil && !errors.As(err, new(*train.CheckpointError)):
			t.Errorf("%T: %v", err, err)
		case err != nil && strings.ContainsAny(err.Error(), "\n\r"):
			t.Errorf("an error of several lines: %q", err)
		}
	})
}
