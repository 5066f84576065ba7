// Matrix products by oneDNN where it is faster than what libtorch takes by itself: in
// fp32 that is MKL, which keeps its AVX-512 kernels for Intel's processors (on a Zen 5
// 105 GFLOP/s a core against 240), and in bf16 oneDNN too, but with a bias that is copied
// out first (430 against 475).
#pragma once
#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/mm.h>

#include "function.h"

namespace native {

// pointwise is libtorch's operation on oneDNN's product, x wᵀ + b for two dimensions,
// which has no C++ function; null where a libtorch has none.
inline const c10::OperatorHandle *pointwise() {
  static const std::optional<c10::OperatorHandle> operation = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
  return operation ? &*operation : nullptr;
}

// takes_onednn: chosen by what the processor is, not by a measurement: a run that goes on
// must find the same bits.
inline bool takes_onednn(at::ScalarType type) {
  static const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  static const bool fp32 = avx512 && !__builtin_cpu_is("intel"), bf16 = avx512 && __builtin_cpu_supports("avx512bf16");
  if (!pointwise() || !at::globalContext().userEnabledMkldnn()) return false;
  return type == at::kFloat ? fp32 : type == at::kBFloat16 && bf16;
}

// Below this many multiplications a call costs more than the product.
constexpr int64_t small_product = 1 << 16;

inline bool fits(const at::Tensor &x, const at::Tensor &w) {
  return x.dim() >= 2 && w.dim() == 2 && x.device().is_cpu() && w.device().is_cpu() && x.scalar_type() == w.scalar_type() &&
         x.layout() == at::kStrided && w.layout() == at::kStrided && x.size(-1) == w.size(1) &&
         x.numel() * w.size(0) >= small_product && takes_onednn(x.scalar_type());
}

// packed is w with rows or columns that lie end to end.
inline at::Tensor packed(const at::Tensor &w) {
  const int64_t rows = w.size(0), columns = w.size(1);
  const bool by_rows = w.stride(1) == 1 && w.stride(0) >= columns, by_columns = w.stride(0) == 1 && w.stride(1) >= rows;
  return by_rows || by_columns ? w : w.contiguous();
}

inline at::Tensor product(const at::Tensor &x, const at::Tensor &w, const std::optional<at::Tensor> &b) {
  torch::jit::Stack stack;
  stack.reserve(6);
  stack.emplace_back(x);
  stack.emplace_back(packed(w));
  stack.emplace_back(b);
  stack.emplace_back("none"); // nothing is done to the result
  stack.emplace_back(c10::impl::GenericList(c10::OptionalType::create(c10::NumberType::get())));
  stack.emplace_back(c10::IValue());
  pointwise()->callBoxed(&stack);
  return stack[0].toTensor();
}

// weight_gradient is gradᵀ x for grad (rows, out) and x (rows, in). oneDNN takes the left
// factor's transpose as a copy, and is several times faster where that is the narrow one.
inline at::Tensor weight_gradient(const at::Tensor &grad, const at::Tensor &x) {
  if (grad.scalar_type() != at::kFloat) return at::mm(grad.t(), x);
  if (x.size(1) < grad.size(1)) return product(x.t(), grad.t(), std::nullopt).t();
  return product(grad.t(), x.t(), std::nullopt);
}

// x (rows, in), w (out, in), b (out) or none.
struct LinearFunction : torch::autograd::Function<LinearFunction> {
  static at::Tensor forward(AutogradContext *ctx, const at::Tensor &x, const at::Tensor &w, const std::optional<at::Tensor> &b) {
    // A frozen weight keeps no input alive.
    ctx->save_for_backward({w.requires_grad() ? x : at::Tensor(), x.requires_grad() ? w : at::Tensor()});
    ctx->saved_data["bias"] = b.has_value();
    return product(x, w, b);
  }

  static tensor_list backward(AutogradContext *ctx, tensor_list grads) {
    const tensor_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &w = saved[1], &grad = grads[0];
    at::Tensor grad_x, grad_w, grad_b;
    if (ctx->needs_input_grad(0)) grad_x = product(grad, w.t(), std::nullopt);
    if (ctx->needs_input_grad(1)) grad_w = weight_gradient(grad, x);
    if (ctx->saved_data["bias"].toBool() && ctx->needs_input_grad(2)) grad_b = grad.sum(0);
    return {grad_x, grad_w, grad_b};
  }
};

inline at::Tensor linear(const at::Tensor &x, const at::Tensor &w, const std::optional<at::Tensor> &b) {
  const at::Tensor rows = x.dim() == 2 ? x : x.reshape({-1, x.size(-1)});
  const at::Tensor y = recorded(rows, w, b.value_or(at::Tensor())) ? LinearFunction::apply(rows, w, b) : product(rows, w, b);
  if (x.dim() == 2) return y;
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = w.size(0);
  return y.view(shape);
}

} // namespace native

extern "C" char *native_linear(void **out, void *x_handle, void *w_handle, void *b_handle) {
  using namespace native;
  return entry([&] {
    const at::Tensor &x = tensor(x_handle), &w = tensor(w_handle);
    std::optional<at::Tensor> b;
    if (b_handle) b = tensor(b_handle);
    const bool onednn = fits(x, w) && (!b || (b->dim() == 1 && b->size(0) == w.size(0) && b->scalar_type() == x.scalar_type() && b->device().is_cpu()));
    give(out, onednn ? native::linear(x, w, b) : at::linear(x, w, b));
  });
}

namespace native {
inline bool product_fits(const at::Tensor &a, const at::Tensor &b) { return b.dim() == 2 && a.scalar_type() == at::kFloat && fits(a, b.t()); }
} // namespace native

extern "C" char *native_matmul(void **out, void *a_handle, void *b_handle) {
  using namespace native;
  return entry([&] {
    const at::Tensor &a = tensor(a_handle), &b = tensor(b_handle);
    give(out, product_fits(a, b) ? native::linear(a, b.t(), std::nullopt) : at::matmul(a, b));
  });
}

extern "C" char *native_add_matmul(void *t_handle, void *a_handle, void *b_handle) {
  using namespace native;
  return entry([&] {
    at::Tensor &t = *static_cast<at::Tensor *>(t_handle);
    const at::Tensor &a = tensor(a_handle), &b = tensor(b_handle);
    // add_ would broadcast, and take another type.
    const bool onednn = a.dim() == 2 && product_fits(a, b) && t.scalar_type() == a.scalar_type() && t.sizes() == at::IntArrayRef{a.size(0), b.size(1)};
    if (onednn) t.add_(native::linear(a, b.t(), std::nullopt));
    else t.addmm_(a, b);
  });
}
