package torch

// The C functions below are compiled into gotch's libtch package, which has no
// Go function for them or one that leaks its string arguments.

// #cgo LDFLAGS: -ldl
// #cgo CFLAGS: -D_GNU_SOURCE
// #include <dlfcn.h>
// #include <stdbool.h>
// #include <stdint.h>
// #include <stdio.h>
// #include <stdlib.h>
// #include <link.h>
//
// extern void at_manual_seed(int64_t seed);
// extern int at_get_num_threads(void);
// extern void at_set_num_threads(int n);
// extern void atg_gelu(void **out, void *self, char *approximate, int len);
// extern void atg_gelu_(void **out, void *self, char *approximate, int len);
// extern void atg_linalg_qr(void **out, void *a, char *mode, int len);
//
// static void bound_primitive_cache(void) {
//   if (!getenv("DNNL_PRIMITIVE_CACHE_CAPACITY")) setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64", 0);
// }
// // What this OS thread was last told by use_threads; 0: nothing, libtorch's own choice.
// static __thread int told_threads;
// static void use_threads(int n) {
//   if (told_threads == n) return;
//   at_set_num_threads(n);
//   told_threads = n;
// }
// static char cuda_loader[512]; // why libtorch_cuda.so could not be loaded; empty: it was
// static const char *cuda_failure(void) { return cuda_loader; }
// static void load_cuda(void) {
//   if (!dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL)) snprintf(cuda_loader, sizeof cuda_loader, "%s", dlerror());
// }
//
// static void gelu(void **out, void *self, bool tanh_approximation, bool in_place) {
//   (in_place ? atg_gelu_ : atg_gelu)(out, self, tanh_approximation ? "tanh" : "none", 4);
// }
// static void reduced_qr(void **out, void *a) { atg_linalg_qr(out, a, "reduced", 7); }
// static void triangular_qr(void **out, void *a) { atg_linalg_qr(out, a, "r", 1); }
//
// static int find_torch(struct dl_phdr_info *info, size_t size, void *found) {
//   const char *name = info->dlpi_name, *slash = NULL;
//   for (const char *p = name; p && *p; p++) if (*p == '/') slash = p;
//   if (!slash || __builtin_strcmp(slash, "/libtorch_cpu.so") != 0) return 0;
//   *(const char **)found = name;
//   return 1;
// }
// static const char *torch_path(void) {
//   const char *path = NULL;
//   dl_iterate_phdr(find_torch, &path);
//   return path;
// }
import "C"

import (
	"math"
	"sync/atomic"
	"unsafe"

	"github.com/sugarme/gotch/libtch"

	"github.com/metatt/metatt/pkg/torch/native"
)

// oneDNN keeps what it compiles for each shape, by default 1024 entries, which
// with packed batches (a new number of tokens nearly each step) come to more
// than a gigabyte in bf16 and are hardly ever used again. 64 hold what the
// layers of one step share. oneDNN reads the environment at its first use; a
// value that the user has set stands.
func init() { C.bound_primitive_cache() }

// The binary links the CPU half of libtorch only. Loading the CUDA half here,
// where there is one, registers its kernels: one binary serves both. Where
// there is none, dlopen fails and CUDA is simply not available.
func init() { C.load_cuda() }

// cudaFailure is why libtorch_cuda.so could not be loaded, in the loader's words; empty:
// it is loaded.
func cudaFailure() string { return C.GoString(C.cuda_failure()) }

// Threads is the number of threads libtorch spreads an operation over, on this
// OS thread: outside [Do], where SetThreads may not have reached, it says little.
func Threads() int { return int(C.at_get_num_threads()) }

// OneThread takes operations to one thread each until restore is called, inside
// the [Do] that it was called in: small matrices are decomposed faster by one than
// by several that wait for each other.
//
//	defer torch.OneThread()()
func OneThread() (restore func()) {
	n := C.at_get_num_threads()
	C.at_set_num_threads(1)
	return func() { C.at_set_num_threads(n) }
}

// threads is what SetThreads asked for; 0: nobody has.
var threads atomic.Int32

// SetThreads sets it for every [Do] of the process that begins from here on; 0 is
// libtorch's own choice. OpenMP and MKL keep the number for each OS thread, so
// that it is Do that tells the one it computes on.
func SetThreads(n int) error {
	if n < 0 || n > math.MaxInt16 {
		return Errorf("set_threads", "%d threads: between 1 and %d are possible, or 0 for libtorch's choice", n, math.MaxInt16)
	}
	if n == 0 && threads.Load() != 0 { // threads that were told another number have to hear of it
		n = defaultThreads
	}
	threads.Store(int32(n))
	return nil
}

// defaultThreads is libtorch's own choice.
var defaultThreads = Threads()

// DefaultThreads is libtorch's own choice: OMP_NUM_THREADS, else by the cores that the
// process may use.
func DefaultThreads() int { return defaultThreads }

// useThreads gives the OS thread the number that was asked for.
func useThreads() {
	if n := threads.Load(); n > 0 {
		C.use_threads(C.int(n))
	}
}

// Seed starts libtorch's default generators, on every device, from seed. They are
// the process's: what is drawn belongs into the [Do] of its seed, or another's
// computation may draw in between.
func Seed(seed uint64) {
	if !native.Compiled() {
		C.at_manual_seed(C.int64_t(seed))
		return
	}
	nativeReady("seed")
	if message := native.Seed(seed); message != nil { // gotch's lets an exception through, which ends the process
		panic(failure("seed", message))
	}
}

// GELU is the Gaussian error linear unit, exact or in its tanh approximation.
func (t *Tensor) GELU(tanhApproximation bool) *Tensor {
	if nativeServes(t) {
		return nativeGELU(t, tanhApproximation)
	}
	t.gelu("gelu", tanhApproximation, false)
	return result("gelu", t)
}

// GELUInPlace is [Tensor.GELU] in t's own memory.
func (t *Tensor) GELUInPlace(tanhApproximation bool) *Tensor {
	t.gelu("gelu_", tanhApproximation, true)
	discard("gelu_", t)
	return t
}

// gelu is libtorch's, into a slot.
func (t *Tensor) gelu(op string, tanhApproximation, inPlace bool) {
	C.gelu((*unsafe.Pointer)(unsafe.Pointer(&slots[0])), unsafe.Pointer(t.handle(op)), C.bool(tanhApproximation), C.bool(inPlace))
}

// QR is the reduced QR decomposition of a (m, n) matrix: q (m, k), r (k, n)
// with k = min(m, n).
func (t *Tensor) QR() (q, r *Tensor) {
	C.reduced_qr((*unsafe.Pointer)(unsafe.Pointer(&slots[0])), unsafe.Pointer(t.handle("qr")))
	q = result("qr", t)
	return q, adopt("qr", slots[1])
}

// RFactor is the r (k, n) of [Tensor.QR] alone, in about half of its time: q is
// never formed. Autograd cannot go through it.
func (t *Tensor) RFactor() *Tensor {
	C.triangular_qr((*unsafe.Pointer)(unsafe.Pointer(&slots[0])), unsafe.Pointer(t.handle("qr")))
	result("qr", t) // q, which is empty
	return adopt("qr", slots[1])
}

// libraryPath is where the loaded libtorch_cpu.so stands.
func libraryPath() string { return C.GoString(C.torch_path()) }

// CUDADevices is the number of CUDA devices that libtorch can use.
func CUDADevices() int {
	if !libtch.AtcCudaIsAvailable() {
		return 0
	}
	return int(libtch.AtcCudaDeviceCount())
}
