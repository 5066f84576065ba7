package fact

import (
	"fmt"
	"math"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/adapter/factored"
	"github.com/metatt/metatt/pkg/torch"
)

// tucker is FacT-TK: Σ[l,m] = Σ_k C[:,:,k] p[l,m,k] with C (r, r, r).
type tucker struct {
	blocks       factored.Blocks
	layers, rank int64
	alpha        float64
}

func planTucker(s *factored.Settings) (factored.Form, error) {
	blocks, err := factored.NewBlocks(s.Architecture, s.Targets)
	if err != nil {
		return nil, err
	}
	f := tucker{blocks, int64(s.Architecture.Layers), s.Rank, s.Alpha}
	return f, factored.CheckRank("rank", s.Rank, min(blocks.Width, f.layers*blocks.Count),
		fmt.Sprintf("width %d and %d layers of %d matrices", blocks.Width, f.layers, blocks.Count))
}

// Leaves implements [factored.Form].
func (f tucker) Leaves() []factored.Leaf {
	d, r, m := f.blocks.Width, f.rank, f.blocks.Count
	return []factored.Leaf{
		{Name: "factors.in", Shape: []int64{d, r}, Start: factored.Kaiming(d)},
		{Name: "core", Shape: []int64{r, r, r}, Start: glorot(r*r, r*r)},
		{Name: "factors.block", Shape: []int64{f.layers, m, r}, Start: glorot(f.layers*m, r)},
		{Name: "factors.out", Shape: []int64{r, d}, Start: factored.Zero},
	}
}

// glorot is the uniform start of Glorot and Bengio, the reference's for C and
// the p.
func glorot(fanIn, fanOut int64) factored.Start {
	return factored.Uniform(math.Sqrt(6 / float64(fanIn+fanOut)))
}

// shared is the update as the sites see it, in fp32. C ×₃ p costs LMr³ once a
// pass.
func (f tucker) shared(t []*torch.Tensor) factored.Shared {
	r := f.rank
	u, c, p, v := t[0], t[1], t[2], t[3]
	// (LM, r) x (r, r²): row (l,m) holds Σ_k p[l,m,k] C[i,j,k] for each i, j.
	sigma := p.Reshape(-1, r).MatMul(c.Reshape(r*r, r).T()).Reshape(f.layers, f.blocks.Count, r, r)
	return factored.Shared{Blocks: f.blocks, In: u, Middle: factored.Matrices{Tensor: sigma.MulScalar(f.alpha)}, Out: v}
}

// Begin implements [factored.Form].
func (f tucker) Begin(t []*torch.Tensor, step adapter.Step) adapter.Pass {
	return f.shared(t).ToDType(step.DType)
}

// Delta implements [factored.Form].
func (f tucker) Delta(t []*torch.Tensor, site adapter.Site) *torch.Tensor {
	return f.shared(t).Delta(site)
}
