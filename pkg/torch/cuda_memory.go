package torch

// #include <stdlib.h>
// #include "cuda_functions.h"
import "C"

import (
	"os"
	"unsafe"
)

// PeakMemory is the most bytes that tensors on a CUDA device held at once since
// ResetPeakMemory, and the most that libtorch held reserved from it for them. known is
// false for the CPU, and without the [Helper].
func (d Device) PeakMemory() (allocated, reserved int64, known bool) {
	if !d.helped() {
		return 0, 0, false
	}
	var a, r C.int64_t
	if !quietly(C.helper_memory_peak(C.int(d), &a, &r)) {
		return 0, 0, false
	}
	return int64(a), int64(r), true
}

// ResetPeakMemory makes what is held now the peak.
func (d Device) ResetPeakMemory() {
	if d.helped() {
		quietly(C.helper_memory_reset(C.int(d)))
	}
}

// ReleaseMemory gives memory of CUDA devices back that neither tensors nor graphs need.
func ReleaseMemory() {
	if CUDA(0).helped() {
		quietly(C.helper_memory_release())
	}
}

// KeepKernels lets the [Helper] keep what it compiles in that folder, which it makes, for
// processes to come: compiling takes a second at the start of each.
func KeepKernels(dir string) {
	if _, err := Helper(); err != nil || os.MkdirAll(dir, 0o755) != nil {
		return // it compiles each time
	}
	path := C.CString(dir)
	defer C.free(unsafe.Pointer(path))
	quietly(C.helper_kernel_cache(path))
}

// TF32 lets products of fp32 matrices on CUDA devices round their factors to TF32, or
// not, as libtorch starts. It reports whether that could be set: the [Helper] does.
func TF32(on bool) bool {
	if _, err := Helper(); err != nil {
		return false
	}
	n := C.int(0)
	if on {
		n = 1
	}
	return quietly(C.helper_tf32(n))
}

// quietly reports success, where a failure is an answer.
func quietly(e *C.char) bool {
	C.free(unsafe.Pointer(e))
	return e == nil
}

// helped reports whether d is a CUDA device that the helper serves.
func (d Device) helped() bool {
	if d < 0 || int(d) >= CUDADevices() {
		return false
	}
	_, err := Helper()
	return err == nil
}
