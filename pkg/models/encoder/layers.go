package encoder

import (
	"fmt"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/torch"
)

// backbone is take for a frozen tensor, whose name stands behind the prefix.
// Older checkpoints call it olderName, where that is not empty.
func (l *loader) backbone(name, olderName string, fresh fill, shape ...int64) (*torch.Tensor, error) {
	stored := l.stored + name
	if older := l.stored + olderName; olderName != "" && !l.has(stored) && l.has(older) {
		stored = older
	}
	return l.take(l.family.Prefix+name, stored, fresh, shape...)
}

// wordTable takes the embeddings of the vocabulary (rows, hidden).
func (l *loader) wordTable(rows, hidden int64) (*torch.Tensor, error) {
	if tied := l.family.TiedWord; l.checkpoint != nil && !l.has(l.stored+wordEmbeddings) && l.has(tied) {
		l.tied = append(l.tied, fmt.Sprintf("%s is %s", l.stored+wordEmbeddings, tied))
		return l.take(l.family.Prefix+wordEmbeddings, tied, normal, rows, hidden)
	}
	return l.backbone(wordEmbeddings, "", func(l *loader, shape []int64) *torch.Tensor {
		t := normal(l, shape)
		if l.padding >= 0 {
			t.Narrow(0, l.padding, 1).MulScalarInPlace(0)
		}
		return t
	}, rows, hidden)
}

// norm takes a layer normalisation of n. The first BERT checkpoints call its
// tensors gamma and beta.
func (l *loader) norm(name string, n int64) (norm, error) {
	weight, err := l.backbone(name+".weight", name+".gamma", ones, n)
	if err != nil {
		return norm{}, err
	}
	bias, err := l.backbone(name+".bias", name+".beta", zeros, n)
	return norm{weight, bias}, err
}

// linear takes NAME.weight (out, in) and NAME.bias (out) of the backbone.
func (l *loader) linear(name string, out, in int64) (Linear, error) {
	weight, err := l.backbone(name+".weight", "", normal, out, in)
	if err != nil {
		return Linear{}, err
	}
	bias, err := l.backbone(name+".bias", "", zeros, out)
	return Linear{weight, bias}, err
}

// layers takes encoder.layer.0 … of the architecture.
func (l *loader) layers(architecture adapter.Architecture) ([]layer, error) {
	layers := make([]layer, architecture.Layers)
	for i := range layers {
		at := fmt.Sprintf("encoder.layer.%d.", i)
		for _, kind := range adapter.Kinds() {
			site := architecture.Site(i, kind)
			linear, err := l.linear(at+kind.Module(), site.Out, site.In)
			if err != nil {
				return nil, err
			}
			layers[i].projection[kind] = linear
		}
		var err error
		if layers[i].attentionNorm, err = l.norm(at+"attention.output.LayerNorm", architecture.Hidden); err != nil {
			return nil, err
		}
		if layers[i].outputNorm, err = l.norm(at+"output.LayerNorm", architecture.Hidden); err != nil {
			return nil, err
		}
	}
	return layers, nil
}
