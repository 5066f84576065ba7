package torch

// #include <stddef.h>
//
// // glibc's; another C library may have none.
// extern int malloc_trim(size_t pad) __attribute__((weak));
//
// static void give_back(void) {
//   if (malloc_trim) malloc_trim(0);
// }
import "C"

import "runtime/debug"

// TrimMemory gives the kernel what this process has freed and its allocators keep: Go's
// and the C library's, which libtorch has the CPU's tensors from.
func TrimMemory() {
	debug.FreeOSMemory()
	C.give_back()
}
