// Everything of libtorch's is compiled once, here: its headers are the most of it. Set-up
// tells cgo where they are, and with which C++ ABI; without its flags, as in a module that
// imports this one, the package is empty, which native_choose says. Headers that the
// compiler finds by itself may be of another libtorch.
#ifdef METATT_LIBTORCH

#include "attention.h"
#include "dropout.h"
#include "gelu.h"
#include "linear.h"
#include "norm.h"

extern "C" const Kernels *metatt_kernels_generic();
extern "C" const Kernels *metatt_kernels_avx2();
extern "C" const Kernels *metatt_kernels_avx512();
extern "C" const Kernels *metatt_kernels_avx512bf16();

namespace {

struct Set {
  const char *name;
  bool there;
  const Kernels *(*kernels)();
};

// The instruction sets, the best first.
std::vector<Set> sets() {
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  const bool bf16 = avx512 && __builtin_cpu_supports("avx512bf16");
  return {{"avx512bf16", bf16, metatt_kernels_avx512bf16}, {"avx512", avx512, metatt_kernels_avx512}, {"avx2", avx2, metatt_kernels_avx2}, {"generic", true, metatt_kernels_generic}};
}

} // namespace

extern "C" bool native_compiled(void) { return true; }

extern "C" char *native_seed(uint64_t seed) {
  return native::entry([&] { at::manual_seed(seed); });
}

extern "C" char *native_unbind(void **outs, void *t) {
  return native::entry([&] {
    for (at::Tensor &slice : native::tensor(t).unbind(0)) native::give(outs++, std::move(slice));
  });
}

extern "C" const char *native_name(void) { return native::kernels_name; }

extern "C" char *native_choose(const char *name) {
  const std::string wanted = name;
  for (const Set &set : sets()) {
    if (!wanted.empty() ? wanted != set.name : !set.there) continue;
    if (!set.there) return strdup(("this machine has no " + wanted).c_str());
    native::kernels = set.kernels();
    native::kernels_name = set.name;
    return nullptr;
  }
  return strdup((wanted + ": the CPU kernels are for avx512bf16, avx512, avx2 and generic").c_str());
}

#else

#include <string.h>

#include "api.h"

namespace {
char *absent() { return strdup("the CPU kernels were compiled without set-up's flags for libtorch's headers"); }
} // namespace

extern "C" {
char *native_choose(const char *) { return absent(); }
char *native_mask(void **, int64_t, int64_t, int64_t, native_drop) { return absent(); }
char *native_dropout(void **, void *, native_drop) { return absent(); }
char *native_dropout_add_norm(void **, void *, void *, void *, void *, double, native_drop) { return absent(); }
char *native_attention(void **, void *, void *, void *, int64_t, void *, void *, native_drop) { return absent(); }
char *native_joined_attention(void **, void *, int64_t, native_drop) { return absent(); }
char *native_gelu(void **, void *, bool) { return absent(); }
char *native_unbind(void **, void *) { return absent(); }
char *native_linear(void **, void *, void *, void *) { return absent(); }
char *native_matmul(void **, void *, void *) { return absent(); }
char *native_add_matmul(void *, void *, void *) { return absent(); }
char *native_seed(uint64_t) { return absent(); }
const char *native_name(void) { return ""; }
bool native_compiled(void) { return false; }
}

#endif
