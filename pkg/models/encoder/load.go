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
// wants, and remembers what it did. Without a checkpoint it makes them.
type Loader struct {
	checkpoint *hf.Checkpoint // nil: everything is made
	stored     string         // prefix in the file
	prefix     string         // the family's, in the model's own names
	tiedWord   string
	deviation  float64 // standard deviation of a new weight
	padding    int64   // row of the word table that stays 0 when it is made
	dtype      torch.DType
	device     torch.Device
	seed       uint64
	// trainPooler: the pooler is the head's, even where the checkpoint has one.
	trainPooler bool

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

const wordEmbeddings = "embeddings.word_embeddings.weight"

// newLoader finds out under which prefix the checkpoint has the backbone: the
// family's, or none.
func newLoader(checkpoint *hf.Checkpoint, c *hf.Config, family Family, o Options) (*Loader, error) {
	l := &Loader{
		checkpoint: checkpoint, stored: family.Prefix, prefix: family.Prefix, tiedWord: family.TiedWord,
		deviation: c.InitializerRange, padding: int64(c.PadTokenID),
		dtype: o.DType, device: o.Device, seed: o.Seed, trainPooler: o.TrainPooler, taken: map[string]bool{}, names: map[string]string{},
	}
	if checkpoint == nil {
		return l, nil
	}
	const probe = "embeddings.position_embeddings.weight"
	if _, ok := checkpoint.Info(family.Prefix + probe); !ok {
		if _, ok := checkpoint.Info(probe); !ok {
			return nil, missing(checkpoint, family.Prefix+probe)
		}
		l.stored = ""
	}
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
var storedAs = map[torch.DType]hf.DType{torch.Float32: "F32", torch.Float16: "F16", torch.BFloat16: "BF16", torch.Float64: "F64"}

func fromStored(name hf.DType) (torch.DType, bool) {
	for dtype, stored := range storedAs {
		if stored == name {
			return dtype, true
		}
	}
	return 0, false
}

// fill is how transformers initialises a tensor.
type fill func(l *Loader, shape []int64) *torch.Tensor

func normal(l *Loader, shape []int64) *torch.Tensor {
	return torch.Randn(torch.Float32, torch.CPU, shape...).MulScalar(l.deviation)
}

func zeros(_ *Loader, shape []int64) *torch.Tensor {
	return torch.Zeros(torch.Float32, torch.CPU, shape...)
}

func ones(_ *Loader, shape []int64) *torch.Tensor {
	return torch.Ones(torch.Float32, torch.CPU, shape...)
}

// has reports whether the file has the tensor in that shape, or in any where
// none is given.
func (l *Loader) has(stored string, shape ...int64) bool {
	if l.checkpoint == nil {
		return false
	}
	info, ok := l.checkpoint.Info(stored)
	return ok && (len(shape) == 0 || slices.Equal(info.Shape, shape))
}

// take is the tensor that the model calls name: the file's tensor stored, or a
// new one where there is no file.
func (l *Loader) take(name, stored string, dtype torch.DType, fresh fill, shape ...int64) (*torch.Tensor, error) {
	if l.checkpoint == nil {
		return l.make(name, dtype, fresh, shape)
	}
	var t *torch.Tensor
	err := torch.Do(func() error {
		cpu, err := readStored(l.checkpoint, stored, shape)
		if err != nil {
			return err
		}
		l.taken[stored], l.names[name] = true, stored
		t = l.own(name, cpu.ToDType(dtype).To(l.device))
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
func (l *Loader) make(name string, dtype torch.DType, fresh fill, shape []int64) (t *torch.Tensor, err error) {
	if l.checkpoint != nil {
		l.made = append(l.made, name)
	}
	err = torch.Do(func() error {
		t = l.own(name, fresh(l, shape).ToDType(dtype).To(l.device))
		return nil
	})
	return t, err
}

func (l *Loader) own(name string, t *torch.Tensor) *torch.Tensor {
	l.weights = append(l.weights, adapter.Parameter{Name: name, Tensor: t.Keep()})
	return t
}

// backbone is take for a frozen tensor, whose name stands behind the prefix.
// Older checkpoints call it olderName, where that is not empty.
func (l *Loader) backbone(name, olderName string, fresh fill, shape ...int64) (*torch.Tensor, error) {
	stored := l.stored + name
	if older := l.stored + olderName; olderName != "" && !l.has(stored) && l.has(older) {
		stored = older
	}
	return l.take(l.prefix+name, stored, l.dtype, fresh, shape...)
}

// table takes an embedding table (rows, hidden).
func (l *Loader) table(name string, rows, hidden int64) (*torch.Tensor, error) {
	if name != wordEmbeddings {
		return l.backbone(name, "", normal, rows, hidden)
	}
	if l.checkpoint != nil && !l.has(l.stored+name) && l.has(l.tiedWord) {
		l.tied = append(l.tied, fmt.Sprintf("%s is %s", l.stored+name, l.tiedWord))
		return l.take(l.prefix+name, l.tiedWord, l.dtype, normal, rows, hidden)
	}
	return l.backbone(name, "", func(l *Loader, shape []int64) *torch.Tensor {
		t := normal(l, shape)
		if l.padding >= 0 {
			t.Narrow(0, l.padding, 1).MulScalarInPlace(0)
		}
		return t
	}, rows, hidden)
}

// norm takes a layer normalisation of n. The first BERT checkpoints call its
// tensors gamma and beta.
func (l *Loader) norm(name string, n int64) (Norm, error) {
	weight, err := l.backbone(name+".weight", name+".gamma", ones, n)
	if err != nil {
		return Norm{}, err
	}
	bias, err := l.backbone(name+".bias", name+".beta", zeros, n)
	return Norm{weight, bias}, err
}

// linear takes NAME.weight (out, in) and NAME.bias (out) of the backbone.
func (l *Loader) linear(name string, out, in int64) (Linear, error) {
	weight, err := l.backbone(name+".weight", "", normal, out, in)
	if err != nil {
		return Linear{}, err
	}
	bias, err := l.backbone(name+".bias", "", zeros, out)
	return Linear{weight, bias}, err
}

// Pooler takes the layer of the head that stands behind the prefix. A file that
// has it says what it is: it is frozen, in the backbone's dtype, unless the
// options ask for one that is trained. What is made anew, of a checkpoint that
// was saved without (from a masked language model, say), is nobody's but the
// run's: it is trained and stored as the rest of the head, in fp32.
func (l *Loader) Pooler(name string, out, in int64) (pooler Linear, trained bool, err error) {
	switch has := l.has(l.stored + name + ".weight"); {
	case has && !l.trainPooler, l.checkpoint == nil:
		pooler, err = l.linear(name, out, in)
		return pooler, false, err
	case has:
		pooler, err = l.takeLinear(l.prefix+name, l.stored+name, out, in)
	default:
		pooler, err = l.makeLinear(l.prefix+name, out, in)
	}
	return pooler, true, err
}

// Trainable takes a trainable fp32 layer of the head, which stands without
// prefix, where the file has it in that shape, and makes it anew where not: a
// checkpoint of the bare encoder, or one trained on another number of labels.
func (l *Loader) Trainable(name string, out, in int64) (Linear, error) {
	if !l.has(name+".weight", out, in) {
		return l.makeLinear(name, out, in)
	}
	return l.takeLinear(name, name, out, in)
}

// takeLinear takes a layer that is trained, makeLinear makes it.
func (l *Loader) takeLinear(name, stored string, out, in int64) (Linear, error) {
	weight, err := l.take(name+".weight", stored+".weight", headDType, normal, out, in)
	if err != nil {
		return Linear{}, err
	}
	bias, err := l.take(name+".bias", stored+".bias", headDType, zeros, out)
	return Linear{weight, bias}, err
}

func (l *Loader) makeLinear(name string, out, in int64) (Linear, error) {
	weight, err := l.make(name+".weight", headDType, normal, []int64{out, in})
	if err != nil {
		return Linear{}, err
	}
	bias, err := l.make(name+".bias", headDType, zeros, []int64{out})
	return Linear{weight, bias}, err
}

// encoder takes encoder.layer.0 … of the architecture.
func (l *Loader) encoder(config Config) (*Encoder, error) {
	e := &Encoder{Config: config, Layers: make([]Layer, config.Architecture.Layers)}
	hidden := config.Architecture.Hidden
	for i := range e.Layers {
		at := fmt.Sprintf("encoder.layer.%d.", i)
		for _, kind := range adapter.Kinds() {
			site := config.Architecture.Site(i, kind)
			linear, err := l.linear(at+kind.Module(), site.Out, site.In)
			if err != nil {
				return nil, err
			}
			e.Layers[i].Projection[kind] = linear
		}
		var err error
		if e.Layers[i].AttentionNorm, err = l.norm(at+"attention.output.LayerNorm", hidden); err != nil {
			return nil, err
		}
		if e.Layers[i].OutputNorm, err = l.norm(at+"output.LayerNorm", hidden); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// report lists what was made and what was left over.
func (l *Loader) report() Report {
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
