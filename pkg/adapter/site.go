// Package adapter says what an adapter is: a set of small trainable tensors
// that change the outputs of a frozen network's weight matrices. Methods (LoRA,
// CP, MetaTT …) implement [Adapter] and register; models declare their [Site]s
// and call a [Pass]; neither knows the other.
package adapter

import (
	"fmt"
	"strings"
)

// Kind is which weight matrix of a transformer layer a site is.
type Kind int

// The six matrices of a BERT or RoBERTa layer, in the order the papers list
// them.
const (
	Query Kind = iota
	Key
	Value
	Output  // attention output projection
	FFNUp   // feed-forward, hidden → intermediate
	FFNDown // feed-forward, intermediate → hidden
)

var kindNames = [...]string{"query", "key", "value", "output", "ffn_up", "ffn_down"}

// Kinds is all kinds in order.
func Kinds() []Kind { return []Kind{Query, Key, Value, Output, FFNUp, FFNDown} }

func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return fmt.Sprintf("kind(%d)", int(k))
	}
	return kindNames[k]
}

// modules names the matrices inside a layer as transformers does; BERT and
// RoBERTa share them.
var modules = [...]string{
	"attention.self.query", "attention.self.key", "attention.self.value",
	"attention.output.dense", "intermediate.dense", "output.dense",
}

// Module is the name of the matrix inside a layer of transformers' BERT and
// RoBERTa, as in "attention.self.query".
func (k Kind) Module() string { return modules[k] }

// ParseKind reads a kind's name.
func ParseKind(name string) (Kind, error) {
	for k, n := range kindNames {
		if n == name {
			return Kind(k), nil
		}
	}
	return 0, fmt.Errorf("target %q does not exist: the targets are %s", name, strings.Join(kindNames[:], ", "))
}

// ParseKinds reads a list of names, without repetition, in the order given.
func ParseKinds(names []string) ([]Kind, error) {
	kinds := make([]Kind, 0, len(names))
	for _, name := range names {
		k, err := ParseKind(name)
		if err != nil {
			return nil, err
		}
		for _, seen := range kinds {
			if seen == k {
				return nil, fmt.Errorf("target %q is listed twice", name)
			}
		}
		kinds = append(kinds, k)
	}
	return kinds, nil
}

// Site is one adapted weight matrix. Its frozen output is y = x Wᵀ + b for x
// (tokens, In) and W (Out, In).
type Site struct {
	Layer   int
	Kind    Kind
	In, Out int64
}

func (s Site) String() string { return fmt.Sprintf("layer %d %s", s.Layer, s.Kind) }

// Architecture is what a method may know of the model it adapts.
type Architecture struct {
	ModelType    string // "bert" or "roberta"
	Hidden       int64  // width D
	Layers       int    // L
	Heads        int    // H, a divisor of Hidden
	Intermediate int64  // feed-forward width
}

// Site is the site of that layer and kind.
func (a Architecture) Site(layer int, kind Kind) Site {
	s := Site{Layer: layer, Kind: kind, In: a.Hidden, Out: a.Hidden}
	switch kind {
	case FFNUp:
		s.Out = a.Intermediate
	case FFNDown:
		s.In = a.Intermediate
	}
	return s
}

// Module is a site's name in transformers' model, as in
// "bert.encoder.layer.0.attention.self.query".
func (a Architecture) Module(site Site) string {
	return fmt.Sprintf("%s.encoder.layer.%d.%s", a.ModelType, site.Layer, site.Kind.Module())
}
