package metatt

import (
	"slices"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/adapter/factored"
	"github.com/metatt/metatt/pkg/torch"
)

// factors is the tensor train as the sites see it, in fp32:
//
//	ΔW[l,m] = in · layer[l] · matrix[m] · out
//
// with α in matrix.
type factors struct {
	in     *torch.Tensor // (D, a)
	layer  *torch.Tensor // (L, a, b)
	matrix *torch.Tensor // (M, b, c)
	out    *torch.Tensor // (c, D): the heads' columns side by side
}

func (t *metaTT) factors(task int) factors {
	cores := t.without(task)
	core := func(mode string) *torch.Tensor { return cores[slices.Index(t.method.Modes, mode)] }
	d := t.model.Hidden
	out := core(modeOut)
	f := factors{
		in:     core(modeIn).Reshape(d, -1),
		layer:  core(modeLayer).Permute(1, 0, 2),
		matrix: core(modeMatrix).Permute(1, 0, 2).MulScalar(t.alpha),
		out:    out.Reshape(out.Size(0), -1),
	}
	if slices.Contains(t.method.Modes, modeHead) {
		// c·H·r4·D/H products, once a pass: nothing beside the tokens'.
		head := core(modeHead) // (c, H, r4)
		f.out = head.Reshape(-1, head.Size(2)).MatMul(f.out).Reshape(head.Size(0), d)
	}
	return f
}

// without is the cores of the method's modes, the slice of the task multiplied
// into the neighbour where that is less work. The slice is taken first: shapes,
// and so bits, do not depend on the number of tasks.
func (t *metaTT) without(task int) []*torch.Tensor {
	i := t.taskCore()
	if i < 0 {
		return t.cores
	}
	if task < 0 || task >= len(t.tasks) {
		panic(torch.Errorf(t.method.Name, "task %d, the adapter has %d", task, len(t.tasks)))
	}
	left, slice, right := t.ofTask(i, task)
	if right.Size(1)*right.Size(2) <= left.Size(0)*left.Size(1) {
		right = slice.MatMul(right.Reshape(right.Size(0), -1)).Reshape(slice.Size(0), right.Size(1), right.Size(2))
	} else {
		left = left.Reshape(-1, left.Size(2)).MatMul(slice).Reshape(left.Size(0), left.Size(1), slice.Size(1))
	}
	return slices.Concat(t.cores[:i-1], []*torch.Tensor{left, right}, t.cores[i+2:])
}

// middle is layer[l] · matrix[m] for every l and m, (L, M, a, c).
func (f factors) middle() *torch.Tensor {
	return f.layer.Unsqueeze(1).MatMul(f.matrix.Unsqueeze(0)) // (L, 1, a, b) x (1, M, b, c)
}

// Begin implements [adapter.Adapter]. What the cores are multiplied into before
// tokens go through them is the way of the least work; x meets the input core
// once for all sites that read it.
func (t *metaTT) Begin(step adapter.Step) adapter.Pass {
	f := t.factors(step.Task)
	switch t.way(f, step.Tokens) {
	case atLayer: // In, (Layer Matrix Out)
		return factored.NewHalves(t.blocks, f.in.Unsqueeze(0).ToDType(step.DType), f.middle().MatMul(f.out).ToDType(step.DType))
	case atMatrix: // (In Layer), (Matrix Out)
		return factored.NewHalves(t.blocks, f.in.MatMul(f.layer).ToDType(step.DType), f.matrix.MatMul(f.out).Unsqueeze(0).ToDType(step.DType))
	}
	return factored.Shared{Blocks: t.blocks, In: f.in, Middle: factored.Matrices{Tensor: f.middle()}, Out: f.out}.ToDType(step.DType)
}

// way is how the cores are multiplied.
type way int

const (
	atLayer  way = iota // into two factors, at the bond before the layer mode
	atMatrix            // into two factors, at the bond before the matrix mode
	around              // into three, layer and matrix between in and out
)

// way counts multiplications: those of cores with cores once a pass, those of
// tokens with what comes of it.
func (t *metaTT) way(f factors, tokens int64) way {
	d, layers, m := t.model.Hidden, int64(t.model.Layers), t.blocks.Count
	a, b, c := f.layer.Size(1), f.layer.Size(2), f.matrix.Size(2)
	through := func(r int64) int64 { return tokens * layers * d * r }
	work := map[way]int64{
		atLayer:  layers*m*a*c*(b+d) + through(a)*(t.inputs()+m),
		atMatrix: d*b*(layers*a+m*c) + through(b)*(t.inputs()+m),
		around:   layers*m*a*c*(b+tokens) + through(a)*t.inputs() + through(c)*m,
	}
	best := atMatrix
	for _, other := range []way{atLayer, around} {
		if work[other] < work[best] {
			best = other
		}
	}
	return best
}

// Delta implements [adapter.Adapter]: ΔW of the first task.
func (t *metaTT) Delta(site adapter.Site) *torch.Tensor { return t.TaskDelta(site, 0) }

// TaskDelta implements [adapter.TaskAware].
func (t *metaTT) TaskDelta(site adapter.Site, task int) *torch.Tensor {
	span, adapted := t.blocks.Of(site.Kind)
	if !adapted {
		return nil
	}
	in, out := t.split(site, span, task)
	return in.MatMul(out)
}

// Factors implements [adapter.Factored]: ΔW is cut at its smallest bond, so that
// an attention matrix has rank min(r1, r2, r3), ffn_up min(r1, r2), ffn_down r3
// (with a head mode r3 as it is left of the heads).
func (t *metaTT) Factors(site adapter.Site) (in, out *torch.Tensor) { return t.TaskFactors(site, 0) }

// TaskFactors implements [adapter.TaskAware].
func (t *metaTT) TaskFactors(site adapter.Site, task int) (in, out *torch.Tensor) {
	span, adapted := t.blocks.Of(site.Kind)
	if !adapted {
		return nil, nil
	}
	return t.split(site, span, task)
}

// split is ΔW of a site as (In, k) times (k, Out). Blocks of output columns
// differ behind the layer core, blocks of input rows before the last: only the
// bonds on the other side are bonds of the whole matrix.
func (t *metaTT) split(site adapter.Site, span factored.Span, task int) (in, out *torch.Tensor) {
	f := t.factors(task)
	layer := f.layer.Select(0, int64(site.Layer))        // (a, b)
	matrix := f.matrix.Narrow(0, span.First, span.Count) // (blocks, b, c)
	a, b, c := layer.Size(0), layer.Size(1), matrix.Size(2)
	if site.Kind == adapter.FFNDown || (span.Count == 1 && c <= min(a, b)) {
		in := f.in.MatMul(layer).MatMul(matrix) // (D, b) x (blocks, b, c)
		return in.Reshape(site.In, c), f.out
	}
	out = matrix.MatMul(f.out).Permute(1, 0, 2).Reshape(b, site.Out) // (b, blocks, D)
	if b <= a {
		return f.in.MatMul(layer), out
	}
	return f.in, layer.MatMul(out)
}
