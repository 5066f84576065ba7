package torch

// #include <dlfcn.h>
//
// // What libcuda.so.1 is asked for, without a context on the device.
// struct driver {
//   int (*init)(unsigned);
//   int (*get)(int *, int);
//   int (*name)(char *, int, int);
//   int (*total)(size_t *, int);
//   int (*attribute)(int *, int, int);
// };
// static int load(struct driver *d) {
//   void *library = dlopen("libcuda.so.1", RTLD_NOW);
//   if (!library) return 0;
//   d->init = (int (*)(unsigned))dlsym(library, "cuInit");
//   d->get = (int (*)(int *, int))dlsym(library, "cuDeviceGet");
//   d->name = (int (*)(char *, int, int))dlsym(library, "cuDeviceGetName");
//   d->total = (int (*)(size_t *, int))dlsym(library, "cuDeviceTotalMem_v2");
//   d->attribute = (int (*)(int *, int, int))dlsym(library, "cuDeviceGetAttribute");
//   return d->init && d->get && d->name && d->total && d->attribute;
// }
// static int properties(int ordinal, char *name, int room, size_t *total, int *major, int *minor) {
//   enum { capability_major = 75, capability_minor = 76 }; // of CUdevice_attribute
//   struct driver d;
//   int device = 0, failed;
//   if (!load(&d)) return -1;
//   if ((failed = d.init(0)) || (failed = d.get(&device, ordinal)) || (failed = d.name(name, room, device)) || (failed = d.total(total, device)) ||
//       (failed = d.attribute(major, capability_major, device)) || (failed = d.attribute(minor, capability_minor, device)))
//     return failed;
//   return 0;
// }
import "C"

import (
	"fmt"
	"sync"
)

// Properties is what the NVIDIA driver tells of a CUDA device.
type Properties struct {
	Name         string // e.g. "NVIDIA H100 80GB HBM3"
	Major, Minor int    // compute capability
	Memory       int64  // bytes in all
}

// ampere is the first compute capability, 8.0, with instructions for bf16.
const ampere = 8

var properties sync.Map // Properties by Device

// Properties asks the driver, once, which counts devices as libtorch does, by
// CUDA_VISIBLE_DEVICES.
func (d Device) Properties() (Properties, error) {
	if known, ok := properties.Load(d); ok {
		return known.(Properties), nil
	}
	if d < 0 {
		return Properties{}, &Error{Op: "properties", Message: "of CUDA devices, not of the CPU", kind: ErrDevice}
	}
	var name [256]C.char
	var total C.size_t
	var major, minor C.int
	if failed := C.properties(C.int(d), &name[0], C.int(len(name)), &total, &major, &minor); failed < 0 {
		return Properties{}, &Error{Op: "properties", Message: "no NVIDIA driver is here", kind: ErrDevice}
	} else if failed > 0 {
		return Properties{}, &Error{Op: "properties", Message: fmt.Sprintf("the NVIDIA driver's error %d for %s", failed, d), kind: ErrDevice}
	}
	p := Properties{C.GoString(&name[0]), int(major), int(minor), int64(total)}
	properties.Store(d, p)
	return p, nil
}
