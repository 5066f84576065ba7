package lora

import (
	"fmt"
	"maps"
	"slices"

	"github.com/metatt/metatt/pkg/adapter"
)

// key is what this build does with a key of PEFT's configurations. A value of
// another type than PEFT gives it is an error, whatever becomes of it.
type key struct {
	kind kind
	// refused says why a value that says something cannot be had; empty: the value
	// is applied where it counts, or changes no result.
	refused string
	// training: it counts in PEFT's training alone, and not in this build's.
	training bool
}

// kind is a type of JSON values. null is of every kind.
type kind int

const (
	anything kind = iota
	boolean
	number
	text
	object
	list
	texts // a text or a list
	index // a number or a list
)

// has: the value is of the kind.
func (k kind) has(value any) bool {
	switch value.(type) {
	case nil:
		return true
	case bool:
		return k == boolean || k == anything
	case float64:
		return k == number || k == index || k == anything
	case string:
		return k == text || k == texts || k == anything
	case map[string]any:
		return k == object || k == anything
	case []any:
		return k == list || k == texts || k == index || k == anything
	}
	return false
}

func (k kind) String() string {
	return [...]string{"anything", "true or false", "a number", "a text", "an object", "a list", "a text or a list", "a number or a list"}[k]
}

// commonKeys are those of every PEFT configuration; which modules are meant is
// read in pkg/adapter.
var commonKeys = map[string]key{
	"auto_mapping":   {kind: object}, // the model's class, which says nothing more
	"revision":       {kind: text},
	"inference_mode": {kind: boolean},
	"peft_version":   {kind: text},
	"r":              {kind: number},
	"bias":           {kind: text}, // the tensors are read where they are
	// PEFT sets it to what the module is: a linear layer is never transposed.
	"fan_in_fan_out":      {kind: boolean},
	"modules_to_save":     {kind: list},
	"exclude_modules":     {kind: texts},
	"layers_to_transform": {kind: index},
	"layers_pattern":      {kind: texts},
}

// loraKeys are LoraConfig's, which AdaLoraConfig inherits, in PEFT 0.21.
var loraKeys = with(commonKeys, map[string]key{
	"lora_alpha":        {kind: number},
	"lora_dropout":      {kind: number},
	"init_lora_weights": {kind: anything}, // see variant.adopt
	"use_rslora":        {kind: boolean},
	"use_dora":          {kind: boolean},
	"lora_bias":         {kind: boolean},
	"rank_pattern":      {kind: object},
	"alpha_pattern":     {kind: object},
	// How a start was found: the tensors hold what came of it.
	"loftq_config":   {kind: object},
	"eva_config":     {kind: object},
	"corda_config":   {kind: object},
	"lora_ga_config": {kind: object},
	// How it is computed or stored, not what.
	"megatron_core":       {kind: text},
	"ensure_weight_tying": {kind: boolean},
	"runtime_config":      {kind: object},
	"qalora_group_size":   {kind: number}, // counts with use_qalora alone
	"velora_config":       {kind: object, training: true},

	"alora_invocation_tokens": {kind: list, refused: "an activated LoRA changes only what stands behind its invocation tokens, this build every token"},
	"trainable_token_indices": {kind: anything, refused: "rows of the embeddings were trained along, which this build does not read"},
	"target_parameters":       {kind: list, refused: "parameters beside the weights of linear layers are adapted, which BERT and RoBERTa do not have"},
	"layer_replication":       {kind: list, refused: "the adapter is for a model with repeated layers"},
	"megatron_config":         {kind: object, refused: "the adapter is for Megatron's parallel layers"},
	"use_qalora":              {kind: boolean, refused: "QALoRA reads averages over groups of inputs"},
	"use_bdlora":              {kind: anything, refused: "BD-LoRA's factors are block-diagonal"},
	"arrow_config":            {kind: object, refused: "Arrow mixes several adapters token by token"},
	"kasa_config":             {kind: object, refused: "KaSA cuts singular values off the model's own weights"},
	"monteclora_config":       {kind: object, refused: "MonteCLoRA samples its weights"},
})

// adaLoRAKeys are AdaLoraConfig's. Patterns and scales of LoRA's do nothing there.
var adaLoRAKeys = with(loraKeys, map[string]key{
	"target_r":        {kind: number},
	"init_r":          {kind: number},
	"tinit":           {kind: number},
	"tfinal":          {kind: number},
	"deltaT":          {kind: number},
	"beta1":           {kind: number},
	"beta2":           {kind: number},
	"orth_reg_weight": {kind: number},
	"total_step":      {kind: number},
	"use_dora":        {kind: boolean, refused: "PEFT has no AdaLoRA with DoRA"},
})

// veraKeys are VeraConfig's.
var veraKeys = with(commonKeys, map[string]key{
	"vera_dropout":        {kind: number},
	"d_initial":           {kind: number},
	"init_weights":        {kind: boolean},
	"projection_prng_key": {kind: number},
	"save_projection":     {kind: boolean},
})

func with(keys, more map[string]key) map[string]key {
	all := maps.Clone(keys)
	maps.Copy(all, more)
	return all
}

// checkKeys looks at every key that stands in a file of PEFT's beside those of
// this build. Nothing that changes a result is passed over.
func checkKeys(s *adapter.Saved, known map[string]key) error {
	keys := s.Config.PEFT
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		value := keys[name]
		k, ok := known[name]
		switch {
		case !ok && !adapter.Empty(value):
			s.Note("adapter_config.json: the key %q is unknown to this build and changes nothing", name)
		case !ok:
		case !k.kind.has(value):
			return fmt.Errorf("%s is %s, not %s", name, brief(value), k.kind)
		case k.refused != "" && !adapter.Empty(value):
			return fmt.Errorf("%s is set: %s", name, k.refused)
		case k.training && !adapter.Empty(value):
			s.Note("adapter_config.json: %s counts in PEFT's training alone: training goes on without", name)
		}
	}
	if bias, _ := keys["bias"].(string); !slices.Contains([]string{"", "none", "all", "lora_only", "vera_only"}, bias) {
		return fmt.Errorf("bias is %q, not none, all or only the adapted modules'", bias)
	}
	return nil
}

// brief is the beginning of a value, on one line.
func brief(value any) string { return fmt.Sprintf("%.40q", fmt.Sprint(value)) }
