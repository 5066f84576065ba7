// The Gaussian error linear unit.
#pragma once
#include <ATen/ops/gelu.h>

#include "function.h"

namespace native {

// libtorch's own pass forward is as fast as one can be; its derivative is not.
inline at::Tensor gelu_of(const at::Tensor &x, bool tanh) { return at::gelu(x, tanh ? "tanh" : "none"); }

struct GELUFunction : torch::autograd::Function<GELUFunction> {
  static at::Tensor forward(AutogradContext *ctx, const at::Tensor &x, bool tanh) {
    ctx->save_for_backward({x});
    ctx->saved_data["tanh"] = tanh;
    return gelu_of(x, tanh);
  }
  static tensor_list backward(AutogradContext *ctx, tensor_list grads) {
    const at::Tensor in = ctx->get_saved_variables()[0].contiguous(), grad = grads[0].contiguous();
    at::Tensor out = at::empty_like(in);
    ::GELU a = {};
    a.bf16 = in.scalar_type() == at::kBFloat16;
    a.tanh = ctx->saved_data["tanh"].toBool();
    a.in = in.const_data_ptr();
    a.grad = grad.const_data_ptr();
    a.out = out.mutable_data_ptr();
    parallel(in.numel(), grain_elements, [&](int64_t begin, int64_t end) { kernels->gelu_backward(&a, begin, end); });
    return {out, at::Tensor()};
  }
};

} // namespace native

extern "C" char *native_gelu(void **out, void *handle, bool tanh) {
  using namespace native;
  return entry([&] {
    const at::Tensor &x = tensor(handle);
    check_values("x", x, -1, x.scalar_type());
    give(out, recorded(x) ? GELUFunction::apply(x, tanh) : gelu_of(x, tanh));
  });
}
