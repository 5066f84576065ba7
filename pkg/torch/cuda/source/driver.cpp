#include "driver.h"

#include <dlfcn.h>

#include <string>

#include <c10/cuda/CUDAFunctions.h>

namespace metatt {

namespace {

// The folder of the library that a symbol is in, with a slash; empty: unknown.
std::string folder_of(void *symbol) {
  Dl_info info;
  if (!dladdr(symbol, &info) || !info.dli_fname) return "";
  std::string path = info.dli_fname;
  return path.substr(0, path.find_last_of('/') + 1);
}

// NVRTC asks the loader for a library of its own by a bare name, which it does not find
// where NVRTC is of a Python's packages: it is loaded before.
void open_builtins(void *nvrtc) {
  auto folder = folder_of(dlsym(nvrtc, "nvrtcCompileProgram"));
  int major = 0, minor = 0;
  auto version = reinterpret_cast<int (*)(int *, int *)>(dlsym(nvrtc, "nvrtcVersion"));
  if (folder.empty() || !version || version(&major, &minor) != 0) return;
  dlopen((folder + "libnvrtc-builtins.so." + std::to_string(major) + "." + std::to_string(minor)).c_str(), RTLD_NOW);
}

// libcaffe2_nvrtc.so stands beside libc10_cuda.so and knows where its NVRTC is, in a
// Python's NVIDIA packages.
void *open_nvrtc() {
  auto symbol = reinterpret_cast<void *>(static_cast<c10::DeviceIndex (*)() noexcept>(&c10::cuda::device_count));
  auto beside = folder_of(symbol) + "libcaffe2_nvrtc.so";
  if (void *library = dlopen(beside.c_str(), RTLD_NOW)) {
    if (dlsym(library, "nvrtcCompileProgram")) return library;
  }
  for (const char *name : {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"}) {
    if (void *library = dlopen(name, RTLD_NOW)) return library;
  }
  TORCH_CHECK(false, "NVRTC, which compiles kernels, is not found: ", dlerror());
}

void *symbol_of(void *library, const char *name, const char *from) {
  void *symbol = dlsym(library, name);
  TORCH_CHECK(symbol, from, " has no ", name);
  return symbol;
}

} // namespace

void *driver_symbol(const char *name) {
  static void *library = dlopen("libcuda.so.1", RTLD_NOW);
  TORCH_CHECK(library, "the NVIDIA driver's libcuda.so.1 cannot be loaded");
  return symbol_of(library, name, "libcuda.so.1");
}

void *nvrtc_symbol(const char *name) {
  static void *library = [] {
    void *opened = open_nvrtc();
    open_builtins(opened);
    return opened;
  }();
  return symbol_of(library, name, "NVRTC");
}

void check_driver(CUresult result, const char *what) {
  if (result == CUDA_SUCCESS) return;
  const char *text = nullptr;
  driver<CUresult (*)(CUresult, const char **)>("cuGetErrorString")(result, &text);
  TORCH_CHECK(false, what, ": CUDA error ", static_cast<int>(result), ", ", text ? text : "unknown");
}

} // namespace metatt
