// Command dump writes what a model computes, for the parity scripts to compare
// with transformers: hidden states, logits, and the gradient of every weight and
// of every parameter of an adapter in a full fine-tuning step, in fp32 without
// dropout.
//
//	go run ./parity/dump --model DIR --batch FILE.json --out FILE.safetensors [--adapter DIR] [--save DIR]
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/models"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/safetensors"
	"github.com/metatt/metatt/pkg/torch"

	_ "github.com/metatt/metatt/pkg/run" // every method
)

func main() {
	model := flag.String("model", "", "model folder")
	batch := flag.String("batch", "", `JSON: {"examples": [{"ids": […], "type_ids": […], "label": n}, …]}`)
	out := flag.String("out", "", "safetensors file to write")
	adapted := flag.String("adapter", "", "folder of a saved adapter to compute with")
	save := flag.String("save", "", "folder to save the model to as it was loaded")
	flag.Parse()
	if err := dump(*model, *batch, *adapted, *out, *save); err != nil {
		fmt.Fprintln(os.Stderr, "dump:", err)
		os.Exit(1)
	}
}

func dump(model, batch, adapted, out, save string) error {
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
	a, err := open(adapted, m.Architecture())
	if err != nil {
		return err
	}
	defer a.Free()
	var tensors []safetensors.Tensor
	add := func(name string, t *torch.Tensor) {
		cpu := t.Detach().Contiguous()
		tensors = append(tensors, safetensors.Tensor{Name: name, DType: "F32", Shape: cpu.Shape(), Data: slices.Clone(cpu.Bytes())})
	}
	err = torch.Do(func() error {
		var names []string
		var leaves []*torch.Tensor
		for _, w := range m.Weights() {
			names, leaves = append(names, w.Name), append(leaves, w.Tensor.SetRequiresGrad(true))
		}
		for _, p := range a.Parameters() {
			names, leaves = append(names, "adapter."+p.Name), append(leaves, p.Tensor)
		}
		pass := a.Begin(adapter.Step{DType: torch.Float32, Tokens: int64(len(in.IDs))})
		for i, h := range m.HiddenStates(in, pass) {
			add(fmt.Sprintf("hidden.%d", i), h)
		}
		logits := m.Forward(in, pass, false)
		add("logits", logits)
		for i, g := range torch.Gradients(logits.CrossEntropy(torch.FromSlice(labels)), leaves) {
			add("grad."+names[i], g)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return safetensors.Write(out, tensors, nil)
}

// open is the saved adapter in a folder; without one, the method that adapts
// nothing.
func open(dir string, model adapter.Architecture) (adapter.Adapter, error) {
	if dir == "" {
		none, err := adapter.Lookup("head")
		if err != nil {
			return nil, err
		}
		return none.New(adapter.Spec{Architecture: model})
	}
	saved, err := adapter.Read(dir)
	if err != nil {
		return nil, err
	}
	defer saved.Close()
	return saved.Open(model, torch.CPU)
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
