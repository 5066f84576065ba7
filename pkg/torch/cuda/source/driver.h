// The driver and NVRTC, found when they are first needed: what this library is linked to
// is nothing, so that it loads wherever libtorch_cuda.so does.
#pragma once

#include <cuda.h>

#include <c10/util/Exception.h>

namespace metatt {

// A function of libcuda.so.1, an error where the driver lacks it.
void *driver_symbol(const char *name);
// A function of NVRTC: the one that libtorch itself would load.
void *nvrtc_symbol(const char *name);

template <class F> F driver(const char *name) { return reinterpret_cast<F>(driver_symbol(name)); }
template <class F> F nvrtc(const char *name) { return reinterpret_cast<F>(nvrtc_symbol(name)); }

// An exception where the driver reports a failure of what.
void check_driver(CUresult result, const char *what);

} // namespace metatt
