package factored

import (
	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/torch"
)

// Shared is ΔW[l,m] = In · Middle[l,m] · Out for layer l and matrix index m: the
// outer factors are the same for all. It implements [adapter.Pass].
type Shared struct {
	Blocks Blocks
	In     *torch.Tensor // (D, a)
	Middle Middle
	Out    *torch.Tensor // (c, D)
}

// Middle is the part of [Shared] that differs between matrices.
type Middle interface {
	ToDType(torch.DType) Middle
	// Spread takes z (tokens, a) to every index of the span: (tokens·count, c).
	Spread(z *torch.Tensor, layer int, span Span) *torch.Tensor
	// Gather takes z (tokens, count·a), the part of each index side by side, to
	// the sum over the span's indices: (tokens, c).
	Gather(z *torch.Tensor, layer int, span Span) *torch.Tensor
	// Matrix is the middle (a, c) of one layer and matrix index.
	Matrix(layer int, index int64) *torch.Tensor
}

// ToDType is s in that element type.
func (s Shared) ToDType(dtype torch.DType) Shared {
	s.In, s.Middle, s.Out = s.In.ToDType(dtype), s.Middle.ToDType(dtype), s.Out.ToDType(dtype)
	return s
}

// Apply implements [adapter.Pass]. x In is computed once for all sites that
// read x.
func (s Shared) Apply(sites []adapter.Site, x *torch.Tensor, frozen []*torch.Tensor) []*torch.Tensor {
	d := s.Blocks.Width
	var reduced *torch.Tensor // (tokens, input blocks·a)
	for i, site := range sites {
		span, adapted := s.Blocks.Of(site.Kind)
		if !adapted {
			continue
		}
		tokens := x.Size(0)
		if reduced == nil {
			// ffn_down reads blocks of D columns: each goes through In.
			reduced = x.Reshape(-1, d).MatMul(s.In).Reshape(tokens, -1)
		}
		if site.Kind == adapter.FFNUp {
			update := s.Middle.Spread(reduced, site.Layer, span)
			frozen[i] = frozen[i].Reshape(-1, d).AddMatMulInPlace(update, s.Out).Reshape(tokens, site.Out)
			continue
		}
		// Input blocks add up before Out.
		frozen[i].AddMatMulInPlace(s.Middle.Gather(reduced, site.Layer, span), s.Out)
	}
	return frozen
}

// Factors is ΔW = in · out of a site that is adapted, cut on the narrower side of
// its middle. The blocks of ffn_down share Out, those of ffn_up In.
func (s Shared) Factors(site adapter.Site) (in, out *torch.Tensor) {
	span, _ := s.Blocks.Of(site.Kind)
	in = s.In
	shareOut := site.Kind == adapter.FFNDown || span.Count == 1 && s.Out.Size(0) < in.Size(1)
	blocks := make([]*torch.Tensor, span.Count)
	for i := range blocks {
		m := s.Middle.Matrix(site.Layer, span.First+int64(i))
		if shareOut {
			blocks[i] = in.MatMul(m) // (D, a) x (a, c)
		} else {
			blocks[i] = m.MatMul(s.Out) // (a, c) x (c, D)
		}
	}
	if shareOut {
		return torch.Cat(0, blocks...), s.Out
	}
	return in, torch.Cat(1, blocks...)
}

// Matrices is a matrix (a, c) for each layer and matrix index, (L, M, a, c), or
// (1, M, a, c) the same for every layer.
type Matrices struct{ *torch.Tensor }

func (m Matrices) layer(l int) *torch.Tensor {
	if m.Size(0) == 1 {
		l = 0
	}
	return m.Select(0, int64(l)) // (M, a, c)
}

func (m Matrices) at(layer int, span Span) *torch.Tensor {
	return m.layer(layer).Narrow(0, span.First, span.Count) // (count, a, c)
}

// ToDType implements [Middle].
func (m Matrices) ToDType(dtype torch.DType) Middle { return Matrices{m.Tensor.ToDType(dtype)} }

// Spread implements [Middle].
func (m Matrices) Spread(z *torch.Tensor, layer int, span Span) *torch.Tensor {
	cores := m.at(layer, span)
	a, c := cores.Size(1), cores.Size(2)
	return z.MatMul(cores.Permute(1, 0, 2).Reshape(a, span.Count*c)).Reshape(-1, c)
}

// Gather implements [Middle].
func (m Matrices) Gather(z *torch.Tensor, layer int, span Span) *torch.Tensor {
	cores := m.at(layer, span)
	return z.MatMul(cores.Reshape(-1, cores.Size(2))) // (tokens, count·a) x (count·a, c)
}

// Matrix implements [Middle].
func (m Matrices) Matrix(layer int, index int64) *torch.Tensor {
	return m.layer(layer).Select(0, index)
}

// Diagonals is the diagonal (r) of a matrix for each layer and matrix index:
// (L, M, r).
type Diagonals struct{ *torch.Tensor }

func (d Diagonals) at(layer int, span Span) *torch.Tensor {
	return d.Select(0, int64(layer)).Narrow(0, span.First, span.Count) // (count, r)
}

// ToDType implements [Middle].
func (d Diagonals) ToDType(dtype torch.DType) Middle { return Diagonals{d.Tensor.ToDType(dtype)} }

// Spread implements [Middle].
func (d Diagonals) Spread(z *torch.Tensor, layer int, span Span) *torch.Tensor {
	diagonals := d.at(layer, span)
	return z.Unsqueeze(1).Mul(diagonals).Reshape(-1, diagonals.Size(1)) // (tokens, 1, r) ∘ (count, r)
}

// Gather implements [Middle].
func (d Diagonals) Gather(z *torch.Tensor, layer int, span Span) *torch.Tensor {
	diagonals := d.at(layer, span)
	return z.Reshape(-1, span.Count, diagonals.Size(1)).Mul(diagonals).SumDim(1) // (tokens, count, r) ∘ (count, r)
}

// Matrix implements [Middle].
func (d Diagonals) Matrix(layer int, index int64) *torch.Tensor {
	diagonal := d.Select(0, int64(layer)).Select(0, index)
	return torch.Eye(diagonal.DType(), diagonal.Device(), diagonal.Size(0), diagonal.Size(0)).Mul(diagonal)
}
