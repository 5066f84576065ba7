// Command dump writes what a model computes, for the parity scripts to compare
// with transformers and PEFT, in fp32 without dropout: hidden states, logits,
// and the gradient of every weight of a full fine-tuning step, or with an
// adapter those of the adapter and the head.
//
//	go run ./parity/dump --model DIR --batch FILE.json --out FILE.safetensors [--save DIR]
//	    [--adapter DIR | --method NAME --targets query,value --rank N] [--save-adapter DIR]
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/models"
	"github.com/metatt/metatt/pkg/models/encoder"
	_ "github.com/metatt/metatt/pkg/run" // knows every method
	"github.com/metatt/metatt/pkg/safetensors"
	"github.com/metatt/metatt/pkg/torch"
)

// options are the command line.
type options struct {
	model, batch, out, save               string
	adapter, method, targets, saveAdapter string
	rank                                  int
}

func main() {
	var o options
	flag.StringVar(&o.model, "model", "", "model folder")
	flag.StringVar(&o.batch, "batch", "", `JSON: {"examples": [{"ids": […], "type_ids": […], "label": n}, …]}`)
	flag.StringVar(&o.out, "out", "", "safetensors file to write")
	flag.StringVar(&o.save, "save", "", "folder to save the model to as it was loaded")
	flag.StringVar(&o.adapter, "adapter", "", "adapter folder, the head included, to put on the model")
	flag.StringVar(&o.method, "method", "", "method of a new adapter with random parameters")
	flag.StringVar(&o.targets, "targets", "query,value", "its targets")
	flag.IntVar(&o.rank, "rank", 2, "its rank")
	flag.StringVar(&o.saveAdapter, "save-adapter", "", "folder to save the adapter and the head to")
	flag.Parse()
	if err := o.dump(); err != nil {
		fmt.Fprintln(os.Stderr, "dump:", err)
		os.Exit(1)
	}
}

func (o options) dump() error {
	in, labels, err := readBatch(o.batch)
	if err != nil {
		return err
	}
	saved, err := o.readAdapter()
	if err != nil {
		return err
	}
	options := encoder.Options{DType: torch.Float32, Device: torch.CPU}
	if saved != nil {
		defer saved.Close()
		options.TrainPooler = saved.BringsPooler()
	}
	m, err := models.Load(o.model, options)
	if err != nil {
		return err
	}
	defer m.Free()
	if o.save != "" {
		if err := m.Save(o.save); err != nil {
			return err
		}
	}
	if err := m.Check(in); err != nil {
		return err
	}
	a, err := o.openAdapter(m, saved)
	if err != nil {
		return err
	}
	weights := m.Weights()
	if a != nil {
		defer a.Free()
		weights = slices.Concat(a.Parameters(), adapter.StoredHead(a.Config(), m.Head()))
		if o.saveAdapter != "" {
			config := a.Config().WithModel(m.Head(), m.Replaced())
			replaced, err := adapter.StoredReplaced(config, m.Replaced())
			if err != nil {
				return err
			}
			stored := slices.Concat(adapter.State(a), adapter.StoredHead(config, m.Head()), replaced)
			if err := adapter.Save(o.saveAdapter, config, stored); err != nil {
				return err
			}
		}
	}
	var tensors []safetensors.Tensor
	add := func(name string, t *torch.Tensor) {
		cpu := t.Detach().Contiguous()
		tensors = append(tensors, safetensors.Tensor{Name: name, DType: "F32", Shape: cpu.Shape(), Data: slices.Clone(cpu.Bytes())})
	}
	err = torch.Do(func() error {
		leaves := make([]*torch.Tensor, len(weights))
		for i, w := range weights {
			leaves[i] = w.Tensor.SetRequiresGrad(true)
		}
		var pass adapter.Pass
		if a != nil {
			pass = a.Begin(adapter.Step{DType: torch.Float32})
		}
		for i, h := range m.HiddenStates(in, pass) {
			add(fmt.Sprintf("hidden.%d", i), h)
		}
		logits := m.Forward(in, pass, encoder.Dropout{})
		add("logits", logits)
		for i, g := range torch.Gradients(logits.CrossEntropy(torch.FromSlice(labels)), leaves) {
			add("grad."+weights[i].Name, g)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return safetensors.Write(o.out, tensors, nil)
}

// readAdapter opens the adapter folder that was asked for; nil for none.
func (o options) readAdapter() (*adapter.Saved, error) {
	if o.adapter == "" {
		return nil, nil
	}
	return adapter.Read(o.adapter)
}

// openAdapter is the adapter that was asked for, on the model; nil for none.
func (o options) openAdapter(m *encoder.Model, saved *adapter.Saved) (adapter.Adapter, error) {
	switch {
	case saved != nil:
		a, missing, err := saved.PutOn(m, "", torch.CPU)
		for _, note := range append(saved.Notes(), missing...) {
			fmt.Fprintln(os.Stderr, "dump:", note)
		}
		return a, err
	case o.method != "":
		method, err := adapter.Lookup(o.method)
		if err != nil {
			return nil, err
		}
		targets, err := adapter.ParseKinds(strings.Split(o.targets, ","))
		if err != nil {
			return nil, err
		}
		a, err := method.New(adapter.Spec{
			Architecture: m.Architecture(), Targets: targets, Rank: o.rank, Alpha: method.Alpha(), Seed: 1, Device: torch.CPU,
		})
		if err == nil {
			err = errors.Join(adapter.Bind(a, m), randomise(a))
		}
		return a, err
	}
	return nil, nil
}

// randomise makes a new adapter's parameters such that none is zero, and ΔW not
// so large that it drowns the weights.
func randomise(a adapter.Adapter) error {
	return torch.Do(func() error {
		torch.Seed(2)
		torch.NoGrad(func() {
			for _, p := range a.Parameters() {
				p.Tensor.AddInPlace(torch.Randn(torch.Float32, torch.CPU, p.Tensor.Shape()...).MulScalar(0.1))
			}
		})
		return nil
	})
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
