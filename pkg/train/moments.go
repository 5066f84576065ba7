package train

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/optim"
	"github.com/metatt/metatt/pkg/safetensors"
	"github.com/metatt/metatt/pkg/torch"
)

// momentNames are the names of a parameter's two moments in optimizerFile.
func momentNames(parameter string) [2]string {
	return [2]string{parameter + ".exp_avg", parameter + ".exp_avg_sq"}
}

// saveOptimizer writes the moments, and the adapter's progress beside them.
func saveOptimizer(path string, o *optim.AdamW, progress []adapter.Parameter) error {
	var tensors []safetensors.Tensor
	add := func(name string, t *torch.Tensor) {
		cpu := t.To(torch.CPU).Contiguous()
		tensors = append(tensors, safetensors.Tensor{Name: name, DType: "F32", Shape: cpu.Shape(), Data: cpu.Bytes()})
	}
	for i, p := range o.Parameters() {
		first, second := o.Moments(i)
		names := momentNames(p.Name)
		add(names[0], first)
		add(names[1], second)
	}
	for _, p := range progress {
		add(p.Name, p.Tensor)
	}
	return safetensors.Write(path, tensors, nil)
}

// loadOptimizer continues the optimizer and the adapter's progress from a
// checkpoint.
func loadOptimizer(c *Checkpoint, o *optim.AdamW, progress []adapter.Parameter) error {
	parameters := o.Parameters()
	path := filepath.Join(c.Dir, optimizerFile)
	f, err := safetensors.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	read := func(name string, shape []int64) (*torch.Tensor, error) {
		info, ok := f.Info(name)
		if !ok || info.DType != "F32" || !slices.Equal(info.Shape, shape) {
			return nil, fmt.Errorf("%s: no tensor %s of type F32 and shape %v", path, name, shape)
		}
		t := torch.Empty(torch.Float32, torch.CPU, shape...)
		return t, f.ReadInto(name, t.Bytes())
	}
	var moments [2][]*torch.Tensor
	for _, p := range parameters {
		for j, name := range momentNames(p.Name) {
			moment, err := read(name, p.Value.Shape())
			if err != nil {
				return err
			}
			moments[j] = append(moments[j], moment)
		}
	}
	for j := range moments {
		if i := optim.FirstNotFinite(moments[j]); i >= 0 {
			return fmt.Errorf("%s: tensor %s is not finite", path, momentNames(parameters[i].Name)[j])
		}
	}
	if have, want := len(f.Names()), 2*len(parameters)+len(progress); have > want {
		return fmt.Errorf("%s: %d tensors, this run has %d: it is another one's", path, have, want)
	}
	for _, p := range progress {
		saved, err := read(p.Name, p.Tensor.Shape())
		if err != nil {
			return err
		}
		p.Tensor.CopyFrom(saved)
	}
	return o.Restore(c.state.Optimizer, moments[0], moments[1])
}
