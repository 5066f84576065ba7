// Kernels of this library's own: CUDA C++ that NVRTC compiles at first use, for the device
// that it is used on, and keeps for the process. They are queued on the current stream and
// can be captured once they have run.
#pragma once

#include <string>
#include <vector>

#include <cuda.h>

namespace metatt {

// Text of the programs, made of the .cu files by build.sh.
extern const char *const norm_source;
extern const char *const dropout_source;

// A kernel of a program, compiled for the current device with those macros ("NAME=VALUE").
CUfunction kernel(const char *source, const char *name, const std::vector<std::string> &macros);

// Queues it. Each argument is the address of a value of the parameter's type.
void launch(CUfunction kernel, unsigned blocks, unsigned threads, std::vector<void *> arguments);

} // namespace metatt
