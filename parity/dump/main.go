// Command dump writes what a model computes, for the parity scripts to compare
// with transformers: hidden states, logits, and the gradient of every weight of
// a full fine-tuning step, in fp32 without dropout.
//
//	go run ./parity/dump --model DIR --batch FILE.json --out FILE.safetensors [--save DIR]
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"

	"github.com/metatt/metatt/pkg/models"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/safetensors"
	"github.com/metatt/metatt/pkg/torch"
)

func main() {
	model := flag.String("model", "", "model folder")
	batch := flag.String("batch", "", `JSON: {"examples": [{"ids": […], "type_ids": […], "label": n}, …]}`)
	out := flag.String("out", "", "safetensors file to write")
	save := flag.String("save", "", "folder to save the model to as it was loaded")
	flag.Parse()
	if err := dump(*model, *batch, *out, *save); err != nil {
		fmt.Fprintln(os.Stderr, "dump:", err)
		os.Exit(1)
	}
}

func dump(model, batch, out, save string) error {
	in, labels, err := readBatch(batch)
	if err != nil {
		return err
	}
	m, err := models.Load(model, encoder.Options{DType: torch.Float32, Device: torch.CPU})
	if err != nil {
		return err
	}
	defer m.Free()
	if save != "" {
		if err := m.Save(save); err != nil {
			return err
		}
	}
	if err := m.Check(in); err != nil {
		return err
	}
	var tensors []safetensors.Tensor
	add := func(name string, t *torch.Tensor) {
		cpu := t.Detach().Contiguous()
		tensors = append(tensors, safetensors.Tensor{Name: name, DType: "F32", Shape: cpu.Shape(), Data: slices.Clone(cpu.Bytes())})
	}
	err = torch.Do(func() error {
		leaves := make([]*torch.Tensor, len(m.Weights()))
		for i, w := range m.Weights() {
			leaves[i] = w.Tensor.SetRequiresGrad(true)
		}
		for i, h := range m.HiddenStates(in, nil) {
			add(fmt.Sprintf("hidden.%d", i), h)
		}
		logits := m.Forward(in, nil, false)
		add("logits", logits)
		for i, g := range torch.Gradients(logits.CrossEntropy(torch.FromSlice(labels)), leaves) {
			add("grad."+m.Weights()[i].Name, g)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return safetensors.Write(out, tensors, nil)
}

func readBatch(path string) (in encoder.Input, labels []int64, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return in, nil, err
	}
	var batch struct {
		Examples []struct {
			IDs     []int32 `json:"ids"`
			TypeIDs []int32 `json:"type_ids"`
			Label   int64   `json:"label"`
		} `json:"examples"`
	}
	if err := json.Unmarshal(text, &batch); err != nil {
		return in, nil, fmt.Errorf("%s: %w", path, err)
	}
	in.Offsets = []int32{0}
	for _, e := range batch.Examples {
		in.IDs, in.TypeIDs = append(in.IDs, e.IDs...), append(in.TypeIDs, e.TypeIDs...)
		in.Offsets = append(in.Offsets, int32(len(in.IDs)))
		labels = append(labels, e.Label)
	}
	return in, labels, nil
}
