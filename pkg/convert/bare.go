package convert

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/safetensors"
)

// bareLoRA is how microsoft/LoRA's loralib names a site's matrices.
var bareLoRA = regexp.MustCompile(`^(bert|roberta)\.encoder\.layer\.\d+\.(.+)\.lora_([AB])$`)

// bareAdapter is what a file of microsoft/LoRA holds.
type bareAdapter struct {
	tensors []safetensors.Tensor // under PEFT's names
	adapted map[adapter.Kind]bool
	rank    int64
	model   adapter.Architecture // as far as shapes tell: its layers are not counted
}

func readBare(file *safetensors.Tensors) (*bareAdapter, error) {
	b := &bareAdapter{adapted: map[adapter.Kind]bool{}}
	for _, name := range file.Names() {
		info, _ := file.Info(name)
		if err := b.add(info); err != nil {
			return nil, fmt.Errorf("%s: tensor %s %w", file.Path(), name, err)
		}
		if err := file.ReadInto(name, b.tensors[len(b.tensors)-1].Data); err != nil {
			return nil, err
		}
	}
	if b.rank == 0 {
		return nil, fmt.Errorf("%s: no tensor is named ….lora_A: no adapter of microsoft/LoRA", file.Path())
	}
	if b.model.Intermediate == 0 {
		b.model.Intermediate = 4 * b.model.Hidden // on which nothing in the file depends
	}
	b.model.Heads = 1 // nor on this
	return b, nil
}

// add makes room for a tensor and takes what name and shape say.
func (b *bareAdapter) add(info safetensors.Info) error {
	if !slices.Contains([]safetensors.DType{"F32", "F16", "BF16", "F64"}, info.DType) {
		return fmt.Errorf("is %s, adapters are F32, F16, BF16 or F64", info.DType)
	}
	stored := adapter.PEFTPrefix + info.Name
	if match := bareLoRA.FindStringSubmatch(info.Name); match != nil {
		if err := b.addMatrix(match[1], match[2], match[3], info.Shape); err != nil {
			return err
		}
		stored += ".weight"
	} else if !strings.HasPrefix(info.Name, "classifier.") {
		return errors.New("is neither ….lora_A, ….lora_B nor the classifier's: no adapter of microsoft/LoRA")
	}
	b.tensors = append(b.tensors, safetensors.Tensor{Name: stored, DType: info.DType, Shape: info.Shape, Data: make([]byte, info.Size)})
	return nil
}

// addMatrix takes what A (r, in) or B (out, r) of a site says.
func (b *bareAdapter) addMatrix(modelType, module, matrix string, shape []int64) error {
	kind := adapter.Kind(slices.IndexFunc(adapter.Kinds(), func(k adapter.Kind) bool { return k.Module() == module }))
	if kind < 0 || len(shape) != 2 {
		return fmt.Errorf("of shape %v adapts no matrix of a layer", shape)
	}
	if b.model.ModelType != "" && b.model.ModelType != modelType {
		return fmt.Errorf("is a %s's, others are a %s's", modelType, b.model.ModelType)
	}
	b.model.ModelType, b.adapted[kind] = modelType, true
	const hidden, intermediate = 1, 2
	site := adapter.Architecture{Hidden: hidden, Intermediate: intermediate}.Site(0, kind)
	side, width := site.Out, shape[0]
	if matrix == "A" {
		if b.rank != 0 && shape[0] != b.rank {
			return fmt.Errorf("has rank %d, others have %d", shape[0], b.rank)
		}
		b.rank = shape[0]
		side, width = site.In, shape[1]
	}
	// The first to say a width counts: opening the adapter tells of others.
	switch {
	case side == intermediate && b.model.Intermediate == 0:
		b.model.Intermediate = width
	case side == hidden && b.model.Hidden == 0:
		b.model.Hidden = width
	}
	return nil
}

// kinds is what is adapted, in order.
func (b *bareAdapter) kinds() []adapter.Kind {
	return slices.DeleteFunc(adapter.Kinds(), func(k adapter.Kind) bool { return !b.adapted[k] })
}
