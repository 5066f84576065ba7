// What the functions of this library share: errors as texts, tensors as handles.
#pragma once

#include <cstring>
#include <exception>
#include <utility>

#include <ATen/core/Tensor.h>

#include "functions.h"

#define API extern "C" __attribute__((visibility("default")))

namespace metatt {

// Calls f and makes an exception the text of an error.
template <class F> char *guarded(F f) {
  try {
    f();
    return nullptr;
  } catch (const std::exception &e) {
    return strdup(e.what());
  } catch (...) {
    return strdup("unknown C++ exception");
  }
}

inline const at::Tensor &tensor(void *handle) { return *static_cast<at::Tensor *>(handle); }
inline void *handle(at::Tensor t) { return new at::Tensor(std::move(t)); }

} // namespace metatt
