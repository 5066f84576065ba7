package fact

import (
	"math"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/adapter/factored"
	"github.com/metatt/metatt/pkg/torch"
)

// tucker is FacT-TK: Σ[l,m] = Σ_k C[:,:,k] p[l,m,k] with C (r, r, k). k is r too,
// or the LM indices of Σ where they are fewer: more slices would say nothing new.
type tucker struct {
	blocks       factored.Blocks
	layers, rank int64
	slices       int64 // k
	alpha        float64
}

func planTucker(s factored.Settings) (factored.Form, error) {
	blocks, err := factored.NewBlocks(s.Architecture, s.Targets)
	if err != nil {
		return nil, err
	}
	layers := int64(s.Architecture.Layers)
	return tucker{blocks, layers, s.Rank, min(s.Rank, layers*blocks.Count), s.Alpha},
		blocks.RankLimit().Check("rank", s.Rank)
}

// Leaves implements [factored.Form].
func (f tucker) Leaves() []factored.Leaf {
	d, r, k, m := f.blocks.Width, f.rank, f.slices, f.blocks.Count
	return []factored.Leaf{
		{Name: "factors.in", Shape: []int64{d, r}, Start: factored.Kaiming(d)},
		{Name: "core", Shape: []int64{r, r, k}, Start: glorot(r*k, r*k)},
		{Name: "factors.block", Shape: []int64{f.layers, m, k}, Start: glorot(f.layers*m, k)},
		{Name: "factors.out", Shape: []int64{r, d}, Start: factored.Zero},
	}
}

// glorot is the uniform start of Glorot and Bengio, the reference's for C and
// the p.
func glorot(fanIn, fanOut int64) factored.Start {
	return factored.Uniform(math.Sqrt(6 / float64(fanIn+fanOut)))
}

// shared is the update as the sites see it, in fp32. C ×₃ p costs LMr²k once a
// pass.
func (f tucker) shared(t []*torch.Tensor) factored.Shared {
	r, k := f.rank, f.slices
	u, c, p, v := t[0], t[1], t[2], t[3]
	// (LM, k) x (k, r²): row (l,m) holds Σ_k p[l,m,k] C[i,j,k] for each i, j.
	sigma := p.Reshape(-1, k).MatMul(c.Reshape(r*r, k).T()).Reshape(f.layers, f.blocks.Count, r, r)
	return factored.Shared{Blocks: f.blocks, In: u, Middle: factored.Matrices{Tensor: sigma.MulScalar(f.alpha)}, Out: v}
}

// Begin implements [factored.Form].
func (f tucker) Begin(t []*torch.Tensor, step adapter.Step) adapter.Pass {
	return f.shared(t).ToDType(step.DType)
}

// Factors implements [factored.Form].
func (f tucker) Factors(t []*torch.Tensor, site adapter.Site) (in, out *torch.Tensor) {
	return f.shared(t).Factors(site)
}
