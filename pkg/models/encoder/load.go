package encoder

import (
	"fmt"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/safetensors"
	"github.com/metatt/metatt/pkg/spelling"
	"github.com/metatt/metatt/pkg/torch"
)

// loader takes the tensors of a checkpoint one by one, by the names a model
// wants, and remembers what it did. Without a checkpoint it makes them.
type loader struct {
	checkpoint *hf.Checkpoint // nil: everything is made
	family     Family
	stored     string  // before the backbone's names in the file; the family's is before the model's own
	deviation  float64 // standard deviation of a new weight
	padding    int64   // row of the word table that stays 0 when it is made
	dtype      torch.DType
	device     torch.Device

	weights []adapter.Parameter
	taken   map[string]bool   // by their names in the file
	names   map[string]string // those, by the model's
	made    []string
	tied    []string
}

// Report says what loading did beside the encoder's own tensors.
type Report struct {
	Prefix     string   // before every name in the file, e.g. "bert."
	New        []string // not in the file, newly initialised
	Tied       []string // taken from the tensor they share their memory with: "a is b"
	Unexpected []string // in the file, not used by the model
}

const (
	wordEmbeddings     = "embeddings.word_embeddings.weight"
	positionEmbeddings = "embeddings.position_embeddings.weight"
)

// newLoader finds out under which prefix the checkpoint has the backbone: the
// family's, or none.
func newLoader(checkpoint *hf.Checkpoint, c *hf.Config, family Family, dtype torch.DType, device torch.Device) (*loader, error) {
	l := &loader{
		checkpoint: checkpoint, family: family, stored: family.Prefix, deviation: c.InitializerRange, padding: int64(c.PadTokenID),
		dtype: dtype, device: device, taken: map[string]bool{}, names: map[string]string{},
	}
	if checkpoint == nil || l.has(family.Prefix+positionEmbeddings) {
		return l, nil
	}
	if !l.has(positionEmbeddings) {
		return nil, missing(checkpoint, family.Prefix+positionEmbeddings)
	}
	l.stored = ""
	return l, nil
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

// storedAs is the element types a checkpoint may have, as safetensors names them.
var storedAs = map[torch.DType]safetensors.DType{torch.Float32: "F32", torch.Float16: "F16", torch.BFloat16: "BF16", torch.Float64: "F64"}

func fromStored(name safetensors.DType) (torch.DType, bool) {
	for dtype, stored := range storedAs {
		if stored == name {
			return dtype, true
		}
	}
	return 0, false
}

// fill is how transformers initialises a tensor.
type fill func(l *loader, shape []int64) *torch.Tensor

func normal(l *loader, shape []int64) *torch.Tensor {
	return torch.Randn(torch.Float32, torch.CPU, shape...).MulScalar(l.deviation)
}

func zeros(_ *loader, shape []int64) *torch.Tensor {
	return torch.Zeros(torch.Float32, torch.CPU, shape...)
}

func ones(_ *loader, shape []int64) *torch.Tensor {
	return torch.Ones(torch.Float32, torch.CPU, shape...)
}

// has reports whether the file has the tensor in that shape, or in any where
// none is given.
func (l *loader) has(stored string, shape ...int64) bool {
	if l.checkpoint == nil {
		return false
	}
	info, ok := l.checkpoint.Info(stored)
	return ok && (len(shape) == 0 || slices.Equal(info.Shape, shape))
}

// take is the tensor that the model calls name: the file's tensor stored, or a
// new one where there is no file.
func (l *loader) take(name, stored string, fresh fill, shape ...int64) (*torch.Tensor, error) {
	if l.checkpoint == nil {
		return l.make(name, fresh, shape...)
	}
	var t *torch.Tensor
	err := torch.Do(func() error {
		cpu, err := readStored(l.checkpoint, stored, shape)
		if err != nil {
			return err
		}
		l.taken[stored], l.names[name] = true, stored
		t = l.own(name, cpu.ToDType(l.dtype).To(l.device))
		return nil
	})
	return t, err
}

// readStored is a checkpoint's tensor of that shape, as it is stored, in the
// current scope on the CPU.
func readStored(checkpoint *hf.Checkpoint, stored string, shape []int64) (*torch.Tensor, error) {
	info, ok := checkpoint.Info(stored)
	if !ok {
		return nil, missing(checkpoint, stored)
	}
	from, ok := fromStored(info.DType)
	if !ok {
		return nil, fmt.Errorf("%s: tensor %s is %s; weights are F32, F16, BF16 or F64", checkpoint.Path(stored), stored, info.DType)
	}
	if !slices.Equal(info.Shape, shape) {
		return nil, fmt.Errorf("%s: tensor %s has shape %v, config.json asks for %v", checkpoint.Path(stored), stored, info.Shape, shape)
	}
	cpu := torch.Empty(from, torch.CPU, shape...)
	return cpu, checkpoint.ReadInto(stored, cpu.Bytes())
}

// make is a new tensor, and says so where there is a file that lacks it.
func (l *loader) make(name string, fresh fill, shape ...int64) (t *torch.Tensor, err error) {
	if l.checkpoint != nil {
		l.made = append(l.made, name)
	}
	err = torch.Do(func() error {
		t = l.own(name, fresh(l, shape).ToDType(l.dtype).To(l.device))
		return nil
	})
	return t, err
}

func (l *loader) own(name string, t *torch.Tensor) *torch.Tensor {
	l.weights = append(l.weights, adapter.Parameter{Name: name, Tensor: t.Keep()})
	return t
}

// report lists what was made and what was left over.
func (l *loader) report() Report {
	r := Report{Prefix: l.stored, New: l.made, Tied: l.tied}
	if l.checkpoint == nil {
		return r
	}
	for _, name := range l.checkpoint.Names() {
		// Older checkpoints store this constant: it is no weight.
		if !l.taken[name] && !strings.HasSuffix(name, "embeddings.position_ids") {
			r.Unexpected = append(r.Unexpected, name)
		}
	}
	return r
}
