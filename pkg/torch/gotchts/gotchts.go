// Package gotchts hands tensors to and from gotch's own type, for programs that
// come with gotch code. Both sides then hold the same storage, and each frees
// its own handle.
//
// gotch's tensors carry finalizers and its functions may end the process on an
// error: nothing else in this module uses them.
package gotchts

import (
	"unsafe"

	"github.com/sugarme/gotch/libtch"
	"github.com/sugarme/gotch/ts"

	"github.com/metatt/metatt/pkg/torch"
)

// FromTS is a tensor of the current scope that shares x's storage, its place in
// the autograd graph included. x stays its caller's. It runs inside [torch.Do]
// and panics with [*torch.Error] for a tensor that was dropped.
func FromTS(x *ts.Tensor) *torch.Tensor {
	const op = "from_ts"
	if x == nil || x.Ctensor() == nil {
		panic(torch.Errorf(op, "nil or dropped tensor"))
	}
	return torch.Adopt(op, unsafe.Pointer(libtch.AtShallowClone(libtch.Ctensor(x.Ctensor()))))
}

// ToTS is a gotch tensor that shares t's storage; gotch's Drop or finalizer
// frees it. t stays its owner's. It runs inside [torch.Do].
func ToTS(t *torch.Tensor) *ts.Tensor { return ts.FromCtensor(t.Share()) }
