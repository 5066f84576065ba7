package torch

// #include <stdlib.h>
// #include "cuda_functions.h"
import "C"

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"unsafe"
)

// HelperName is the file name of the CUDA helper: what libtorch's C interface lacks,
// CUDA graphs, packed attention and fused passes, in a library of its own, as one
// binary is to serve machines without CUDA.
const HelperName = "libmetatt_cuda.so"

// helperVariable names the helper to load.
const helperVariable = "METATT_CUDA_HELPER"

//go:embed cuda/*.cpp cuda/*.cu cuda/*.h cuda/build.sh
var helperFiles embed.FS

// HelperSource is the helper's source with its build.sh, to be compiled on the machine
// with the GPU.
func HelperSource() fs.FS {
	source, err := fs.Sub(helperFiles, "cuda")
	if err != nil {
		panic(err) // the folder's name is a constant
	}
	return source
}

// Helper is the file of the CUDA helper that this process has loaded, or why there is
// none: without it a CUDA device computes the same, slower. It is looked for, once,
// where METATT_CUDA_HELPER says, else beside the executable, else where the loader
// finds the bare name: the folder that set-up builds it in, and LD_LIBRARY_PATH.
func Helper() (path string, err error) { return loadHelper() }

var loadHelper = sync.OnceValues(findHelper)

func findHelper() (string, error) {
	if failure := cudaFailure(); failure != "" {
		return "", fmt.Errorf("the CUDA helper needs libtorch_cuda.so, which cannot be loaded: %s", failure)
	}
	if path := os.Getenv(helperVariable); path != "" {
		path, err := useHelper(path)
		if err != nil {
			return "", fmt.Errorf("%s: %w", helperVariable, err)
		}
		return path, nil
	}
	if executable, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(executable), HelperName)
		if _, err := os.Stat(beside); err == nil {
			return useHelper(beside)
		}
	}
	return useHelper(HelperName)
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
		if strings.Contains(text, "undefined symbol") {
			text += " (it was compiled against another libtorch; " + rebuild + ")"
		}
		return "", fmt.Errorf("the CUDA helper cannot be loaded: %s", text)
	}
	found := C.GoString(path)
	if have, want := C.GoString(build), helperBuild(); have != want {
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

// helperBuild tells sources apart; build.sh makes the same of the same files.
func helperBuild() string {
	var names []string
	for _, pattern := range []string{"cuda/*.cpp", "cuda/*.cu", "cuda/*.h"} {
		found, _ := fs.Glob(helperFiles, pattern)
		names = append(names, found...)
	}
	slices.Sort(names)
	hash := sha256.New()
	for _, name := range names {
		text, _ := helperFiles.ReadFile(name)
		hash.Write(text)
	}
	return hex.EncodeToString(hash.Sum(nil))[:16]
}

// helped makes the error text of the helper's function op a panic.
func helped(op string, e *C.char, operands ...*Tensor) {
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
