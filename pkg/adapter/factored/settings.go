package factored

import "github.com/metatt/metatt/pkg/adapter"

// TensorTrainSettings are the keys of methods with tensor trains inside their factors.
type TensorTrainSettings struct {
	TTRank int `yaml:"tt_rank" default:"0" range:"[0,)" after:"budget" aka:"tensor_rank" doc:"rank of the tensor trains that A and B of rank adapter.rank are, or the two matrices of an adapter of that width; 0: 5, or the largest legal one where that is smaller"`
}

// WithTensorTrains is a method with tensor trains inside its factors: adapter.rank is a mode of
// them, and their own rank what a budget moves.
func WithTensorTrains(m adapter.Method) adapter.Method {
	m.Settings.Keys, m.Settings.Size = TensorTrainSettings{}, "tt_rank"
	m.Sized = func(spec adapter.Spec, size int) adapter.Spec {
		spec.Settings = TensorTrainSettings{size}
		return spec
	}
	m.Adopted = func(saved adapter.Config, _ any) any { return TensorTrainSettings{int(saved.TTRank)} }
	return m
}

// ModeRankSettings are the keys of methods with a rank for each of their modes. (The key is
// MetaTT's, too: the schema refuses two that say different things.)
type ModeRankSettings struct {
	Ranks []int `yaml:"ranks" default:"" range:"[1,)" after:"rank" aka:"bond_ranks,link_dims" doc:"a rank for each bond of MetaTT's tensor train, from the left, or for each mode of TensLoRA, in, out, matrix, layer, in the place of adapter.rank; empty: adapter.rank for all, no more than a mode is long"`
}
