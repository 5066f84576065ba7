package encoder

import (
	"fmt"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/torch"
)

// Family is what tells BERT from RoBERTa: names, positions and the head.
type Family struct {
	ModelType    string // of config.json
	Architecture string // transformers' class with the sequence classification head
	Prefix       string // before the backbone's names in a checkpoint of that class
	// TiedWord is the masked-language-model layer that shares its weight with
	// the word embeddings; a checkpoint may hold the shared tensor under this
	// name alone.
	TiedWord string
	// Positions writes the row of the position table for each token of one
	// example.
	Positions func(c *hf.Config, ids, positions []int32)
	// MaxLength is the largest number of tokens of an example.
	MaxLength func(c *hf.Config) int
	// PaddedPositions: the row of the position table at pad_token_id belongs to
	// padding and is not trained.
	PaddedPositions bool
	LoadHead        func(l *Loader, c *hf.Config, labels int64) (Head, error)
}

// Head turns the encoder's output into logits.
type Head interface {
	// Logits is (examples, labels), fp32, for the last layer's output at each
	// example's first token, (examples, hidden) in the model's dtype.
	Logits(first *torch.Tensor, drop Dropout) *torch.Tensor
	// Parameters is what is trained beside an adapter: fp32 tensors under their
	// Hugging Face names.
	Parameters() []adapter.Parameter
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

// Model is a backbone with a sequence classification head. The head is
// trainable and fp32, everything else is frozen.
type Model struct {
	family  Family
	config  *hf.Config
	encoder *Encoder
	head    Head
	report  Report
	dtype   torch.DType
	device  torch.Device

	word, position, token *torch.Tensor // embedding tables (rows, hidden)
	norm                  Norm
	weights               []adapter.Parameter // everything, the head included
	replaced              []adapter.Parameter // fp32 originals of what is not the checkpoint's
	dir                   string              // of the checkpoint; empty: there is none
	stored                map[string]string   // names of tensors in the checkpoint
}

// Load reads the model in a folder, config.json and its checkpoint, which must be
// of one of the families.
func Load(dir string, o Options, families ...Family) (*Model, error) {
	config, err := hf.ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(families, func(f Family) bool { return f.ModelType == config.ModelType })
	if i < 0 {
		names := make([]string, len(families))
		for k, f := range families {
			names[k] = f.ModelType
		}
		return nil, fmt.Errorf("%s: model_type is %q, not %s", dir, config.ModelType, strings.Join(names, " or "))
	}
	checkpoint, err := hf.OpenCheckpoint(dir)
	if err != nil {
		return nil, err
	}
	defer checkpoint.Close() // it was only read
	m, err := load(checkpoint, config, families[i], o)
	if err == nil {
		m.dir = dir
	}
	return m, err
}

// New makes the family's model of that config with weights drawn as
// transformers initialises them.
func New(config *hf.Config, family Family, o Options) (*Model, error) {
	if config.ModelType != family.ModelType {
		return nil, fmt.Errorf("model_type is %q, not %s", config.ModelType, family.ModelType)
	}
	return load(nil, config, family, o)
}

// load takes every tensor from the checkpoint, or makes it where there is none.
func load(checkpoint *hf.Checkpoint, given *hf.Config, family Family, o Options) (*Model, error) {
	config := *given
	if o.Labels < 0 {
		return nil, fmt.Errorf("a classifier with %d labels", o.Labels)
	}
	if o.Labels > 0 {
		config.SetLabels(o.Labels)
	}
	loader, err := newLoader(checkpoint, &config, family, o)
	if err != nil {
		return nil, err
	}
	m := &Model{family: family, config: &config, dtype: o.DType, device: o.Device}
	err = m.take(loader)
	m.weights, m.report, m.stored = loader.weights, loader.report(), loader.names
	if err != nil {
		m.Free()
		return nil, err
	}
	return m, nil
}

func (m *Model) take(l *Loader) (err error) {
	c, hidden := m.config, int64(m.config.HiddenSize)
	if err := torch.Do(func() error { torch.Seed(l.seed); return nil }); err != nil {
		return err
	}
	for _, table := range []struct {
		tensor **torch.Tensor
		name   string
		rows   int
	}{
		{&m.word, wordEmbeddings, c.VocabSize},
		{&m.position, "embeddings.position_embeddings.weight", c.MaxPositionEmbeddings},
		{&m.token, "embeddings.token_type_embeddings.weight", c.TypeVocabSize},
	} {
		if *table.tensor, err = l.table(table.name, int64(table.rows), hidden); err != nil {
			return err
		}
	}
	if m.norm, err = l.norm("embeddings.LayerNorm", hidden); err != nil {
		return err
	}
	if m.encoder, err = l.encoder(fromConfig(c)); err != nil {
		return err
	}
	m.head, err = m.family.LoadHead(l, c, int64(len(c.ID2Label)))
	return err
}

// Config is the model's config.json, with the options applied.
func (m *Model) Config() *hf.Config { return m.config }

// Architecture is what an adapter may know of the model.
func (m *Model) Architecture() adapter.Architecture { return m.encoder.Config.Architecture }

// Report says what loading made and left over.
func (m *Model) Report() Report { return m.report }

// MaxLength is the largest number of tokens of an example.
func (m *Model) MaxLength() int { return m.family.MaxLength(m.config) }

// Weights is every tensor of the model under its Hugging Face name, the head's
// included: the backbone's in the model's dtype and frozen until their
// requires_grad is set. They stay the model's.
func (m *Model) Weights() []adapter.Parameter { return m.weights }

// Head is the trainable tensors of the head.
func (m *Model) Head() []adapter.Parameter { return m.head.Parameters() }

// Backbone implements [adapter.Backbone]: every tensor that is not the head's.
func (m *Model) Backbone() []adapter.Parameter {
	head := m.Head()
	return slices.DeleteFunc(slices.Clone(m.weights), func(w adapter.Parameter) bool {
		return slices.ContainsFunc(head, func(h adapter.Parameter) bool { return h.Name == w.Name })
	})
}

// Projection implements [adapter.Backbone].
func (m *Model) Projection(site adapter.Site) (weight, bias *torch.Tensor) {
	l := m.encoder.Layers[site.Layer].Projection[site.Kind]
	return l.Weight, l.Bias
}

// Frozen is the number of elements that are not the head's.
func (m *Model) Frozen() int64 { return adapter.Count(m.Backbone()) }

// Replace puts a tensor of that name's shape in the place of the backbone's: one
// that an adapter's file brings, rounded into the model's dtype. It stays frozen,
// and [Model.Replaced] gives it back as it came.
func (m *Model) Replace(name string, value *torch.Tensor) error {
	i := slices.IndexFunc(m.weights, func(w adapter.Parameter) bool { return w.Name == name })
	if i < 0 {
		return fmt.Errorf("the model has no tensor %s", name)
	}
	weight := m.weights[i].Tensor
	if !slices.Equal(weight.Shape(), value.Shape()) {
		return fmt.Errorf("tensor %s has shape %v, the model's %v", name, value.Shape(), weight.Shape())
	}
	return torch.Do(func() error {
		torch.NoGrad(func() {
			weight.CopyFrom(value)
			original := value.ToDType(torch.Float32).To(torch.CPU).Clone().Keep()
			if k := slices.IndexFunc(m.replaced, func(r adapter.Parameter) bool { return r.Name == name }); k >= 0 {
				m.replaced[k].Tensor.Free()
				m.replaced[k].Tensor = original
			} else {
				m.replaced = append(m.replaced, adapter.Parameter{Name: name, Tensor: original})
			}
		})
		return nil
	})
}

// Original is a new fp32 tensor, of the current scope, with what has replaced the
// backbone's tensor of that name, or what the checkpoint has of it, unrounded. It
// runs inside [torch.Do].
func (m *Model) Original(name string) (*torch.Tensor, error) {
	for _, r := range m.replaced {
		if r.Name == name {
			return r.Tensor.Clone(), nil
		}
	}
	for _, w := range m.weights {
		if w.Name != name {
			continue
		}
		stored, ok := m.stored[name]
		if !ok { // it was made
			return w.Tensor.Detach().ToDType(torch.Float32).Clone(), nil
		}
		checkpoint, err := hf.OpenCheckpoint(m.dir)
		if err != nil {
			return nil, err
		}
		defer checkpoint.Close() // it was only read
		cpu, err := readStored(checkpoint, stored, w.Tensor.Shape())
		if err != nil {
			return nil, err
		}
		return cpu.ToDType(torch.Float32), nil
	}
	return nil, fmt.Errorf("the model has no tensor %s", name)
}

// Replaced lists the tensors that [Model.Replace] put in the place of the
// checkpoint's, in fp32 on the CPU: they are to be stored with the adapter.
func (m *Model) Replaced() []adapter.Parameter { return m.replaced }

// Free releases all tensors.
func (m *Model) Free() {
	for _, w := range slices.Concat(m.weights, m.replaced) {
		w.Tensor.Free()
	}
}

// Check tells whether the model can take the input.
func (m *Model) Check(in Input) error {
	return in.Check(m.config.VocabSize, m.config.TypeVocabSize, m.MaxLength())
}

// Forward is the logits (examples, labels), fp32, of a checked input; pass may
// be nil. It runs inside [torch.Do].
func (m *Model) Forward(in Input, pass adapter.Pass, drop Dropout) *torch.Tensor {
	var logits *torch.Tensor
	torch.Scoped(func() {
		h := m.encoder.Forward(m.embed(in).Dropout(drop.Hidden), NewLayout(in, m.device, m.dtype), pass, drop)
		first := h.IndexSelect(0, m.indices(in.Offsets[:in.Examples()]))
		logits = m.head.Logits(first, drop).Escape()
	})
	return logits
}

// HiddenStates is the embeddings' output and that of every layer, each (tokens,
// hidden) in the model's dtype, of a checked input without dropout: what
// transformers calls hidden_states, without padding. It runs inside [torch.Do].
func (m *Model) HiddenStates(in Input, pass adapter.Pass) []*torch.Tensor {
	states := []*torch.Tensor{m.embed(in)}
	f := forward{Encoder: m.encoder, layout: NewLayout(in, m.device, m.dtype), pass: pass}
	for l := range m.encoder.Layers {
		states = append(states, f.layer(l, states[l]))
	}
	return states
}

// embed is the sum of the three embeddings, normalised.
func (m *Model) embed(in Input) *torch.Tensor {
	positions := make([]int32, len(in.IDs))
	for i := range in.Examples() {
		from, to := in.Offsets[i], in.Offsets[i+1]
		m.family.Positions(m.config, in.IDs[from:to], positions[from:to])
	}
	pad, padPosition := int64(m.config.PadTokenID), int64(hf.NoPadToken)
	if m.family.PaddedPositions {
		padPosition = pad
	}
	return m.word.Embedding(m.indices(in.IDs), pad).
		Add(m.token.Rows(m.indices(in.TypeIDs))).
		Add(m.position.Embedding(m.indices(positions), padPosition)).
		LayerNorm(m.norm.Weight, m.norm.Bias, m.config.LayerNormEps)
}

// indices is a 1-D index tensor on the model's device.
func (m *Model) indices(values []int32) *torch.Tensor {
	return torch.FromSlice(values).To(m.device)
}

// Save writes the model as transformers stores it: config.json and
// model.safetensors. A bf16 backbone stays bf16 in the file, the head is fp32;
// config.json asks for fp32, which holds both exactly.
func (m *Model) Save(dir string) error {
	config := *m.config
	config.Architectures, config.DType = []string{m.family.Architecture}, "float32"
	return torch.Do(func() error {
		tensors := make([]hf.Tensor, len(m.weights))
		for i, w := range m.weights {
			cpu := w.Tensor.Detach().To(torch.CPU).Contiguous()
			tensors[i] = hf.Tensor{Name: w.Name, DType: storedAs[cpu.DType()], Shape: cpu.Shape(), Data: cpu.Bytes()}
		}
		return hf.Save(dir, &config, tensors)
	})
}
