package encoder

import (
	"fmt"
	"slices"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/torch"
)

// Head is the layers of one task behind a backbone: fp32, and trained.
type Head struct {
	classifier Classifier
	parameters []adapter.Parameter
	labels     int             // 0: as many as config.json has
	made       []string        // not in the checkpoint
	taken      map[string]bool // names in the checkpoint
}

// HeadOptions say what a head is to be.
type HeadOptions struct {
	Labels int    // its outputs; 0: as many as config.json has labels
	Seed   uint64 // of what is made
	// TrainPooler makes BERT's pooler a part of the head, as an adapter that
	// brings one has it.
	TrainPooler bool
}

// NewHead takes a head from the backbone's checkpoint, which is read again, and
// makes what that lacks, as transformers does: of the seed alone, whatever other
// goroutines draw.
func (b *Backbone) NewHead(o HeadOptions) (*Head, error) {
	if b.dir == "" {
		return b.newHead(nil, o)
	}
	checkpoint, err := hf.OpenCheckpoint(b.dir)
	if err != nil {
		return nil, err
	}
	defer checkpoint.Close() // it was only read
	return b.newHead(checkpoint, o)
}

func (b *Backbone) newHead(checkpoint *hf.Checkpoint, o HeadOptions) (h *Head, err error) {
	err = torch.Do(func() error { // one, so that nobody draws in between
		torch.Seed(o.Seed)
		h, err = b.takeHead(checkpoint, o)
		return err
	})
	return h, err
}

// takeHead goes on drawing where there is something to make.
func (b *Backbone) takeHead(checkpoint *hf.Checkpoint, o HeadOptions) (*Head, error) {
	if o.Labels < 0 {
		return nil, fmt.Errorf("a classifier with %d labels", o.Labels)
	}
	l := &HeadLoader{
		Hidden: b.architecture.Hidden, Labels: int64(o.Labels), backbone: b, trainPooler: o.TrainPooler,
		loader: loader{
			checkpoint: checkpoint, family: b.family, stored: b.prefix, deviation: b.config.InitializerRange,
			dtype: headDType, device: b.device, taken: map[string]bool{}, names: map[string]string{},
		},
	}
	if o.Labels == 0 {
		l.Labels = int64(len(b.config.ID2Label))
	}
	classifier, err := b.family.LoadHead(l)
	h := &Head{classifier, l.weights, o.Labels, l.made, l.taken}
	if err != nil {
		h.Free()
		return nil, err
	}
	return h, nil
}

// Parameters is the head's tensors under their Hugging Face names.
func (h *Head) Parameters() []adapter.Parameter { return h.parameters }

// Made lists the parameters that the checkpoint does not have.
func (h *Head) Made() []string { return h.made }

// has: the head has a tensor of that name.
func (h *Head) has(name string) bool {
	return slices.ContainsFunc(h.parameters, func(p adapter.Parameter) bool { return p.Name == name })
}

// Free releases the parameters.
func (h *Head) Free() {
	for _, p := range h.parameters {
		p.Tensor.Free()
	}
}

// HeadLoader takes the layers of a head from the backbone's checkpoint.
type HeadLoader struct {
	Hidden, Labels int64

	loader
	backbone    *Backbone
	trainPooler bool // even where the backbone has one
}

// Pooler takes the layer of the head that stands behind the prefix; nil where it
// is the backbone's frozen one, as long as the options ask for none that is
// trained. What is made anew is nobody's but the run's: it is trained and stored
// as the rest of the head, in fp32.
func (l *HeadLoader) Pooler() (*Linear, error) {
	name := l.family.Pooler
	var pooler Linear
	var err error
	switch frozen := l.backbone.pooler; {
	case frozen != nil && (!l.trainPooler || l.checkpoint == nil):
		return nil, nil
	case frozen != nil:
		pooler, err = l.takeLinear(l.family.Prefix+name, l.stored+name, l.Hidden, l.Hidden)
	default:
		pooler, err = l.makeLinear(l.family.Prefix+name, l.Hidden, l.Hidden)
	}
	return &pooler, err
}

// Linear takes a layer of the head, which stands without prefix, where the file
// has it in that shape, and makes it anew where not: a checkpoint of the bare
// encoder, or one trained on another number of labels.
func (l *HeadLoader) Linear(name string, out, in int64) (Linear, error) {
	if !l.has(name+".weight", out, in) {
		return l.makeLinear(name, out, in)
	}
	return l.takeLinear(name, name, out, in)
}

func (l *HeadLoader) takeLinear(name, stored string, out, in int64) (Linear, error) {
	weight, err := l.take(name+".weight", stored+".weight", normal, out, in)
	if err != nil {
		return Linear{}, err
	}
	bias, err := l.take(name+".bias", stored+".bias", zeros, out)
	return Linear{weight, bias}, err
}

func (l *HeadLoader) makeLinear(name string, out, in int64) (Linear, error) {
	weight, err := l.make(name+".weight", normal, out, in)
	if err != nil {
		return Linear{}, err
	}
	bias, err := l.make(name+".bias", zeros, out)
	return Linear{weight, bias}, err
}
