// Package optim is what is trained, laid out in flat buffers, AdamW as a few
// operations over ranges of them, and learning-rate schedules.
package optim

import (
	"slices"

	"github.com/metatt/metatt/pkg/torch"
)

// Parameter is one tensor that is trained.
type Parameter struct {
	Name string
	// Value is updated, in fp32. Leaf is what gradients are taken of: Value itself,
	// or the tensor that Value is the fp32 master of.
	Value, Leaf *torch.Tensor
	// Undecayed: weight decay leaves it alone.
	Undecayed bool
	// Scale is the factor of the learning rate.
	Scale float64
}

// Flat is parameters end to end: all values in one buffer, all gradients of a dtype
// in another. Values and leaves are views of the buffers; they stay the caller's,
// and may be freed before or after it.
type Flat struct {
	parameters []Parameter
	places     []place // by parameter
	sequence   []int   // of the parameters in the buffers
	values     *torch.Tensor
	gradients  []*torch.Tensor // one for each dtype of leaves
}

// place is where a parameter lies: its value from offset on in the values, its
// gradient from there less start on in the gradients of its dtype.
type place struct {
	offset, size int64
	shape        []int64
	dtype        int   // among the gradients
	start        int64 // in the values, of the parameters of that dtype
}

// alignment, in elements, puts every parameter where the CPU's vector loads and an
// allocator would have it: a product does not depend on what lies before it.
const alignment = 64

func aligned(n int64) int64 { return (n + alignment - 1) / alignment * alignment }

// newFlat moves the parameters into buffers of the current scope, to be kept. Leaves
// become leaves that require a gradient.
func newFlat(parameters []Parameter) *Flat {
	if len(parameters) == 0 {
		panic(torch.Errorf("flat", "no parameters"))
	}
	f := &Flat{parameters: slices.Clone(parameters), places: make([]place, len(parameters)), sequence: sequence(parameters)}
	var dtypes []torch.DType // of the leaves, those of a dtype one after the other
	var lengths []int64      // of the gradients of each
	var start, end int64
	for _, i := range f.sequence {
		p := f.parameters[i]
		if n := len(dtypes); n == 0 || dtypes[n-1] != p.Leaf.DType() {
			dtypes, lengths, start = append(dtypes, p.Leaf.DType()), append(lengths, 0), end
		}
		dtype := len(dtypes) - 1
		f.places[i] = place{offset: end, size: p.Value.Numel(), shape: p.Value.Shape(), dtype: dtype, start: start}
		end += aligned(f.places[i].size)
		lengths[dtype] = end - start
	}
	device := parameters[0].Value.Device()
	f.values = torch.Zeros(torch.Float32, device, end)
	for dtype, length := range lengths {
		f.gradients = append(f.gradients, torch.Zeros(dtypes[dtype], device, length))
	}
	for i, p := range f.parameters {
		at := f.places[i]
		p.Value.MoveInto(f.values, at.offset)
		p.Leaf.SetRequiresGrad(true)
		if at.size > 0 { // of nothing, libtorch makes no gradient
			p.Leaf.GradientIn(f.gradients[at.dtype], at.offset-at.start)
		}
	}
	return f
}

// sequence is the order of the parameters in the buffers: those of a kind lie together,
// by the dtype of leaves and then by whether they decay, so that a range holds many.
func sequence(parameters []Parameter) []int {
	order := make([]int, len(parameters))
	for i := range order {
		order[i] = i
	}
	kind := func(i int) int {
		k := 2 * int(parameters[i].Leaf.DType())
		if parameters[i].Undecayed {
			k++
		}
		return k
	}
	slices.SortStableFunc(order, func(a, b int) int { return kind(a) - kind(b) })
	return order
}

// Parameters is what is trained, in the order given.
func (f *Flat) Parameters() []Parameter { return f.parameters }

// ZeroGradients sets all gradients to zero. It runs inside [torch.Do].
func (f *Flat) ZeroGradients() {
	torch.NoGrad(func() {
		for _, g := range f.gradients {
			g.Zero()
		}
	})
}

// Gradients are the buffers that backward passes add to, each of one dimension: what
// several processes sum up.
func (f *Flat) Gradients() []*torch.Tensor { return f.gradients }

// Gradient is a view of parameter i's gradient, in its shape and the dtype of its
// leaf. It runs inside [torch.Do].
func (f *Flat) Gradient(i int) *torch.Tensor {
	at := f.places[i]
	return f.gradients[at.dtype].Narrow(0, at.offset-at.start, at.size).Reshape(at.shape...)
}

// view is parameter i's part of a buffer that is laid out as the values are.
func (f *Flat) view(buffer *torch.Tensor, i int) *torch.Tensor {
	at := f.places[i]
	return buffer.Narrow(0, at.offset, at.size).Reshape(at.shape...)
}

// Freeze stops or resumes the making of parameter i's gradient.
func (f *Flat) Freeze(i int, frozen bool) { f.parameters[i].Leaf.SetRequiresGrad(!frozen) }

// Free releases the buffers, as far as they are the flat's: the parameters keep what
// is theirs.
func (f *Flat) Free() {
	for _, g := range f.gradients {
		g.Free()
	}
	f.values.Free()
}
