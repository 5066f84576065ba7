package factored

import (
	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/torch"
)

// Cores is the form ΔW[l,m] = Scale · In · Core[l,m] · Out with outer factors
// (D, r) and (r, D) that all matrices share and a core (r, r) for each.
type Cores struct {
	Blocks          Blocks
	Layers, Rank    int64
	Scale           float64
	In, Middle, Out Start
}

// Leaves implements [Form].
func (c Cores) Leaves() []Leaf {
	d, r := c.Blocks.Width, c.Rank
	return []Leaf{
		{Name: "factors.in", Shape: []int64{d, r}, Start: c.In},
		{Name: "core", Shape: []int64{c.Layers, c.Blocks.Count, r, r}, Start: c.Middle},
		{Name: "factors.out", Shape: []int64{r, d}, Start: c.Out},
	}
}

func (c Cores) shared(t []*torch.Tensor) Shared {
	return Shared{Blocks: c.Blocks, In: t[0], Middle: Matrices{t[1].MulScalar(c.Scale)}, Out: t[2]}
}

// Begin implements [Form].
func (c Cores) Begin(t []*torch.Tensor, step adapter.Step) adapter.Pass {
	return c.shared(t).ToDType(step.DType)
}

// Factors implements [Form].
func (c Cores) Factors(t []*torch.Tensor, site adapter.Site) (in, out *torch.Tensor) {
	return c.shared(t).Factors(site)
}
