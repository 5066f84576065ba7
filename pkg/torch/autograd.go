package torch

import (
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// setGradEnabled sets grad mode of this OS thread and returns what it was.
func setGradEnabled(on bool) bool {
	b := 0
	if on {
		b = 1
	}
	// gotch reads the C int through a Go int: only its low byte is meant.
	return libtch.AtGradSetEnabled(b)&0xff != 0
}

// GradEnabled reports whether operations on this thread are recorded.
func GradEnabled() bool {
	on := setGradEnabled(true)
	if !on {
		setGradEnabled(false)
	}
	return on
}

// NoGrad runs f without recording operations. It nests, and puts the mode back
// also when f panics.
func NoGrad(f func()) {
	before := setGradEnabled(false)
	defer setGradEnabled(before)
	f()
}

// SetRequiresGrad makes t a leaf whose gradient can be asked for, or not. It
// returns t.
func (t *Tensor) SetRequiresGrad(on bool) *Tensor {
	r := int32(0)
	if on {
		r = 1
	}
	libtch.AtgSetRequiresGrad(&slots[0], t.handle("set_requires_grad"), r)
	discard("set_requires_grad", t)
	return t
}

// RequiresGrad reports whether operations on t are recorded.
func (t *Tensor) RequiresGrad() bool { return libtch.AtRequiresGrad(t.handle("requires_grad")) }

// Gradients is ∂loss/∂p for each p, in order, without touching any .grad
// field. loss has one element. A parameter that the loss does not depend on
// gets zeros. The graph is freed.
func Gradients(loss *Tensor, parameters []*Tensor) []*Tensor {
	const op = "backward"
	if n := loss.Numel(); n != 1 {
		panic(Errorf(op, "the loss has shape %v, not one element", loss.Shape()))
	}
	if len(parameters) == 0 {
		return nil
	}
	inputs := make([]libtch.Ctensor, len(parameters))
	for i, p := range parameters {
		inputs[i] = p.handle(op)
	}
	outputs := make([]libtch.Ctensor, len(parameters))
	roots := [1]libtch.Ctensor{loss.handle(op)}
	libtch.AtRunBackward(&roots[0], 1, &inputs[0], len(inputs), &outputs[0], 0, 0)
	if e := libtch.GetAndResetLastErr(); e != nil {
		panic(failure(op, unsafe.Pointer(e), loss))
	}
	gradients := make([]*Tensor, len(outputs))
	for i, c := range outputs {
		if libtch.AtDefined(c) {
			gradients[i] = adopt(op, c)
			continue
		}
		libtch.AtFree(c)
		gradients[i] = parameters[i].ZerosLike()
	}
	return gradients
}
