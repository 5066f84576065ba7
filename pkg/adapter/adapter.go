package adapter

import "github.com/metatt/metatt/pkg/torch"

// Adapter is one method's trainable tensors for one model. All its methods but
// Free run inside [torch.Do].
type Adapter interface {
	// Config describes the adapter for adapter_config.json.
	Config() Config
	// Parameters lists the trainable tensors, fp32 leaves on the run's device,
	// under the names they have on disk, or where an adapter
	// trains parts of those ([Stored]) under names of their own.
	Parameters() []Parameter
	// Begin starts one forward pass. What it computes is recorded by autograd
	// and belongs to the current scope, as the pass does.
	Begin(step Step) Pass
	// Delta is ΔW of a site in fp32, (in, out): the adapted output is
	// x (Wᵀ + Delta) + b. nil for a site that is not adapted.
	Delta(site Site) *torch.Tensor
	// Free releases the parameters.
	Free()
}

// Pass adapts the sites of one forward pass.
type Pass interface {
	// Apply is given sites of one layer that read the same x (tokens, in) and
	// their frozen outputs (tokens, out). It returns the adapted outputs in the
	// same order; frozen outputs may be changed in place, and those of sites
	// that are not adapted come back as they are.
	Apply(sites []Site, x *torch.Tensor, frozen []*torch.Tensor) []*torch.Tensor
}

// Step is what a pass depends on beside the parameters.
type Step struct {
	DType    torch.DType // of x and the frozen outputs
	Training bool        // dropout is on
	Task     int         // index of the batch's task in an adapter with a task mode
	Tokens   int64       // rows of x, for the choice between ways to compute the same
	// Dropout sets elements of a site's x to zero with probability p and scales the
	// others by 1/(1-p); the mask is the site's. nil where Training is off.
	Dropout func(site Site, x *torch.Tensor, p float64) *torch.Tensor
}

// Drop is x after the dropout of training: x itself where there is none.
func (s Step) Drop(site Site, x *torch.Tensor, p float64) *torch.Tensor {
	switch {
	case !s.Training || p == 0:
		return x
	case s.Dropout == nil:
		panic(torch.Errorf("dropout", "a pass of training with dropout has no masks: Step.Dropout is nil"))
	}
	return s.Dropout(site, x, p)
}

// Parameter is a named trainable tensor.
type Parameter struct {
	Name   string
	Tensor *torch.Tensor
}

// Count is the number of elements of all parameters.
func Count(parameters []Parameter) int64 {
	var n int64
	for _, p := range parameters {
		n += p.Tensor.Numel()
	}
	return n
}
