package torch

// #include <stdlib.h>
// #include "cuda_functions.h"
import "C"

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"unsafe"

	"github.com/metatt/metatt/pkg/internal/helper"
	"github.com/metatt/metatt/pkg/torch/cuda"
)

// helperVariable names the helper to load.
const helperVariable = "METATT_CUDA_HELPER"

// Helper is the file of the CUDA helper that this process has loaded, or why there is
// none: without it a CUDA device computes the same but for dropout's masks, slower. It is looked for, once,
// where METATT_CUDA_HELPER says, else beside the executable, else where set-up builds
// it, in the checkout's .gotch/helper, else where the loader finds it by its name, in
// LD_LIBRARY_PATH.
func Helper() (path string, err error) { return loadHelper() }

var loadHelper = sync.OnceValues(findHelper)

func findHelper() (string, error) {
	if failure := cudaFailure(); failure != "" {
		return "", fmt.Errorf("the CUDA helper needs libtorch_cuda.so, which cannot be loaded: %s", failure)
	}
	path, named := helper.Find(helperVariable, cuda.Library)
	found, err := useHelper(path)
	if err != nil && named {
		err = fmt.Errorf("%s: %w", helperVariable, err)
	}
	return found, err
}

// useHelper loads a helper and checks that it is of this build and this libtorch.
func useHelper(name string) (string, error) {
	const rebuild = "build it again: pkg/torch/cuda/build.sh TORCH_DIR OUT"
	n := C.CString(name)
	defer C.free(unsafe.Pointer(n))
	var library unsafe.Pointer
	var path, build, compiled *C.char
	if e := C.helper_load(n, &library, &path, &build, &compiled); e != nil {
		text := C.GoString(e)
		C.free(unsafe.Pointer(e))
		switch {
		case strings.Contains(text, "undefined symbol"):
			text += " (it was compiled against another libtorch; " + rebuild + ")"
		case name == cuda.Library && strings.HasPrefix(text, cuda.Library):
			return "", fmt.Errorf("there is no CUDA helper: %s is neither what %s names, nor in %s, nor where the loader looks",
				name, helperVariable, strings.Join(helper.Folders(), " or "))
		}
		return "", fmt.Errorf("the CUDA helper cannot be loaded: %s", text)
	}
	found := C.GoString(path)
	if have, want := C.GoString(build), cuda.Build(); have != want {
		return "", fmt.Errorf("%s is the CUDA helper of another build, %q, this program's is %q; %s", found, have, want, rebuild)
	}
	running := libraryVersion(filepath.Dir(filepath.Dir(libraryPath())))
	if have := C.GoString(compiled); running != "unknown" && have != running && have != release(running) {
		return "", fmt.Errorf("%s was compiled against libtorch %s, this is %s; %s", found, have, running, rebuild)
	}
	if e := C.helper_use(library); e != nil {
		text := C.GoString(e)
		C.free(unsafe.Pointer(e))
		return "", fmt.Errorf("%s is no CUDA helper: %s", found, text)
	}
	return found, nil
}

// release is a version without its local part, as a libtorch that does not name its
// version in full is known by.
func release(version string) string {
	short, _, _ := strings.Cut(version, "+")
	return short
}

// checkHelper makes the error text of the helper's function op a panic.
func checkHelper(op string, e *C.char, operands ...*Tensor) {
	if e == nil {
		return
	}
	if _, err := Helper(); err != nil { // a text that says more
		C.free(unsafe.Pointer(e))
		panic(&Error{Op: op, Message: err.Error(), kind: ErrDevice})
	}
	panic(failure(op, unsafe.Pointer(e), operands...))
}

// slot is the place of the result i of an operation.
func slot(i int) *unsafe.Pointer { return (*unsafe.Pointer)(unsafe.Pointer(&slots[i])) }

// pointer is t's handle for the helper; nil stands for none.
func pointer(t *Tensor, op string) unsafe.Pointer { return unsafe.Pointer(t.optional(op)) }
