package adapter

import (
	"fmt"

	"github.com/metatt/metatt/pkg/torch"
)

// What only some methods need is an interface of its own, which their adapter
// or its pass implements beside the common one.

// Backbone is the frozen model, for methods that need more of it than the
// inputs and outputs of sites. Its tensors stay the model's, and only those that
// Own has made its own may be changed.
type Backbone interface {
	// Projection is W (Out, In) and b (Out) of a site in the model's dtype.
	Projection(site Site) (weight, bias *torch.Tensor)
	// Backbone lists every tensor that is not the head's, under its Hugging
	// Face name, in the model's dtype.
	Backbone() []Parameter
	// Own makes the tensors of those names the model's own: where other models
	// share them, copies take their place, also in what Projection and Backbone
	// return from then on.
	Own(which func(name string) bool) error
}

// Bound is an adapter that reads the backbone's weights or trains them. Before
// Bind it can do nothing but Config, Free and, where it is [Folding], Fold.
type Bound interface {
	Adapter
	// Bind is called once, after New or Open. It runs inside [torch.Do].
	Bind(Backbone) error
}

// Bind gives an adapter its backbone, where it asks for one.
func Bind(a Adapter, b Backbone) error {
	bound, ok := a.(Bound)
	if !ok {
		return nil
	}
	return torch.Do(func() error { return bound.Bind(b) })
}

// BackboneTrainer is an adapter whose Parameters are fp32 masters of tensors of
// the backbone, which Bind makes the model's own. It changes the model that it is
// bound to.
type BackboneTrainer interface {
	Bound
	// Leaves are the model's tensors, in the order of Parameters and in the
	// model's dtype: what gradients are taken of.
	Leaves() []*torch.Tensor
	// Publish rounds the masters into the model, after each change of them.
	Publish()
}

// Leaves are the tensors to take gradients of, in the order of Parameters.
func Leaves(a Adapter) []*torch.Tensor {
	if b, ok := a.(BackboneTrainer); ok {
		return b.Leaves()
	}
	parameters := a.Parameters()
	leaves := make([]*torch.Tensor, len(parameters))
	for i, p := range parameters {
		leaves[i] = p.Tensor
	}
	return leaves
}

// Buffered is an adapter with tensors that are saved with it but not trained.
type Buffered interface {
	Adapter
	Buffers() []Parameter
}

// Stored is an adapter that holds parts of what it is on disk.
type Stored interface {
	Adapter
	// Stored is the tensors on disk.
	Stored() []Parameter
}

// State is all that a saved adapter holds: parameters and buffers, or what they
// are parts of. It runs inside [torch.Do].
func State(a Adapter) []Parameter {
	if s, ok := a.(Stored); ok {
		return s.Stored()
	}
	state := a.Parameters()
	if b, ok := a.(Buffered); ok {
		state = append(state[:len(state):len(state)], b.Buffers()...)
	}
	return state
}

// SublayerPass is a pass that also acts on what a sublayer adds to the residual
// stream.
type SublayerPass interface {
	Pass
	// AfterSublayer is given the output y (tokens, hidden) of a layer's
	// attention (after is Output) or feed-forward network (FFNDown), after its
	// dropout, and returns what takes its place. y may be changed in place.
	AfterSublayer(layer int, after Kind, y *torch.Tensor) *torch.Tensor
}

// Joined is the kinds of a layer that read its input and are one product, in the order
// in which they stand side by side.
var Joined = []Kind{Query, Key, Value}

// JoinedPass is a pass that adapts the [Joined] sites of a layer as one.
type JoinedPass interface {
	Pass
	// ApplyJoined is Apply for the three sites of the layer, whose frozen outputs
	// stand side by side in (tokens, 3·hidden), which may be changed in place.
	ApplyJoined(layer int, x, frozen *torch.Tensor) *torch.Tensor
}

// Regularized is an adapter that adds a term to the loss of each step.
type Regularized interface {
	Adapter
	// Penalty is the term, one fp32 element, recorded by autograd.
	Penalty() *torch.Tensor
}

// Nonlinear is an adapter that is no update of weights: its Delta is nil at
// every site though it changes the model, so it cannot be merged.
type Nonlinear interface {
	Adapter
	// Nonlinear says in a few words what stands in the way.
	Nonlinear() string
}

// CheckMergeable is nil where W + Deltaᵀ at every site is the adapted model.
func CheckMergeable(a Adapter) error {
	if n, ok := a.(Nonlinear); ok {
		return fmt.Errorf("%s cannot be merged into the weights: %s", a.Config().Method, n.Nonlinear())
	}
	return nil
}

// Factored is an adapter whose every ΔW is a product of two thin matrices, and
// so exactly a LoRA.
type Factored interface {
	Adapter
	// Factors is ΔW = in · out of a site, (In, r) and (r, Out) in fp32, scale
	// included; nil for a site that is not adapted.
	Factors(site Site) (in, out *torch.Tensor)
}

// CheckConvertible is nil where the adapter is [Factored].
func CheckConvertible(a Adapter) error {
	method := a.Config().Method
	switch a := a.(type) {
	case Factored:
		return nil
	case Nonlinear:
		return fmt.Errorf("%s is no LoRA: %s", method, a.Nonlinear())
	case BackboneTrainer:
		return fmt.Errorf("%s is no LoRA: it trains tensors of the backbone itself; merge it instead", method)
	}
	if len(a.Config().Targets) == 0 {
		return fmt.Errorf("%s is no LoRA: it changes no weight of the backbone", method)
	}
	return fmt.Errorf("%s is no LoRA: its updates are not products of two thin matrices; merge it instead", method)
}

// TensorTrain is an adapter whose parameters are the cores (left, n, right) of
// one tensor train, in the order of Config's modes.
type TensorTrain interface {
	Adapter
	Cores() []*torch.Tensor
	// ZeroCore is the index of the core that is zero in a fresh adapter.
	ZeroCore() int
	// SetCores puts copies of others in their place, of the same mode sizes and
	// any ranks that fit together; the former are freed. The new ones are leaves.
	// It runs inside [torch.Do].
	SetCores([]*torch.Tensor) error
}

// TensorTrains is an adapter of many tensor trains whose bonds share one rank:
// stacks of tensor trains of the same modes, core k of shape (tensor trains, r_k, n_k, r_{k+1})
// with ends of rank 1.
type TensorTrains interface {
	Adapter
	// Stacks are all of its parameters, in their order.
	Stacks() [][]*torch.Tensor
	// SetStacks puts copies of others in their place, of the same modes and one
	// legal rank; the former are freed. The new ones are leaves. It runs inside
	// [torch.Do].
	SetStacks([][]*torch.Tensor) error
}

// TrainRanks is the ranks of the bonds of a [TensorTrain], the one that all bonds
// of [TensorTrains] share, or nil.
func TrainRanks(a Adapter) []int64 {
	switch a := a.(type) {
	case TensorTrain:
		var ranks []int64
		for _, core := range a.Cores()[1:] {
			ranks = append(ranks, core.Size(0))
		}
		return ranks
	case TensorTrains:
		return []int64{a.Stacks()[0][0].Size(3)}
	}
	return nil
}

// Tunable is an adapter with settings of its training, those of its method's
// Settings that the declaration calls so: a saved one has what it was trained with.
type Tunable interface {
	Adapter
	// Tune makes settings of the method, of the type of its declaration's Keys, those
	// of the training to come.
	Tune(settings any) error
}

// RankAdapter is an adapter whose ranks fall while it is trained.
type RankAdapter interface {
	Adapter
	// AfterUpdate is told of update number step of total, from 1, and of the
	// gradients that it was made with, in the order of Parameters. It returns
	// the parameters that it has replaced; their former tensors are freed. It
	// runs inside [torch.Do].
	AfterUpdate(step, total int, gradients []*torch.Tensor) []Shrunk
	// Progress is what a resumed run needs beside State: tensors to be saved,
	// and to be overwritten by what was saved; none once the ranks have fallen.
	Progress() []Parameter
}

// Shrunk is a parameter, by its place in Parameters, of which only the slices
// Keep along Dim are left.
type Shrunk struct {
	Parameter, Dim int
	Keep           []int64
}

// Progress is what a resumed run of the adapter needs beside State.
func Progress(a Adapter) []Parameter {
	if r, ok := a.(RankAdapter); ok {
		return r.Progress()
	}
	return nil
}
