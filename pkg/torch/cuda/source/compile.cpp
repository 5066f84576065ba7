#include "cache.h"
#include "driver.h"
#include "kernels.h"

#include <map>
#include <mutex>
#include <tuple>

#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>

namespace metatt {

namespace {

// NVRTC's interface, of which this library needs no header.
typedef struct program_ *program;
enum { success = 0 };

void check_nvrtc(int result, const char *what) {
  if (result == success) return;
  auto text = nvrtc<const char *(*)(int)>("nvrtcGetErrorString")(result);
  TORCH_CHECK(false, what, ": NVRTC's error ", result, ", ", text ? text : "unknown");
}

std::string log_of(program p) {
  size_t n = 0;
  if (nvrtc<int (*)(program, size_t *)>("nvrtcGetProgramLogSize")(p, &n) != success || n == 0) return "";
  std::string text(n, 0);
  if (nvrtc<int (*)(program, char *)>("nvrtcGetProgramLog")(p, text.data()) != success) return "";
  return text;
}

struct Program {
  program p = nullptr;
  explicit Program(const char *source) {
    check_nvrtc(nvrtc<int (*)(program *, const char *, const char *, int, const char *const *, const char *const *)>("nvrtcCreateProgram")(
                    &p, source, "metatt.cu", 0, nullptr, nullptr),
                "a kernel's program");
  }
  ~Program() { nvrtc<int (*)(program *)>("nvrtcDestroyProgram")(&p); }
  Program(const Program &) = delete;
};

// Machine code for an architecture such as 90.
std::vector<char> compiled(const char *source, int architecture, const std::vector<std::string> &macros) {
  std::vector<std::string> options = {"--gpu-architecture=sm_" + std::to_string(architecture), "--std=c++17"};
  for (auto &m : macros) options.push_back("-D" + m);
  int major = 0, minor = 0;
  check_nvrtc(nvrtc<int (*)(int *, int *)>("nvrtcVersion")(&major, &minor), "NVRTC's version");
  auto whole = "NVRTC " + std::to_string(major) + "." + std::to_string(minor);
  for (auto &o : options) whole += " " + o;
  whole += "\n" + std::string(source);
  std::vector<char> code;
  if (cached(whole, code)) return code;
  Program program(source);
  std::vector<const char *> texts;
  for (auto &o : options) texts.push_back(o.c_str());
  int result = nvrtc<int (*)(::metatt::program, int, const char *const *)>("nvrtcCompileProgram")(program.p, static_cast<int>(texts.size()), texts.data());
  TORCH_CHECK(result == success, "a kernel does not compile for sm_", architecture, ": ", log_of(program.p));
  size_t n = 0;
  check_nvrtc(nvrtc<int (*)(::metatt::program, size_t *)>("nvrtcGetCUBINSize")(program.p, &n), "a kernel's code");
  code.resize(n);
  check_nvrtc(nvrtc<int (*)(::metatt::program, char *)>("nvrtcGetCUBIN")(program.p, code.data()), "a kernel's code");
  cache(whole, code);
  return code;
}

int attribute(cudaDeviceAttr name, int device) {
  int value = 0;
  C10_CUDA_CHECK(cudaDeviceGetAttribute(&value, name, device));
  return value;
}

// The driver works on the context that is current on this thread: the runtime's own may
// not be yet on a thread of the autograd engine.
void use_context(int device) {
  CUcontext context = nullptr;
  check_driver(driver<CUresult (*)(CUcontext *)>("cuCtxGetCurrent")(&context), "the current context");
  if (context) return;
  CUdevice d;
  check_driver(driver<CUresult (*)(CUdevice *, int)>("cuDeviceGet")(&d, device), "the device");
  check_driver(driver<CUresult (*)(CUcontext *, CUdevice)>("cuDevicePrimaryCtxRetain")(&context, d), "the device's context");
  check_driver(driver<CUresult (*)(CUcontext)>("cuCtxSetCurrent")(context), "the device's context");
}

bool capturing() {
  cudaStreamCaptureStatus status;
  C10_CUDA_CHECK(cudaStreamIsCapturing(c10::cuda::getCurrentCUDAStream(), &status));
  return status != cudaStreamCaptureStatusNone;
}

// The module of a program, loaded on the device.
CUmodule loaded(const char *source, int device, const std::vector<std::string> &macros) {
  int architecture = 10 * attribute(cudaDevAttrComputeCapabilityMajor, device) + attribute(cudaDevAttrComputeCapabilityMinor, device);
  auto code = compiled(source, architecture, macros);
  CUmodule module;
  check_driver(driver<CUresult (*)(CUmodule *, const void *)>("cuModuleLoadData")(&module, code.data()), "a kernel's code");
  return module;
}

} // namespace

CUfunction kernel(const char *source, const char *name, const std::vector<std::string> &macros) {
  static std::mutex mutex;
  static std::map<std::tuple<int, const char *, std::vector<std::string>>, CUmodule> modules;
  static std::map<std::pair<CUmodule, std::string>, CUfunction> functions;
  std::lock_guard<std::mutex> lock(mutex);
  int device = c10::cuda::current_device();
  use_context(device);
  auto first_use = [] { TORCH_CHECK(!capturing(), "a kernel that has not run before cannot be captured: run the step once first"); };
  auto [m, fresh] = modules.try_emplace({device, source, macros}, nullptr);
  if (!m->second) { // also after one that failed
    first_use();
    m->second = loaded(source, device, macros);
  }
  auto [f, missing] = functions.try_emplace({m->second, name}, nullptr);
  if (!f->second) {
    first_use();
    check_driver(driver<CUresult (*)(CUfunction *, CUmodule, const char *)>("cuModuleGetFunction")(&f->second, m->second, name), name);
  }
  return f->second;
}

void launch(CUfunction kernel, unsigned blocks, unsigned threads, std::vector<void *> arguments) {
  using launch_kernel = CUresult (*)(CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, CUstream, void **, void **);
  static auto call = driver<launch_kernel>("cuLaunchKernel");
  use_context(c10::cuda::current_device());
  auto stream = c10::cuda::getCurrentCUDAStream().stream();
  check_driver(call(kernel, blocks, 1, 1, threads, 1, 1, 0, stream, arguments.data(), nullptr), "a kernel's launch");
}

} // namespace metatt
