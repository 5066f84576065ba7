package encoder

import (
	"fmt"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/spelling"
	"github.com/metatt/metatt/pkg/torch"
)

// Loader takes the tensors of a checkpoint one by one, by the names a model
// wants, and remembers what it did. All its tensors are kept; Free releases
// them together.
type Loader struct {
	checkpoint *hf.Checkpoint
	prefix     string
	dtype      torch.DType
	device     torch.Device

	taken   map[string]bool
	made    []string
	tensors []*torch.Tensor
}

// Report says what loading did beside the encoder's own tensors.
type Report struct {
	Prefix     string   // before every name, e.g. "bert."
	New        []string // not in the file, newly initialised
	Unexpected []string // in the file, not used by the model
}

// NewLoader reads tensors into dtype on device. Of the prefixes, the first
// under which the file has the tensor called probe is in front of every name.
func NewLoader(c *hf.Checkpoint, probe string, prefixes []string, dtype torch.DType, device torch.Device) (*Loader, error) {
	for _, prefix := range prefixes {
		if _, ok := c.Info(prefix + probe); ok {
			return &Loader{checkpoint: c, prefix: prefix, dtype: dtype, device: device, taken: map[string]bool{}}, nil
		}
	}
	return nil, missing(c, probe)
}

// missing is the error for a tensor that the file does not have.
func missing(c *hf.Checkpoint, name string) error {
	if near := spelling.Nearest(name, c.Names()); near != "" {
		return fmt.Errorf("%s: tensor %s is missing; the nearest is %s", c.Path(name), name, near)
	}
	return fmt.Errorf("%s: tensor %s is missing", c.Path(name), name)
}

// headDType is the element type of what is trained.
const headDType = torch.Float32

// stored is the element types a checkpoint may have.
var stored = map[string]torch.DType{"F32": torch.Float32, "F16": torch.Float16, "BF16": torch.BFloat16, "F64": torch.Float64}

// Has reports whether the file has prefix+name.
func (l *Loader) Has(name string) bool {
	_, ok := l.checkpoint.Info(l.prefix + name)
	return ok
}

// Take reads prefix+name, which must have that shape.
func (l *Loader) Take(name string, shape ...int64) (*torch.Tensor, error) {
	return l.read(l.prefix+name, l.dtype, shape)
}

func (l *Loader) read(name string, dtype torch.DType, shape []int64) (*torch.Tensor, error) {
	info, ok := l.checkpoint.Info(name)
	if !ok {
		return nil, missing(l.checkpoint, name)
	}
	from, ok := stored[string(info.DType)]
	if !ok {
		return nil, fmt.Errorf("%s: tensor %s is %s; weights are F32, F16, BF16 or F64", l.checkpoint.Path(name), name, info.DType)
	}
	if !slices.Equal(info.Shape, shape) {
		return nil, fmt.Errorf("%s: tensor %s has shape %v, config.json asks for %v", l.checkpoint.Path(name), name, info.Shape, shape)
	}
	var t *torch.Tensor
	err := torch.Do(func() error {
		cpu := torch.Empty(from, torch.CPU, shape...)
		if err := l.checkpoint.ReadInto(name, cpu.Bytes()); err != nil {
			return err
		}
		t = l.own(name, cpu.ToDType(dtype).To(l.device))
		return nil
	})
	return t, err
}

func (l *Loader) makeLinear(name string, dtype torch.DType, deviation float64, out, in int64) (linear Linear, err error) {
	err = torch.Do(func() error {
		weight := torch.Randn(torch.Float32, torch.CPU, out, in).MulScalar(deviation)
		linear = Linear{
			Weight: l.own(name+".weight", weight.ToDType(dtype).To(l.device)),
			Bias:   l.own(name+".bias", torch.Zeros(dtype, l.device, out)),
		}
		l.made = append(l.made, name+".weight", name+".bias")
		return nil
	})
	return linear, err
}

func (l *Loader) own(name string, t *torch.Tensor) *torch.Tensor {
	l.taken[name] = true
	l.tensors = append(l.tensors, t.Keep())
	return t
}

// Report lists what was made and what was left over.
func (l *Loader) Report() Report {
	r := Report{Prefix: l.prefix, New: l.made}
	for _, name := range l.checkpoint.Names() {
		// Older checkpoints store this constant: it is no weight.
		if !l.taken[name] && !strings.HasSuffix(name, "embeddings.position_ids") {
			r.Unexpected = append(r.Unexpected, name)
		}
	}
	return r
}

// Tensors is everything that was taken or made, to be freed by the model.
func (l *Loader) Tensors() []*torch.Tensor { return l.tensors }

// names of the six projections of a layer, by adapter.Kind; BERT and RoBERTa
// share them.
var projections = [6]string{
	"attention.self.query", "attention.self.key", "attention.self.value",
	"attention.output.dense", "intermediate.dense", "output.dense",
}

// LoadLinear takes NAME.weight (out, in) and NAME.bias (out).
func (l *Loader) LoadLinear(name string, out, in int64) (Linear, error) {
	weight, err := l.Take(name+".weight", out, in)
	if err != nil {
		return Linear{}, err
	}
	bias, err := l.Take(name+".bias", out)
	return Linear{weight, bias}, err
}

// LoadNorm takes NAME.weight and NAME.bias (n).
func (l *Loader) LoadNorm(name string, n int64) (Norm, error) {
	weight, err := l.Take(name+".weight", n)
	if err != nil {
		return Norm{}, err
	}
	bias, err := l.Take(name+".bias", n)
	return Norm{weight, bias}, err
}

// LoadEncoder takes encoder.layer.0 … of the architecture.
func (l *Loader) LoadEncoder(config Config) (*Encoder, error) {
	e := &Encoder{Config: config, Layers: make([]Layer, config.Architecture.Layers)}
	hidden := config.Architecture.Hidden
	for i := range e.Layers {
		at := fmt.Sprintf("encoder.layer.%d.", i)
		for kind, name := range projections {
			site := config.Architecture.Site(i, adapter.Kind(kind))
			linear, err := l.LoadLinear(at+name, site.Out, site.In)
			if err != nil {
				return nil, err
			}
			e.Layers[i].Projection[kind] = linear
		}
		var err error
		if e.Layers[i].AttentionNorm, err = l.LoadNorm(at+"attention.output.LayerNorm", hidden); err != nil {
			return nil, err
		}
		if e.Layers[i].OutputNorm, err = l.LoadNorm(at+"output.LayerNorm", hidden); err != nil {
			return nil, err
		}
	}
	return e, nil
}
