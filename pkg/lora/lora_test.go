package lora_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/lora"
	"github.com/metatt/metatt/pkg/safetensors"
	"github.com/metatt/metatt/pkg/torch"
)

var (
	base  = adapter.Architecture{ModelType: "roberta", Hidden: 768, Layers: 12, Heads: 12, Intermediate: 3072}
	large = adapter.Architecture{ModelType: "roberta", Hidden: 1024, Layers: 24, Heads: 16, Intermediate: 4096}
)

// The counts that the papers report, for query and value.
func TestParameterCounts(t *testing.T) {
	for _, c := range []struct {
		method string
		model  adapter.Architecture
		rank   int
		want   int64
	}{
		{"lora", base, 8, 294912}, {"lora", large, 8, 786432}, {"rslora", base, 8, 294912}, {"dora", base, 8, 294912 + 24*768},
		{"vera", base, 1024, 43008}, {"vera", large, 256, 61440},
	} {
		method, err := adapter.Lookup(c.method)
		if err != nil {
			t.Fatal(err)
		}
		spec := adapter.Spec{Architecture: c.model, Targets: []adapter.Kind{adapter.Query, adapter.Value}, Rank: c.rank}
		if got := method.Count(spec); got != c.want {
			t.Errorf("%s, width %d, rank %d: %d parameters, want %d", c.method, c.model.Hidden, c.rank, got, c.want)
		}
	}
}

// matches is how PEFT decides whether a module is adapted.
func matches(targets any, module string) bool {
	switch v := targets.(type) {
	case string:
		return regexp.MustCompile("^(?:" + v + ")$").MatchString(module)
	case []string:
		for _, end := range v {
			if module == end || strings.HasSuffix(module, "."+end) {
				return true
			}
		}
	}
	return false
}

// PEFT adapts the targets and nothing else, "output.dense" of the attention
// among it, whichever of the 63 sets is asked for.
func TestTargetModulesNameExactlyTheTargets(t *testing.T) {
	for bits := 1; bits < 64; bits++ {
		var targets []adapter.Kind
		for i, kind := range adapter.Kinds() {
			if bits>>i&1 == 1 {
				targets = append(targets, kind)
			}
		}
		described := lora.TargetModules(targets)
		for i, kind := range adapter.Kinds() {
			if got, want := matches(described, base.Module(base.Site(11, kind))), bits>>i&1 == 1; got != want {
				t.Errorf("%v: %s is adapted: %v", targets, kind, got)
			}
		}
		for _, other := range []string{"bert.pooler.dense", "classifier.dense", "classifier", "bert.embeddings.word_embeddings"} {
			if matches(described, other) {
				t.Errorf("%v: %s is adapted", targets, other)
			}
		}
	}
}

// write makes a folder as PEFT writes it: config, and zeros under these names.
func write(t *testing.T, config string, shapes map[string][]int64) string {
	t.Helper()
	dir := t.TempDir()
	var tensors []safetensors.Tensor
	for name, shape := range shapes {
		n := int64(4)
		for _, d := range shape {
			n *= d
		}
		tensors = append(tensors, safetensors.Tensor{Name: name, DType: "F32", Shape: shape, Data: make([]byte, n)})
	}
	if err := safetensors.Write(filepath.Join(dir, adapter.WeightsFile), tensors, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, adapter.ConfigFile), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// What PEFT may write and this build does not compute is an error, never
// another function.
func TestForeignAdaptersThatAreRefused(t *testing.T) {
	model := adapter.Architecture{ModelType: "bert", Hidden: 6, Layers: 2, Heads: 2, Intermediate: 10}
	at := func(layer, end string) string {
		return "base_model.model.bert.encoder.layer." + layer + ".attention.self.query." + end
	}
	good := map[string][]int64{
		at("0", "lora_A.weight"): {2, 6}, at("0", "lora_B.weight"): {6, 2},
		at("1", "lora_A.weight"): {2, 6}, at("1", "lora_B.weight"): {6, 2},
	}
	without := func(name string) map[string][]int64 {
		shapes := map[string][]int64{}
		for n, s := range good {
			if n != name {
				shapes[n] = s
			}
		}
		return shapes
	}
	with := func(name string, shape ...int64) map[string][]int64 {
		shapes := without(name)
		shapes[name] = shape
		return shapes
	}
	for name, c := range map[string]struct {
		config string
		shapes map[string][]int64
		want   string // of the error; empty: it opens
	}{
		"good":                  {`{"peft_type": "LORA", "r": 2, "lora_alpha": 4}`, good, ""},
		"a type not known":      {`{"peft_type": "IA3", "r": 2}`, good, `peft_type "IA3"`},
		"no rank":               {`{"peft_type": "LORA", "lora_alpha": 4}`, good, "r is <nil>"},
		"rank of a fraction":    {`{"peft_type": "LORA", "r": 2.5, "lora_alpha": 4}`, good, "r is 2.5"},
		"alpha of text":         {`{"peft_type": "LORA", "r": 2, "lora_alpha": "4"}`, good, `lora_alpha is "4", not a number`},
		"PiSSA":                 {`{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "init_lora_weights": "pissa"}`, good, "pissa"},
		"DoRA with a bias":      {`{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "use_dora": true, "lora_bias": true}`, good, "lora_bias is set, which PEFT does not have with use_dora"},
		"a layer left out":      {`{"peft_type": "LORA", "r": 2, "lora_alpha": 4}`, without(at("0", "lora_A.weight")), "query.lora_B.weight changes the model"},
		"a matrix left out":     {`{"peft_type": "LORA", "r": 2, "lora_alpha": 4}`, without(at("1", "lora_B.weight")), "lora_B.weight is missing"},
		"rank above the size":   {`{"peft_type": "LORA", "r": 2, "lora_alpha": 4}`, with(at("0", "lora_A.weight"), 7, 6), "has rank 7, the configuration gives it 2"},
		"too many layers":       {`{"peft_type": "LORA", "r": 2, "lora_alpha": 4}`, with(at("99999999999", "lora_A.weight"), 2, 6), "neither a matrix of a layer nor one of the head"},
		"pattern no regexp":     {`{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "alpha_pattern": {"(": 3}}`, good, `alpha_pattern: "(" is no expression`},
		"a text for a bool":     {`{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "use_rslora": "true"}`, good, `use_rslora is "true", not true or false`},
		"aLoRA":                 {`{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "alora_invocation_tokens": [5]}`, good, "alora_invocation_tokens is set"},
		"KaSA":                  {`{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "kasa_config": {"beta": 1}}`, good, "kasa_config is set"},
		"bias of no kind":       {`{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "bias": "some"}`, good, `bias is "some"`},
		"a task of no kind":     {`{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "task_type": "SEQ_CLASS"}`, good, `task_type "SEQ_CLASS" is none of PEFT's`},
		"layers of text":        {`{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["query"], "layers_to_transform": "0"}`, good, "layers_to_transform"},
		"rank at odds":          {`{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "rank_pattern": {"query": 3}}`, good, "has rank 2, the configuration gives it 3"},
		"start of a number":     {`{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "init_lora_weights": 3}`, good, "init_lora_weights is"},
		"no layer selected":     {`{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["value"]}`, good, "adapts nothing of the model"},
		"another family":        {`{"peft_type": "LORA", "r": 2, "lora_alpha": 4}`, map[string][]int64{"base_model.model.roberta.encoder.layer.0.attention.self.query.lora_A.weight": {2, 6}, "base_model.model.roberta.encoder.layer.0.attention.self.query.lora_B.weight": {6, 2}}, "the model is type bert"},
		"rank pattern of parts": {`{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "rank_pattern": {"query": 2.9}}`, good, "rank_pattern gives bert.encoder.layer.0.attention.self.query 2.9, not a rank"},
		"a module in another":   {`{"peft_type": "LORA", "r": 2, "lora_alpha": 4}`, with("base_model.model.bert.embeddings.modules_to_save.default.LayerNorm.weight", 6), "wraps a module inside another one"},
		"copies of biases":      {`{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "bias": "all"}`, with("base_model.model.classifier.modules_to_save.default.dense.bias", 6), ""},
		"two copies":            {`{"peft_type": "LORA", "r": 2, "lora_alpha": 4}`, with("base_model.model.bert.embeddings.original_module.LayerNorm.modules_to_save.weight", 6), "wraps a module inside another one"},
		"a tensor too many":     {`{"peft_type": "LORA", "r": 2, "lora_alpha": 4}`, with(at("0", "lora_B.bias"), 6), "lora_B.bias changes the model"},
		"VeRA not stored":       {`{"peft_type": "VERA", "r": 2}`, map[string][]int64{at("0", "vera_lambda_d"): {2}, at("1", "vera_lambda_d"): {2}, at("0", "vera_lambda_b"): {6}, at("1", "vera_lambda_b"): {6}}, "vera_A is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			err := open(write(t, c.config, c.shapes), model)
			if c.want == "" && err == nil {
				return
			}
			if err == nil || c.want == "" || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("error is not one line: %q", err)
			}
		})
	}
}

func open(dir string, model adapter.Architecture) error {
	saved, err := adapter.Read(dir)
	if err != nil {
		return err
	}
	defer saved.Close()
	a, err := saved.Open(model, torch.CPU)
	if err != nil {
		return err
	}
	defer a.Free()
	return saved.CheckAllTaken()
}
