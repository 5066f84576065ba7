// LayerNorm(residual + dropout(y)) in one pass each way.
#pragma once
#include <ATen/ops/zeros.h>

#include "function.h"

namespace native {

// Gradients of weight and bias are summed up block by block, the blocks in order: the
// sum does not depend on the threads.
constexpr int64_t norm_block = 64;

struct NormResult {
  at::Tensor out, normed, rstd; // the last two only where they are wanted
};

inline NormResult norm_rows(const at::Tensor &y, const at::Tensor &residual, const at::Tensor &weight, const at::Tensor &bias,
                            double eps, const Drop &drop, bool wanted) {
  const at::Tensor in = y.contiguous(), beside = residual.contiguous();
  const at::Tensor w = weight.to(at::kFloat).contiguous(), b = bias.to(at::kFloat).contiguous();
  NormResult result;
  result.out = at::empty_like(in);
  Norm a = {};
  a.n = y.size(1);
  a.masks = drop.masks(y.size(0));
  a.bf16 = y.scalar_type() == at::kBFloat16;
  a.eps = float(eps);
  a.weight = w.const_data_ptr<float>();
  a.bias = b.const_data_ptr<float>();
  a.y = in.const_data_ptr();
  a.residual = beside.const_data_ptr();
  a.out = result.out.mutable_data_ptr();
  if (wanted) {
    result.normed = at::empty_like(in);
    result.rstd = at::empty({y.size(0)}, at::kFloat);
    a.normed = result.normed.mutable_data_ptr();
    a.rstd = result.rstd.mutable_data_ptr<float>();
  }
  parallel(y.size(0), row_grain(a.n), [&](int64_t begin, int64_t end) {
    kernels->norm(&a, begin, end, scratch(kernels->row_scratch(a.n)));
  });
  return result;
}

struct NormFunction : torch::autograd::Function<NormFunction> {
  static at::Tensor forward(AutogradContext *ctx, const at::Tensor &y, const at::Tensor &residual, const at::Tensor &weight,
                            const at::Tensor &bias, double eps, const Drop &drop) {
    NormResult result = norm_rows(y, residual, weight, bias, eps, drop, true);
    remember(ctx, drop, {result.normed, result.rstd, weight});
    return result.out;
  }

  static tensor_list backward(AutogradContext *ctx, tensor_list grads) {
    tensor_list saved;
    const Drop drop = recall(ctx, saved);
    const at::Tensor &normed = saved[0], &rstd = saved[1], &weight = saved[2];
    const at::Tensor grad = grads[0].contiguous(), w = weight.to(at::kFloat).contiguous();
    const bool wants_weight = ctx->needs_input_grad(2), wants_bias = ctx->needs_input_grad(3);
    const int64_t rows = normed.size(0), n = normed.size(1), blocks = (rows + norm_block - 1) / norm_block;
    at::Tensor grad_residual = at::empty_like(normed), grad_y = grad_residual, weights, biases;
    Norm a = {};
    a.n = n;
    a.masks = drop.masks(rows);
    a.bf16 = normed.scalar_type() == at::kBFloat16;
    a.weight = w.const_data_ptr<float>();
    a.normed = normed.mutable_data_ptr(); // read only
    a.rstd = rstd.mutable_data_ptr<float>();
    a.grad = grad.const_data_ptr();
    a.grad_residual = grad_residual.mutable_data_ptr();
    if (drop.threshold > 0) {
      grad_y = at::empty_like(normed);
      a.grad_y = grad_y.mutable_data_ptr();
    }
    if (wants_weight) weights = at::zeros({blocks, n}, at::kFloat);
    if (wants_bias) biases = at::zeros({blocks, n}, at::kFloat);
    parallel(blocks, std::max<int64_t>(1, row_grain(n) / norm_block), [&](int64_t begin, int64_t end) {
      float *memory = scratch(kernels->row_scratch(n));
      for (int64_t block = begin; block < end; block++) {
        Norm part = a;
        if (wants_weight) part.grad_weight = weights.mutable_data_ptr<float>() + block * n;
        if (wants_bias) part.grad_bias = biases.mutable_data_ptr<float>() + block * n;
        kernels->norm_backward(&part, block * norm_block, std::min(rows, (block + 1) * norm_block), memory);
      }
    });
    auto total = [&](const at::Tensor &parts) { return parts.defined() ? parts.sum(0).to(weight.scalar_type()) : parts; };
    return {grad_y, grad_residual, total(weights), total(biases), at::Tensor(), at::Tensor()};
  }
};

} // namespace native

extern "C" char *native_dropout_add_norm(void **out, void *handle, void *residual_handle, void *weight_handle, void *bias_handle,
                                         double eps, native_drop d) {
  using namespace native;
  return entry([&] {
    const at::Tensor &y = tensor(handle), &residual = tensor(residual_handle), &weight = tensor(weight_handle), &bias = tensor(bias_handle);
    check_values("y", y, 2, y.scalar_type());
    check_values("residual", residual, 2, y.scalar_type());
    check_shape("residual", residual, y.sizes());
    check_values("weight", weight, 1, weight.scalar_type());
    check_values("bias", bias, 1, weight.scalar_type());
    check_shape("weight", weight, {y.size(1)});
    check_shape("bias", bias, {y.size(1)});
    const Drop drop(d);
    give(out, recorded(y, residual, weight, bias) ? NormFunction::apply(y, residual, weight, bias, eps, drop)
                                                  : norm_rows(y, residual, weight, bias, eps, drop, false).out);
  });
}
