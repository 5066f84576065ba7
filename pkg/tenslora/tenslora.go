// Package tenslora implements TensLoRA (arXiv 2509.19391) in its form for all
// matrices and layers: the updates are one tensor in Tucker form, with a rank for
// each mode.
package tenslora

import (
	"fmt"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/adapter/factored"
	"github.com/metatt/metatt/pkg/adapter/setting"
	"github.com/metatt/metatt/pkg/torch"
)

// modes are in the order of their ranks and of the core's.
var modes = []string{"in", "out", "matrix", "layer"}

func init() {
	factored.Register(adapter.Method{
		Name: "tenslora", PEFTType: "TENSLORA", Modes: modes,
		Summary:  "ΔW[l,m] = α Σ C[a,b,i,j] U[:,a] V[:,b] p_m[i] q_l[j]; D(r1+r2) + Mr3 + Lr4 + r1r2r3r4, r3 ≤ M, r4 ≤ L; arXiv 2509.19391",
		Settings: setting.Declaration{Keys: factored.ModeRankSettings{}, Settle: settle},
		Adopted:  adopted,
	}, plan)
}

// form is TensLoRA for x (tokens, D), U and V (D, r1) and (D, r2), the core C
// (r1, r2, r3, r4), and a row of p (M, r3) for each matrix index, of q (L, r4) for
// each layer:
//
//	y = x Wᵀ + b + α x U (C ×₃ p_m ×₄ q_l) Vᵀ
//
// As in the reference α alone is the scale, and no dropout stands inside the update.
type form struct {
	blocks factored.Blocks
	layers int64
	ranks  []int64 // of the modes
	alpha  float64
}

func plan(s factored.Settings) (factored.Form, error) {
	blocks, err := factored.NewBlocks(s.Architecture, s.Targets)
	if err != nil {
		return nil, err
	}
	f := form{blocks, int64(s.Architecture.Layers), s.Ranks, s.Alpha}
	if f.ranks == nil {
		f.ranks = f.byDefault(s.Rank)
	}
	return f, f.checkRanks()
}

// sizes are those of the modes.
func (f form) sizes() []int64 {
	return []int64{f.blocks.Width, f.blocks.Width, f.blocks.Count, f.layers}
}

// byDefault is one rank for all modes, and of the short ones no more than their
// length.
func (f form) byDefault(rank int64) []int64 {
	return []int64{rank, rank, min(rank, f.blocks.Count), min(rank, f.layers)}
}

// checkRanks holds each rank to what a tensor in Tucker form can need: no more than
// the mode is long, and than the other ranks have combinations.
func (f form) checkRanks() error {
	if len(f.ranks) != len(modes) {
		return fmt.Errorf("%d ranks, one for each of %s is needed", len(f.ranks), strings.Join(modes, ", "))
	}
	for i, rank := range f.ranks {
		if rank < 1 {
			return fmt.Errorf("rank %d of the mode %s: it is at least 1", rank, modes[i])
		}
	}
	sizes := f.sizes()
	for i, rank := range f.ranks {
		limit := factored.Limit{Largest: sizes[i], Of: fmt.Sprintf("the mode %s", modes[i])}
		if err := limit.Check("rank", rank); err != nil {
			return err
		}
		others := int64(1)
		for k, other := range f.ranks {
			if k != i {
				others *= min(other, sizes[k])
			}
		}
		limit.Lower(others, fmt.Sprintf("the mode %s beside ranks %v", modes[i], slices.Delete(slices.Clone(f.ranks), i, i+1)))
		if err := limit.Check("rank", rank); err != nil {
			return err
		}
	}
	return nil
}

// Ranks implements [factored.ModeRanked].
func (f form) Ranks() []int64 { return f.ranks }

// Leaves implements [factored.Form]. The reference's start: the core is zero, the
// factors are semi-orthogonal.
func (f form) Leaves() []factored.Leaf {
	leaves := []factored.Leaf{{Name: "core", Shape: f.ranks, Start: factored.Zero}}
	for i, size := range f.sizes() {
		leaves = append(leaves, factored.Leaf{Name: "factors." + modes[i], Shape: []int64{size, f.ranks[i]}, Start: factored.Orthogonal})
	}
	return leaves
}

// shared is the update as the sites see it, in fp32.
func (f form) shared(t []*torch.Tensor) factored.Shared {
	a, b, i, j := f.ranks[0], f.ranks[1], f.ranks[2], f.ranks[3]
	core, u, v, p, q := t[0], t[1], t[2], t[3], t[4]
	core = core.Permute(3, 2, 0, 1).Reshape(j, i*a*b)
	// (L, j) x (j, i·a·b), then for each layer (M, i) x (i, a·b).
	middle := p.MatMul(q.MatMul(core).Reshape(f.layers, i, a*b)).Reshape(f.layers, f.blocks.Count, a, b)
	return factored.Shared{Blocks: f.blocks, In: u, Middle: factored.Matrices{Tensor: middle.MulScalar(f.alpha)}, Out: v.T()}
}

// Begin implements [factored.Form].
func (f form) Begin(t []*torch.Tensor, step adapter.Step) adapter.Pass {
	return f.shared(t).ToDType(step.DType)
}

// Factors implements [factored.Form].
func (f form) Factors(t []*torch.Tensor, site adapter.Site) (in, out *torch.Tensor) {
	return f.shared(t).Factors(site)
}
