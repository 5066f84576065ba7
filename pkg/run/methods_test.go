package run_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/place"
	"github.com/metatt/metatt/pkg/predict"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/train"
)

// Every method trains from a configuration, on fp32 and bf16 backbones; a run
// that was stopped ends as one that was left alone, and what is saved predicts
// what training evaluated.
func TestEveryMethodResumesAndPredicts(t *testing.T) {
	for _, method := range adapter.Methods() {
		for _, dtype := range []string{"fp32", "bf16"} {
			t.Run(method.Name+"/"+dtype, func(t *testing.T) {
				keys := []string{"adapter.method=" + method.Name, "model.dtype=" + dtype, "train.max_steps=5", "adapter.rank=2", "adapter.targets=query,ffn_down"}
				if hasDropout(method.Name) {
					keys = append(keys, "adapter.dropout=0.2")
				}
				whole, stopped := tiny(t, keys...), tiny(t, keys...)
				summary, err := run.Train(t.Context(), whole)
				if err != nil {
					t.Fatal(err)
				}
				interrupted(t, stopped, 3)
				if _, err := run.Resume(t.Context(), stopped.Config.Run.Dir, stopped); err != nil {
					t.Fatal(err)
				}
				for _, file := range []string{train.MetricsFile, filepath.Join("adapter", "last", adapter.WeightsFile)} {
					want, err := os.ReadFile(filepath.Join(whole.Config.Run.Dir, file))
					if err != nil {
						t.Fatal(err)
					}
					if got, err := os.ReadFile(filepath.Join(stopped.Config.Run.Dir, file)); err != nil || !bytes.Equal(got, want) {
						t.Errorf("%s differs after resuming (%v)", file, err)
					}
				}

				predictsWhatWasEvaluated(t, summary, predict.Options{DType: dtype})
			})
		}
	}
}

func hasDropout(method string) bool {
	return slices.ContainsFunc(config.Keys(), func(key config.Key) bool {
		return key.Name == "adapter.dropout" && slices.Contains(key.Methods(), method)
	})
}

// An adapter as PEFT writes it, without a word of ours, is one to start from;
// what the run saves stays as PEFT reads it.
func TestStartFromPEFTsOwnAdapter(t *testing.T) {
	for _, method := range []string{"lora", "rslora", "dora", "vera"} {
		t.Run(method, func(t *testing.T) {
			first, err := run.Train(t.Context(), tiny(t, "adapter.method="+method, "adapter.rank=3", "adapter.targets=value,ffn_down", "train.max_steps=2"))
			if err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(first.RunDir, "adapter", "last")
			path := filepath.Join(dir, adapter.ConfigFile)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var keys map[string]any
			if err := json.Unmarshal(text, &keys); err != nil {
				t.Fatal(err)
			}
			for _, key := range adapterKeys {
				delete(keys, key)
			}
			if text, err = json.Marshal(keys); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, text, 0o644); err != nil {
				t.Fatal(err)
			}
			o := tiny(t, "adapter.init_from="+dir, "train.max_steps=2")
			second, err := run.Train(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if second.Method != method || second.Rank != 3 || second.AdapterParams != first.AdapterParams {
				t.Errorf("%s of rank %d with %d parameters; it was %s of rank 3 with %d", second.Method, second.Rank, second.AdapterParams, method, first.AdapterParams)
			}
			recorded, err := config.Load([]string{filepath.Join(second.RunDir, place.ConfigFile)}, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(recorded.Adapter.Targets, []string{"value", "ffn_down"}) || recorded.Adapter.Alpha == nil {
				t.Errorf("recorded %+v", recorded.Adapter)
			}
		})
	}
}

// adapterKeys are ours in adapter_config.json.
var adapterKeys = []string{
	"format_version", "method", "ranks", "alpha", "dropout", "targets", "model_type", "hidden_size", "num_hidden_layers",
	"num_attention_heads", "intermediate_size", "tasks", "labels", "max_length",
}
