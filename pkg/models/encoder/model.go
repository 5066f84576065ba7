package encoder

import (
	"fmt"
	"slices"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/safetensors"
	"github.com/metatt/metatt/pkg/torch"
)

// Model is a backbone with the head of one task. It implements [adapter.Host]:
// what an adapter changes of the backbone, it changes for this model and those
// beside it alone.
type Model struct {
	*stem
	head   *Head
	config *hf.Config
	beside bool // the stem is another model's, which frees it
}

// Options say how to load a model.
type Options struct {
	Labels int         // outputs of the head; 0: as many as config.json has labels
	DType  torch.DType // of the frozen weights: Float32 or BFloat16
	Device torch.Device
	Seed   uint64 // of newly made weights
	// TrainPooler makes BERT's pooler a part of the head, as an adapter that
	// brings one has it.
	TrainPooler bool
}

func (o Options) head() HeadOptions { return HeadOptions{o.Labels, o.Seed, o.TrainPooler} }

// Load reads the model in a folder, config.json and its checkpoint, which must be
// of one of the families. The backbone is the model's own.
func Load(dir string, o Options, families ...Family) (*Model, error) {
	config, family, err := familyOf(dir, families)
	if err != nil {
		return nil, err
	}
	checkpoint, err := hf.OpenCheckpoint(dir)
	if err != nil {
		return nil, err
	}
	defer checkpoint.Close() // it was only read
	b, err := loadBackbone(checkpoint, config, family, o.DType, o.Device)
	if err != nil {
		return nil, err
	}
	b.dir = dir
	head, err := b.newHead(checkpoint, o.head())
	if err != nil {
		b.Free()
		return nil, err
	}
	return newModel(&stem{backbone: b, whole: true}, head), nil
}

// New makes the family's model of that config with weights drawn as
// transformers initialises them. The backbone is the model's own.
func New(config *hf.Config, family Family, o Options) (m *Model, err error) {
	if config.ModelType != family.ModelType {
		return nil, fmt.Errorf("model_type is %q, not %s", config.ModelType, family.ModelType)
	}
	copied := *config
	err = torch.Do(func() error { // one, so that nobody draws in between
		torch.Seed(o.Seed)
		b, err := loadBackbone(nil, &copied, family, o.DType, o.Device)
		if err != nil {
			return err
		}
		head, err := b.takeHead(nil, o.head())
		if err != nil {
			b.Free()
			return err
		}
		m = newModel(&stem{backbone: b, whole: true}, head)
		return nil
	})
	return m, err
}

// NewModel puts a head, which is the model's from then on, behind a backbone that
// stays the caller's: others may use it, and it is to be freed after the model.
func NewModel(b *Backbone, head *Head) *Model { return newModel(&stem{backbone: b}, head) }

// Beside makes a model of another task on the backbone as m has it: with one
// adapter on m, each of the models has its task's head. It is to be freed before m.
func (m *Model) Beside(o HeadOptions) (*Model, error) {
	head, err := m.backbone.NewHead(o)
	if err != nil {
		return nil, err
	}
	other := newModel(m.stem, head)
	other.beside = true
	return other, nil
}

func newModel(s *stem, head *Head) *Model {
	config := *s.backbone.config
	if head.labels > 0 {
		config.SetLabels(head.labels)
	}
	return &Model{stem: s, head: head, config: &config}
}

// Config is the backbone's config.json with the head's labels. It is the model's.
func (m *Model) Config() *hf.Config { return m.config }

// Architecture is what an adapter may know of the model.
func (m *Model) Architecture() adapter.Architecture { return m.backbone.Architecture() }

// Report says what loading made and left over.
func (m *Model) Report() Report {
	r := m.backbone.Report()
	r.New = m.head.Made()
	r.Unexpected = slices.DeleteFunc(slices.Clone(r.Unexpected), func(name string) bool { return m.head.taken[name] })
	return r
}

// MaxLength is the largest number of tokens of an example.
func (m *Model) MaxLength() int { return m.backbone.MaxLength() }

// Dropout is config.json's probabilities, or the override for all three.
func (m *Model) Dropout(override *float64) Dropout { return m.backbone.Dropout(override) }

// Weights is every tensor of the model under its Hugging Face name, the head's
// included: the backbone's in the model's dtype and frozen until their
// requires_grad is set. They stay the model's.
func (m *Model) Weights() []adapter.Parameter { return slices.Concat(m.Backbone(), m.Head()) }

// Head is the trainable tensors of the head.
func (m *Model) Head() []adapter.Parameter { return m.head.Parameters() }

// Check tells whether the model can take the input.
func (m *Model) Check(in Input) error { return m.backbone.Check(in) }

// NewBatch is [Backbone.NewBatch].
func (m *Model) NewBatch(in Input) *Batch { return m.backbone.NewBatch(in) }

// Packs is [Backbone.Packs].
func (m *Model) Packs() bool { return m.backbone.Packs() }

// NewBatchOf is [Backbone.NewBatchOf].
func (m *Model) NewBatchOf(in Input, shape Shape) *Batch { return m.backbone.NewBatchOf(in, shape) }

// Forward is the logits (examples, labels), fp32, of a checked input; pass may
// be nil. It runs inside [torch.Do].
func (m *Model) Forward(in Input, pass adapter.Pass, drop Dropout) *torch.Tensor {
	var logits *torch.Tensor
	torch.Scoped(func() { logits = m.Logits(m.NewBatch(in), pass, drop).Escape() })
	return logits
}

// Logits is [Model.Forward] of a batch that is on the device.
func (m *Model) Logits(batch *Batch, pass adapter.Pass, drop Dropout) *torch.Tensor {
	var logits *torch.Tensor
	torch.Scoped(func() {
		place := ofHead
		dropout := func(x *torch.Tensor) *torch.Tensor {
			place--
			return x.DropoutAt(batch.firsts, batch.drop(place+1, drop.Classifier))
		}
		logits = m.head.classifier.Logits(m.backbone, m.backbone.First(batch, pass, drop), dropout).Escape()
	})
	return logits
}

// HiddenStates is [Backbone.HiddenStates].
func (m *Model) HiddenStates(in Input, pass adapter.Pass) []*torch.Tensor {
	return m.backbone.HiddenStates(in, pass)
}

// Save writes the model as transformers stores it: config.json and
// model.safetensors. A bf16 backbone stays bf16 in the file, the head is fp32;
// config.json asks for fp32, which holds both exactly.
func (m *Model) Save(dir string) error {
	config := *m.config
	config.Architectures, config.DType = []string{m.backbone.family.Architecture}, "float32"
	return torch.Do(func() error {
		var tensors []safetensors.Tensor
		for _, w := range m.Weights() {
			cpu := w.Tensor.Detach().To(torch.CPU).Contiguous()
			tensors = append(tensors, safetensors.Tensor{Name: w.Name, DType: storedAs[cpu.DType()], Shape: cpu.Shape(), Data: cpu.Bytes()})
		}
		return hf.Save(dir, &config, tensors)
	})
}

// Free releases the head and what is not shared with others.
func (m *Model) Free() {
	m.head.Free()
	if !m.beside {
		m.stem.free()
	}
}
