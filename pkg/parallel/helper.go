package parallel

// #cgo CFLAGS: -D_GNU_SOURCE
// #cgo LDFLAGS: -ldl
// #include <stdlib.h>
// #include "helper.h"
import "C"

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"unsafe"

	"github.com/metatt/metatt/pkg/internal/helper"
	"github.com/metatt/metatt/pkg/parallel/mpi"
)

// helperVariable names the helper to load.
const helperVariable = "METATT_MPI_HELPER"

// Library is the name that the MPI in use has for itself, and the helper's file; or why there
// is no MPI. The helper is looked for where METATT_MPI_HELPER says, else beside the
// executable, else where set-up builds it, in the checkout's .gotch/helper, else where the
// loader finds it by its name.
func Library() (name, path string, err error) {
	if path, err = loadHelper(); err != nil {
		return "", "", err
	}
	var text *C.char
	if err := taken(C.mpi_library(&text)); err != nil {
		return "", "", err
	}
	defer C.free(unsafe.Pointer(text))
	name, _, _ = strings.Cut(strings.TrimSpace(C.GoString(text)), "\n")
	name, _, _ = strings.Cut(name, ", package:") // of whoever built an Open MPI
	return name, path, nil
}

var loadHelper = sync.OnceValues(func() (string, error) {
	path, named := helper.Find(helperVariable, mpi.Library)
	found, err := useHelper(path)
	if err != nil && named {
		err = fmt.Errorf("%s: %w", helperVariable, err)
	}
	return found, err
})

// errNoHelper: set-up has found no MPI to build one against.
var errNoHelper = errors.New("set-up found no MPI: install one with its development files (apt-get install openmpi-bin libopenmpi-dev), then make setup")

// useHelper loads a helper and checks that it is of this build.
func useHelper(name string) (string, error) {
	n := C.CString(name)
	defer C.free(unsafe.Pointer(n))
	var library unsafe.Pointer
	var path, build *C.char
	if err := taken(C.mpi_load(n, &library, &path, &build)); err != nil {
		if name == mpi.Library && strings.HasPrefix(err.Error(), mpi.Library) {
			return "", errNoHelper
		}
		return "", fmt.Errorf("the MPI helper cannot be loaded: %w", err)
	}
	found := C.GoString(path)
	if have, want := C.GoString(build), mpi.Build(); have != want {
		return "", fmt.Errorf("%s is the MPI helper of another build, %q, this program's is %q: make setup builds it again", found, have, want)
	}
	if err := taken(C.mpi_use(library)); err != nil {
		return "", fmt.Errorf("%s is no MPI helper: %w", found, err)
	}
	return found, nil
}

// taken makes the text of a C function's error a Go error, and frees it.
func taken(text *C.char) error {
	if text == nil {
		return nil
	}
	defer C.free(unsafe.Pointer(text))
	return errors.New(C.GoString(text))
}
