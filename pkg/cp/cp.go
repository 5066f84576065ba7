// Package cp implements canonical polyadic (CP) adapters: one sum of r rank-one
// tensors, shared by the whole network, holds the updates of all adapted weight
// matrices. CP-4D and CP-5D have the modes of MetaTT-4D and -5D; LoRTA (arXiv
// 2410.04060) is CP-5D with LoRA's scale and start.
package cp

import (
	"fmt"
	"slices"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/adapter/factored"
	"github.com/metatt/metatt/pkg/torch"
)

// variant is what tells the methods of this package apart.
type variant struct {
	heads bool // out is a mode of D/H beside one of H heads
	scale func(alpha float64, r int64) float64
	inner func(r int64) factored.Start // of the layer, matrix and head factors
}

func init() {
	modes4D := []string{"in", "layer", "matrix", "out"}
	modes5D := []string{"in", "layer", "matrix", "head", "out"}
	plain := variant{
		scale: func(alpha float64, _ int64) float64 { return alpha },
		// Around 1, so that A B begins as nearly the same for all matrices.
		inner: func(int64) factored.Start { return factored.Normal(1, innerSigma) },
	}
	plain5D := plain
	plain5D.heads = true
	lorta := variant{
		heads: true,
		scale: func(alpha float64, r int64) float64 { return alpha / float64(r) },
		inner: factored.Kaiming, // of an (n, r) weight, which sums over r
	}
	for _, m := range []struct {
		adapter.Method
		variant
	}{
		{adapter.Method{Name: "cp4d", PEFTType: "CP", Modes: modes4D, Summary: "ΔW[l,m] = α A diag(c_l ∘ c_m) B; r(2D + L+M); CP on the modes of MetaTT-4D"}, plain},
		{adapter.Method{Name: "cp5d", PEFTType: "CP", Modes: modes5D, Summary: "ΔW[l,m,h] = α A diag(c_l ∘ c_m ∘ c_h) B, the heads' columns side by side; r(D + D/H + L+M+H); CP on the modes of MetaTT-5D"}, plain5D},
		{adapter.Method{Name: "lorta", PEFTType: "LORTA", Modes: modes5D, DefaultAlpha: lorasAlpha, Summary: "CP-5D at scale α/r with a Kaiming start; r(D + D/H + L+M+H); arXiv 2410.04060"}, lorta},
	} {
		factored.Register(m.Method, m.plan)
	}
}

// lorasAlpha is α of LoRA's GLUE recipe, at rank 8.
const lorasAlpha = 16

// innerSigma is the standard deviation of CP's layer, matrix and head factors
// around 1.
const innerSigma = 0.2

// form is CP over the modes in, layer, matrix, [head,] out, of sizes n: a factor
// (n, r) each.
type form struct {
	blocks factored.Blocks
	scale  float64
	rank   int64
	inner  factored.Start
	names  []string
	sizes  []int64
}

func (v variant) plan(s factored.Settings) (factored.Form, error) {
	a := s.Architecture
	blocks, err := factored.NewBlocks(a, s.Targets)
	if err != nil {
		return nil, err
	}
	f := form{
		blocks: blocks, scale: v.scale(s.Alpha, s.Rank), rank: s.Rank, inner: v.inner(s.Rank),
		names: []string{"in", "layer", "matrix", "out"},
		sizes: []int64{a.Hidden, int64(a.Layers), blocks.Count, a.Hidden},
	}
	if v.heads {
		heads := int64(a.Heads)
		if heads < 1 || a.Hidden%heads != 0 {
			return nil, fmt.Errorf("%d heads do not divide the width %d", heads, a.Hidden)
		}
		f.names = slices.Insert(f.names, 3, "head")
		f.sizes = []int64{a.Hidden, int64(a.Layers), blocks.Count, heads, a.Hidden / heads}
	}
	// A tensor is the sum of its fibres along its longest mode.
	limit := int64(1)
	for _, n := range f.sizes {
		limit *= n
	}
	limit /= slices.Max(f.sizes)
	return f, factored.Limit{Largest: limit, Of: fmt.Sprintf("%s and %d matrices", a, blocks.Count)}.Check("rank", s.Rank)
}

// Leaves implements [factored.Form].
func (f form) Leaves() []factored.Leaf {
	leaves := make([]factored.Leaf, len(f.names))
	for i, name := range f.names {
		start := f.inner
		switch name {
		case "in":
			start = factored.Kaiming(f.sizes[i])
		case "out":
			start = factored.Zero
		}
		leaves[i] = factored.Leaf{Name: "factors." + name, Shape: []int64{f.sizes[i], f.rank}, Start: start}
	}
	return leaves
}

// shared is the update as the sites see it, in fp32.
func (f form) shared(t []*torch.Tensor) factored.Shared {
	out := t[len(t)-1].T() // (r, D), or (r, D/H)
	if f.names[3] == "head" {
		// (r, H, 1) ∘ (r, 1, D/H): the heads' columns side by side.
		out = t[3].T().Unsqueeze(2).Mul(out.Unsqueeze(1)).Reshape(f.rank, f.blocks.Width)
	}
	return factored.Shared{
		Blocks: f.blocks,
		In:     t[0],
		Middle: factored.Diagonals{Tensor: t[1].Unsqueeze(1).Mul(t[2].Unsqueeze(0)).MulScalar(f.scale)}, // (L, 1, r) ∘ (1, M, r)
		Out:    out,
	}
}

// Begin implements [factored.Form].
func (f form) Begin(t []*torch.Tensor, step adapter.Step) adapter.Pass {
	return f.shared(t).ToDType(step.DType)
}

// Factors implements [factored.Form].
func (f form) Factors(t []*torch.Tensor, site adapter.Site) (in, out *torch.Tensor) {
	return f.shared(t).Factors(site)
}
