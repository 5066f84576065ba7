// Errors and the choice of kernels.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstring>
#include <exception>
#include <sstream>
#include <stdexcept>
#include <string>

#include "kernel/table.h"

namespace native {

// The kernels in use, set by native_choose.
inline const Kernels *kernels = nullptr;
inline const char *kernels_name = "";

template <typename... Parts>
[[noreturn]] void refuse(const Parts &...parts) {
  std::ostringstream text;
  (text << ... << parts);
  throw std::invalid_argument(text.str());
}

// entry runs f and turns what it throws into a text.
template <typename F>
char *entry(const F &f) {
  try {
    if (!kernels) refuse("no kernels were chosen");
    f();
    return nullptr;
  } catch (const c10::Error &e) {
    return strdup(e.what_without_backtrace());
  } catch (const std::exception &e) {
    return strdup(e.what());
  } catch (...) {
    return strdup("unknown C++ exception");
  }
}

inline const at::Tensor &tensor(void *handle) { return *static_cast<at::Tensor *>(handle); }
inline at::Tensor optional(void *handle) { return handle ? tensor(handle) : at::Tensor(); }
inline void give(void **out, at::Tensor t) { *out = new at::Tensor(std::move(t)); }

// check_values refuses what the kernels cannot read: they compute in fp32 and bf16.
inline void check_values(const char *name, const at::Tensor &t, int64_t dimensions, at::ScalarType type) {
  if (!t.device().is_cpu()) refuse(name, " is on ", t.device(), ", not on the CPU");
  if (t.scalar_type() != at::kFloat && t.scalar_type() != at::kBFloat16) refuse(name, " is ", t.scalar_type(), ", not Float or BFloat16");
  if (t.scalar_type() != type) refuse(name, " is ", t.scalar_type(), ", not ", type, " as the rest");
  if (dimensions >= 0 && t.dim() != dimensions) refuse(name, " has shape ", t.sizes(), ", not ", dimensions, " dimensions");
}

inline void check_shape(const char *name, const at::Tensor &t, at::IntArrayRef shape) {
  if (t.sizes() != shape) refuse(name, " has shape ", t.sizes(), ", not ", shape);
}

} // namespace native
