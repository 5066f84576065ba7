package config

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// A configuration made of another one's values has these, and no key is listed that
// the run has no use for.
func TestValues(t *testing.T) {
	for _, path := range []string{"testdata/full.yaml", "testdata/full-custom.yaml", "testdata/full-append.yaml", "testdata/full-adalora.yaml", "testdata/full-several.yaml"} {
		c, err := Load([]string{path}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		values := c.Values()
		var overrides []string
		for _, name := range slices.Sorted(maps.Keys(values)) {
			overrides = append(overrides, name+"="+values[name])
		}
		again, err := Load(nil, overrides, nil)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if other := again.Values(); !maps.Equal(values, other) {
			t.Errorf("%s: %v, of its values %v", path, values, other)
		}
	}
	lora := mustLoad(t, "adapter: {method: lora}\n").Values()
	for name := range lora {
		if strings.HasPrefix(name, "tasks.") || name == "adapter.init" || name == "dmrg.maxdim" || name == "data.kind" {
			t.Errorf("a run of LoRA on MRPC has %s", name)
		}
	}
	if lora["train.lr"] != "0.001" || lora["adapter.targets"] != "[query, value]" || lora["train.head_lr"] != "null" || lora["train.eval_every"] != "epoch" {
		t.Errorf("%v", lora)
	}
}
