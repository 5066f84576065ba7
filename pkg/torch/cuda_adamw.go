package torch

// #include "cuda_functions.h"
import "C"

import "unsafe"

// AdamWSpan is a range of flat buffers that [AdamW] updates with the same numbers.
type AdamWSpan struct {
	Values, First, Second *Tensor // (n) Float32 each: θ, m, v
	Gradient              *Tensor // (n) Float32 or BFloat16
	Numbers               *Tensor // (5) Float32: 1-β₁, 1-β₂, 1-lr λ, -lr/(1-β₁ᵗ), 1/√(1-β₂ᵗ)
}

// AdamWServed: [AdamW] runs on the device, by the [Helper].
func AdamWServed(d Device) bool { return d.helped() }

// AdamW makes one update with all numbers on the device; nothing waits for it, and it can
// be captured:
//
//	g ← g · min(1, clip / (‖g‖ + 1e-6)), of all gradients together; clip 0: as they are
//	m ← β₁m + (1-β₁)g;  v ← β₂v + (1-β₂)g²;  θ ← θ (1 - lr λ) - lr/(1-β₁ᵗ) · m / (√v/√(1-β₂ᵗ) + eps)
//
// It is made where healthy, one Float32 element, is 1, ‖g‖ and every |θ| that it comes to are
// at most largest, and the loss (one Float32 element; nil: none) is a finite number. Elsewhere
// all stays, and healthy is 0 from then on. The result is ‖g‖ and healthy. Gradients in fp32
// are clipped in their place.
func AdamW(gradients []*Tensor, loss, healthy *Tensor, clip, eps, largest float64, spans []AdamWSpan) *Tensor {
	const op = "adamw"
	handles := make([]unsafe.Pointer, 0, len(gradients)+1)
	for _, g := range gradients {
		handles = append(handles, pointer(g, op))
	}
	buffers := make([]unsafe.Pointer, 0, 5*len(spans)+1)
	for _, s := range spans {
		for _, t := range []*Tensor{s.Values, s.First, s.Second, s.Gradient, s.Numbers} {
			t.handle(op) // none may be nil
			buffers = append(buffers, pointer(t, op))
		}
	}
	healthy.handle(op)
	checkHelper(op, C.helper_adamw(unsafe.SliceData(handles), C.int(len(gradients)), pointer(loss, op), pointer(healthy, op), C.double(clip), C.double(eps), C.double(largest),
		unsafe.SliceData(buffers), C.int(len(spans)), slot(0)), gradients...)
	return adopt(op, slots[0])
}
